"""Puts the engine together and serves it, until it is told to stop."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import start_http_server
from repartee.v1 import conversation_pb2, operations_pb2

from engine import domain_lint, facts, packs
from engine.conversations import Conversations
from engine.domain import Domain
from engine.embed.minilm import MiniLM
from engine.errors import EngineError, PackError, Unavailable
from engine.lanes import Lanes
from engine.local.capture import Capture
from engine.local.generate import Generate
from engine.local.provider import LocalProvider, Trained
from engine.local.training import load_or_train
from engine.ports import Embedder
from engine.reading import reader
from engine.run import Runner
from engine.settings import Settings
from engine.store.sqlite import SqliteStore
from engine.turn import Turns
from server.conversation_service import ConversationService
from server.handlers import handlers
from server.health import Health
from server.interceptor import Interceptor
from server.metrics import CallMetrics
from server.models import RemoteModels
from server.observers import Observers
from server.operations_service import OperationsService

_MESSAGE_BYTES_MAX = 1 << 20
_SWEEP_EVERY_S = 3600.0
# What the built-in engine needs of a turn's time, should the remote models not answer.
_RESERVE_S = 0.2
_OPTIONS = (
    ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", 8 * _MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", 16 << 10),
    # A peer that is gone is noticed within a minute; one that pings more often than this is not welcome.
    ("grpc.keepalive_time_ms", 40_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_concurrent_streams", 1024),
    # Two servers on one port would share its connections unseen.
    ("grpc.so_reuseport", 0),
)
log = structlog.get_logger()


def load_domains(settings: Settings) -> dict[str, Domain]:
    """All packs that can be found; the default one is among them.

    Raises:
        PackError: a pack is unsound, or the default one is not there.
    """
    found = packs.available(settings.domains_dir)
    if settings.domain not in found:
        raise PackError(f"domain = {settings.domain!r}: no such pack; there are {', '.join(sorted(found))}")
    return {name: _sound(name, path) for name, path in found.items()}


def _sound(name: str, path: Path) -> Domain:
    """Reads a pack that is to be served: what is wrong with it is told now, not by the first turn that meets it."""
    domain = packs.load(path)
    faults = domain_lint.faults(domain)
    if domain.id != name:
        faults.append(f"id {domain.id!r} is not the name of its directory, by which it is served")
    if faults:
        raise PackError("\n".join(f"{path}: {fault}" for fault in faults))
    return domain


def train(domains: Mapping[str, Domain], embedder: Embedder, settings: Settings) -> LocalProvider:
    """Makes the built-in engine ready for all packs; from the cache, but for the first time."""
    trained = {}
    for name, domain in domains.items():
        started = time.perf_counter()
        for catalog in domain.catalogs:
            # Read once, and not by the first turn.
            facts.known(domain, catalog)
        detector = load_or_train(domain, embedder, settings.cache_dir)
        trained[name] = Trained(Capture(reader(domain)), detector, Generate(domain, embedder.encode))
        took_s = round(time.perf_counter() - started, 1)
        log.info("domain pack ready", domain=name, examples=len(domain.examples), took_s=took_s)
    return LocalProvider(trained)


@dataclass(slots=True)
class App:
    """A server that is running."""

    server: grpc.aio.Server
    # The port that gRPC is served on: the one asked for, or the free one that was taken.
    port: int
    metrics_port: int
    health: Health
    _store: SqliteStore
    _models: RemoteModels | None
    _sweeper: asyncio.Task[None]
    _observers: Observers

    async def stop(self, grace_s: float) -> None:
        """Drains: NOT_SERVING, then calls in flight finish within the grace, then everything closes."""
        await self.health.drain()
        await self.server.stop(grace_s)
        self._sweeper.cancel()
        with suppress(asyncio.CancelledError):
            await self._sweeper
        await self._store.close()
        if self._models:
            await self._models.aclose()
        self._observers.close()


async def start(settings: Settings) -> App:
    """Builds everything and starts to serve.

    Raises:
        EngineError: what it needs is not there; says what, and what to do.
        EmbedderUnavailable: the same of the embedder's weights.
    """
    domains = load_domains(settings)
    embedder = MiniLM(settings.cache_dir)
    provider = train(domains, embedder, settings)
    store = SqliteStore(settings.data_dir / "repartee.sqlite3")

    observers = Observers(settings)
    models = RemoteModels(settings, observers) if settings.providers else None
    if models:
        observers.models.watch_budget(lambda: models.router.hedges_left)

    conversations = Conversations(
        store,
        domains,
        settings.domain,
        lambda domain, name, text, now: reader(domain).given(name, text, now.date()),
        timedelta(days=settings.retention_days),
        lambda: datetime.now(UTC),
        lambda: uuid4().hex,
    )
    lanes = Lanes(settings.waiting_turns_max)
    runner = Runner(provider, models.router if models else None, observers, _RESERVE_S)
    turns = Turns(conversations, lanes, runner, embedder, observers, time.perf_counter, settings.concurrent_turns_max)

    server = grpc.aio.server(interceptors=[Interceptor(CallMetrics(observers.registry))], options=_OPTIONS)
    talk = ConversationService(
        turns, conversations, lanes, domains, settings.turn_timeout_ms / 1e3, has_models=models is not None
    )
    operations = OperationsService(platform.node(), observers, models.router.breakers if models else dict)
    services = {
        conversation_pb2.DESCRIPTOR.services_by_name["ConversationService"]: talk,
        operations_pb2.DESCRIPTOR.services_by_name["OperationsService"]: operations,
    }
    server.add_generic_rpc_handlers([handlers(service, servicer) for service, servicer in services.items()])
    health = Health()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    names = [service.full_name for service in services]
    for name in names:
        await health.set(name, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection([*names, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name], server)
    try:
        port = server.add_insecure_port(settings.grpc_address)
    except RuntimeError:
        raise Unavailable(
            f"grpc_address = {settings.grpc_address!r}: cannot listen there; is the port taken?"
        ) from None
    metrics_port = _serve_metrics(settings.metrics_address, observers)
    if models:
        await models.warm_up()
    await server.start()
    sweeper = asyncio.create_task(_sweep(conversations))
    return App(server, port, metrics_port, health, store, models, sweeper, observers)


def _serve_metrics(address: str, observers: Observers) -> int:
    """Serves /metrics on a thread of its own, until the observers are closed; the port."""
    if not address:
        return 0
    host, _, port = address.rpartition(":")
    try:
        http, _ = start_http_server(int(port), host.strip("[]") or "::", observers.registry)
    except OSError as error:
        raise Unavailable(f"metrics_address = {address!r}: cannot listen: {error.strerror}") from None
    observers.closing += [http.shutdown, http.server_close]
    return http.server_port


async def _sweep(conversations: Conversations) -> None:
    """Erases what has expired, at the start and every hour."""
    while True:
        try:
            if erased := await conversations.sweep():
                log.info("expired conversations erased", count=erased)
        except EngineError as error:
            log.warning("sweep failed", reason=error.reason)
        await asyncio.sleep(_SWEEP_EVERY_S)
