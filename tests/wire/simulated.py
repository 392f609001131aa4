"""Models over the real SDKs and our own HTTP/2, answered by the simulator."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from benchmarks.simulator import Rule, Simulator, SimulatorSettings
from engine.complexity import Tier
from engine.llm.anthropic import Messages
from engine.llm.http2 import HttpClient, HttpSettings, new_client
from engine.llm.keys import Keys
from engine.llm.model import Tokens
from engine.llm.openai import ChatCompletions
from engine.llm.remote import Remote
from engine.step import Call, Prompt
from tests.engine.llm.models import Number, read_number

T = TypeVar("T")
PROVIDERS = ("anthropic", "openai")
NOW = datetime(2027, 3, 17, 12, tzinfo=UTC)


@dataclass(slots=True)
class Simulated:
    """A simulator, and models that call it."""

    simulator: Simulator
    http: HttpClient

    def model(self, provider: str, *keys: str, name: str = "fast", **extra: Any) -> Remote:
        keys = keys or ("key-one",)
        dialect: Messages | ChatCompletions
        if provider == "anthropic":
            dialect = Messages(keys, self.simulator.url, self.http, lambda: NOW)
        else:
            url = f"{self.simulator.url}/v1"
            dialect = ChatCompletions(keys, url, self.http, lambda: NOW, takes_temperature=True)
        draw = random.Random(1).random
        return Remote(provider, name, dialect, Keys(keys), extra, draw, lambda: NOW)


@asynccontextmanager
async def simulated(*rules: Rule, settings: SimulatorSettings | None = None) -> AsyncIterator[Simulated]:
    async with Simulator(settings or SimulatorSettings()) as simulator:
        simulator.misbehave(*rules)
        async with new_client(HttpSettings(new_context=simulator.context)) as http:
            yield Simulated(simulator, http)
        assert simulator.stats.open_streams == 0 or any(
            rule.fault.value in {"hang", "freeze", "stall"} for rule in rules
        )
        assert simulator.stats.tokens_after_reset == 0


def against(test: Callable[[Simulated], Coroutine[Any, Any, T]], *rules: Rule, **of: Any) -> T:
    """Runs a test's coroutine against a simulator with these faults."""

    async def whole() -> T:
        async with simulated(*rules, **of) as one:
            return await test(one)

    return asyncio.run(whole())


def numbers() -> Call[int]:
    return Call("count", Tier.FAST, None, Prompt("Count.", "How many?"), 50, 0.0, Number, read_number)


def words(prompt: str = "Say something.") -> Call[str]:
    return Call("write", Tier.FAST, None, Prompt("Write.", prompt), 50, 0.7)


async def said(model: Remote, call: Call[Any]) -> tuple[str, Tokens]:
    """All of a stream, and what it took."""
    text, tokens = "", Tokens()
    async for piece in model.stream(call):
        if isinstance(piece, Tokens):
            tokens = piece
        else:
            text += piece
    return text, tokens


async def until(condition: Callable[[], bool]) -> None:
    """What the other end sees comes a few steps of the loop later; bounded."""
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to be")
