"""The simulator as a server: answers, late as its shape says, and wrong as its faults say."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

import trustme
from pydantic import Field, TypeAdapter, ValidationError

from benchmarks.simulator import wire
from benchmarks.simulator.answers import Answerer, Scripted
from benchmarks.simulator.exchange import Exchange, Gone, H1Server, H2Server
from benchmarks.simulator.faults import Fault, Faults, Rule
from benchmarks.simulator.latency import Shape, preset, timing
from benchmarks.simulator.stats import Stats
from benchmarks.simulator.wire import Ask

CA_FILE = "ca.pem"
_RULES = TypeAdapter(list[Rule])
_STREAMS_MAX = TypeAdapter(Annotated[int, Field(ge=1, le=10_000)])
_JSON = [("content-type", "application/json")]
_EVENTS = [("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache")]
# Of a stream, before what goes wrong in the middle of it.
_TOKENS_BEFORE = 3
_STATUS = {Fault.RATE_LIMITED: 429, Fault.ERROR: 500, Fault.UNAUTHORIZED: 401}


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """How it is started."""

    host: str = "127.0.0.1"
    port: int = 0
    shape: Shape = field(default_factory=lambda: preset("instant"))
    seed: int = 0
    streams_max: int = 100
    # Where the authority is kept: ca.pem, for SSL_CERT_FILE, and its key, so that it is the same the next time.
    ca_dir: Path | None = None
    # API keys that are valid; none for any.
    keys: frozenset[str] = frozenset()


class Simulator:
    """`async with Simulator(settings, answerer) as simulator:`, then calls go to `simulator.url`."""

    def __init__(self, settings: SimulatorSettings, answerer: Answerer | None = None) -> None:
        self._settings = settings
        self._answer = answerer or Scripted()
        self._faults = Faults(settings.seed)
        self._asked: Counter[str] = Counter()
        self._servers: set[H2Server | H1Server] = set()
        self._server: asyncio.Server | None = None
        self._streams_max = settings.streams_max
        self.authority = _authority(settings.ca_dir)
        self.stats = Stats()
        self.port = 0

    # -- for whoever runs it

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def context(self) -> ssl.SSLContext:
        """For a client that trusts it."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    def misbehave(self, *rules: Rule) -> None:
        """Puts these faults in force, instead of what was; none for good behaviour."""
        self._faults.set(rules)

    def limit_streams(self, most: int) -> None:
        """Lets every connection, those that are there and those to come, have so many streams."""
        self._streams_max = most
        for server in self._servers:
            if isinstance(server, H2Server) and not server.counts.closed:
                server.limit_streams(most)

    def kill_connections(self) -> None:
        """Cuts every connection at once, as a crash would."""
        for server in list(self._servers):
            server.kill()

    async def __aenter__(self) -> Self:
        issued = self.authority.issue_cert("localhost", self._settings.host)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(context)
        context.set_alpn_protocols(["h2", "http/1.1"])
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _ByAlpn(self._made), self._settings.host, self._settings.port, ssl=context, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server, "it was started"
        self._server.close()
        self.kill_connections()
        await self._server.wait_closed()

    def _made(self, protocol: str | None) -> H2Server | H1Server:
        made: H2Server | H1Server
        if protocol == "h2":
            made = H2Server(self.stats, self._respond, self._streams_max)
        else:
            made = H1Server(self.stats, self._respond)
        self._servers = {server for server in self._servers if not server.counts.closed} | {made}
        return made

    # -- a request

    async def _respond(self, exchange: Exchange) -> None:
        try:
            await self._route(exchange)
        except Gone:
            return

    async def _route(self, exchange: Exchange) -> None:
        path = exchange.path.partition("?")[0]
        if path.startswith("/_sim/"):
            await self._control(exchange, path)
        elif exchange.method == "POST" and path in {"/v1/messages", "/v1/chat/completions"}:
            await self._call(exchange, path)
        elif exchange.method == "GET" and path == "/v1/models":
            await _whole(exchange, 200, [], json.dumps({"object": "list", "data": [], "has_more": False}).encode())
        else:
            await _whole(exchange, 404, [], wire.error_body("openai", 404, f"no such path: {path}"))

    async def _control(self, exchange: Exchange, path: str) -> None:
        """Statistics, and faults while it runs."""
        match exchange.method, path:
            case "GET", "/_sim/stats":
                await _whole(exchange, 200, [], json.dumps(self.stats.as_json()).encode())
            case "PUT", "/_sim/faults":
                try:
                    self._faults.set(_RULES.validate_json(exchange.body))
                except ValidationError as error:
                    await _whole(exchange, 400, [], error.json(include_url=False).encode())
                else:
                    await _whole(exchange, 200, [], b"{}")
            case "PUT", "/_sim/streams":
                try:
                    self.limit_streams(_STREAMS_MAX.validate_json(exchange.body))
                except ValidationError as error:
                    await _whole(exchange, 400, [], error.json(include_url=False).encode())
                else:
                    await _whole(exchange, 200, [], b"{}")
            case "POST", "/_sim/reset":
                self.stats = Stats()
                self._faults.set(())
                await _whole(exchange, 200, [], b"{}")
            case _:
                await _whole(exchange, 404, [], b"{}")

    async def _call(self, exchange: Exchange, path: str) -> None:
        stats = self.stats
        stats.requests += 1
        id_ = f"req_{stats.requests:08}"
        provider = "anthropic" if path.endswith("/messages") else "openai"
        extra = wire.headers(provider, id_)
        key = exchange.headers.get("x-api-key") or exchange.headers.get("authorization", "").removeprefix("Bearer ")
        if not key or (self._settings.keys and key not in self._settings.keys):
            await _whole(exchange, 401, extra, wire.error_body(provider, 401, "invalid x-api-key"))
            return
        try:
            ask = wire.read(path, exchange.body)
        except wire.BadRequest as error:
            await _whole(exchange, 400, extra, wire.error_body(provider, 400, str(error)))
            return
        stats.by_model[f"{provider} {ask.model}"] += 1
        stats.by_key[key[-4:]] += 1
        rule = self._faults.meets(provider, ask.model, stream=ask.stream)
        if rule:
            stats.faults[rule.fault.value] += 1
            if await self._at_once(exchange, ask, rule, extra):
                return
        call = f"{ask.system}\0{ask.user}"
        asked = f"{provider} {call}"
        self._asked[asked] += 1
        shape, seed = self._settings.shape, self._settings.seed
        when = timing(shape, seed, provider, ask.model, f"{call}\0{self._asked[asked]}", ask.prompt_tokens)
        text = _spoiled(self._answer(ask), rule) if ask.schema else self._answer(ask)
        tokens = list(wire.tokens(text))[: ask.tokens_max]
        if ask.stream:
            await self._stream(exchange, ask, id_, tokens, when.first_s, when.gap_s, rule, extra)
        else:
            await asyncio.sleep(when.first_s + when.gap_s * len(tokens))
            body = wire.whole(ask, id_, text, len(tokens))
            if rule and rule.fault in {Fault.TRUNCATE_CLEAN, Fault.TRUNCATE_RESET}:
                body = body[: len(body) // 2]
            exchange.start(200, _JSON + extra)
            await exchange.write(body)
            if rule and rule.fault is Fault.TRUNCATE_RESET:
                exchange.reset()
                return
            exchange.end()
            stats.tokens += len(tokens)
        stats.finished += 1

    async def _stream(
        self,
        exchange: Exchange,
        ask: Ask,
        id_: str,
        tokens: Sequence[str],
        first_s: float,
        gap_s: float,
        rule: Rule | None,
        extra: wire.Headers,
    ) -> None:
        exchange.start(200, _EVENTS + extra)
        await exchange.write(wire.begins(ask, id_))
        await asyncio.sleep(first_s)
        for place, token in enumerate(tokens):
            if place:
                await asyncio.sleep(gap_s)
            if place == min(_TOKENS_BEFORE, len(tokens) - 1) and await _in_the_middle(exchange, ask, rule):
                return
            await exchange.write(wire.token(ask, id_, token))
            self.stats.tokens += 1
        await exchange.write(wire.ends(ask, id_, len(tokens)))
        exchange.end()

    async def _at_once(self, exchange: Exchange, ask: Ask, rule: Rule, extra: wire.Headers) -> bool:
        """Faults that come instead of an answer; whether this is one."""
        match rule.fault:
            case Fault.RATE_LIMITED | Fault.ERROR | Fault.OVERLOADED | Fault.UNAUTHORIZED:
                status = _STATUS.get(rule.fault) or (529 if ask.provider == "anthropic" else 503)
                wait = [_retry_after(rule.value)] if rule.value else []
                await _whole(
                    exchange, status, extra + wait, wire.error_body(ask.provider, status, f"simulated {status}")
                )
            case Fault.HANG:
                await asyncio.Event().wait()
            case Fault.GOAWAY_ABRUPT:
                exchange.connection.go_away(abrupt=True)
            case Fault.KILL:
                exchange.connection.kill()
            case Fault.FREEZE:
                exchange.connection.freeze()
                await asyncio.Event().wait()
            case Fault.GOAWAY:
                # This call is answered still.
                exchange.connection.go_away(abrupt=False)
                return False
            case _:
                return False
        return True


class _ByAlpn(asyncio.Protocol):
    """Becomes the protocol that the client has chosen."""

    def __init__(self, make: Any) -> None:  # noqa: ANN401  (a method of the simulator)
        self._make = make

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        chosen = self._make(transport.get_extra_info("ssl_object").selected_alpn_protocol())
        transport.set_protocol(chosen)
        chosen.connection_made(transport)


async def _whole(exchange: Exchange, status: int, headers: wire.Headers, body: bytes) -> None:
    exchange.start(status, _JSON + headers)
    await exchange.write(body)
    exchange.end()


async def _in_the_middle(exchange: Exchange, ask: Ask, rule: Rule | None) -> bool:
    """Faults that come when a part of the answer is out; whether one has ended it."""
    match rule.fault if rule else None:
        case Fault.STALL:
            await asyncio.Event().wait()
        case Fault.TRUNCATE_RESET:
            exchange.reset()
        case Fault.TRUNCATE_CLEAN:
            exchange.end()
        case Fault.SSE_ERROR:
            await exchange.write(wire.error_event(ask.provider))
            exchange.end()
        case Fault.MALFORMED:
            await exchange.write(b"data: {not json\n\n")
            exchange.end()
        case _:
            return False
    return True


def _spoiled(text: str, rule: Rule | None) -> str:
    match rule.fault if rule else None:
        case Fault.MALFORMED:
            return text[: max(1, len(text) // 2)] + "}{"
        case Fault.WRONG_SCHEMA:
            return '{"something": "else"}'
        case _:
            return text


def _retry_after(value: str) -> tuple[str, str]:
    return ("retry-after-ms", value.removesuffix("ms")) if value.endswith("ms") else ("retry-after", value)


def _authority(directory: Path | None) -> trustme.CA:
    """The authority of a directory, made there the first time; without one, a new one each time."""
    if directory is None:
        return trustme.CA()
    certificate, key = directory / CA_FILE, directory / "ca-key.pem"
    if certificate.is_file() and key.is_file():
        return trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())
    made = trustme.CA()
    directory.mkdir(parents=True, exist_ok=True)
    certificate.write_bytes(made.cert_pem.bytes())
    key.touch(mode=0o600)
    key.write_bytes(made.private_key_pem.bytes())
    return made
