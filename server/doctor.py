"""`repartee doctor`: looks at everything that a server needs, and says of each thing what to do where it is wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from engine.complexity import Tier
from engine.embed.minilm import EmbedderUnavailable, MiniLM
from engine.errors import EngineError
from engine.events import Event
from engine.llm.model import Kind, ModelError
from engine.llm.router import Target
from engine.settings import Settings
from engine.step import Call, Prompt
from engine.store.sqlite import SqliteStore
from server.app import load_domains
from server.models import RemoteModels

_CALL_TIMEOUT_S = 20.0
_CALL: Call[str] = Call("doctor", Tier.FAST, None, Prompt("Answer in one word.", "Say: ready"), 200, 0.0)
_ADVICE = {
    Kind.AUTH: "check the key: {name_upper}_API_KEY, or api_keys of [providers.{name}]",
    Kind.CONNECTION: "check the network, base_url, proxy, and SSL_CERT_FILE where a company's authority signs",
    Kind.TIMEOUT: "the provider is slow, or something on the way swallows what is sent",
    Kind.RATE_LIMITED: "the key works, and is over its limit: wait, or give more keys",
    Kind.OVERLOADED: "the provider has trouble: see its status page; turns go to the others meanwhile",
    Kind.INVALID_OUTPUT: "the model answers, but not as its API says it would: is base_url that of another API?",
    Kind.OTHER: "check the model's name, and what extra_body sets for it",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    is_well: bool
    said: str
    # What to do, where it is not well.
    advice: str = ""


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Looks at one thing after the other; the configuration has been read already."""
    for finding in [*_packs(settings), _embedder(settings), await _store(settings)]:
        yield finding
    if not settings.providers:
        yield Finding("models", is_well=True, said="no provider is configured: the built-in engine answers")
        return
    models = RemoteModels(settings, _ignore)
    try:
        targets = [target for tier in models.router.tiers.values() for target in tier]
        for call in asyncio.as_completed([_model(target) for target in targets]):
            yield await call
    finally:
        await models.aclose()


def _packs(settings: Settings) -> Iterator[Finding]:
    try:
        found = load_domains(settings)
    except EngineError as error:
        yield Finding(
            "domain packs", is_well=False, said=error.message, advice="`repartee lint DOMAIN` lists every fault"
        )
    else:
        yield Finding("domain packs", is_well=True, said=f"{', '.join(found)}; {settings.domain} is the default")


def _embedder(settings: Settings) -> Finding:
    began = time.perf_counter()
    try:
        vector = MiniLM(settings.cache_dir).encode("Is anybody there?")
    except (EmbedderUnavailable, OSError) as error:
        return Finding("embedder", is_well=False, said=str(error), advice="`make setup` installs its weights")
    took_ms = (time.perf_counter() - began) * 1e3
    return Finding("embedder", is_well=True, said=f"{len(vector)} dimensions, loaded in {took_ms:.0f} ms")


async def _store(settings: Settings) -> Finding:
    file = settings.data_dir / "repartee.sqlite3"
    try:
        store = SqliteStore(file)
        await store.get("doctor", "nobody", datetime.now(UTC))
        await store.close()
    except EngineError as error:
        return Finding(
            "store", is_well=False, said=error.message, advice=f"is {settings.data_dir} there, and yours to write to?"
        )
    return Finding("store", is_well=True, said=str(file))


async def _model(target: Target) -> Finding:
    """One small call, as a turn would make it."""
    model = target.model
    name = f"{model.provider} {model.name}"
    began = time.perf_counter()
    first_ms = 0.0
    try:
        async with asyncio.timeout(_CALL_TIMEOUT_S), aclosing(model.stream(_CALL)) as pieces:
            async for _ in pieces:
                first_ms = first_ms or (time.perf_counter() - began) * 1e3
    except TimeoutError:
        error = ModelError(Kind.TIMEOUT, f"no answer in {_CALL_TIMEOUT_S:.0f} s")
    except ModelError as failure:
        error = failure
    else:
        return Finding(name, is_well=True, said=f"first text after {first_ms:.0f} ms")
    advice = _ADVICE[error.kind].format(name=model.provider, name_upper=model.provider.upper())
    return Finding(name, is_well=False, said=str(error), advice=advice)


def _ignore(event: Event) -> None:
    """Nobody counts what the doctor does."""
