"""The unit that turns and workflows are made of, and what answers it.

A Step says what is asked of a model, not who answers. Adding a stage or a workflow adds
a Step, never a second way to a provider.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel

from engine.complexity import Tier
from engine.deadline import Deadline
from engine.stages import Stage
from engine.usage import NO_USAGE, Usage

In = TypeVar("In")
Out = TypeVar("Out")


class Routing(StrEnum):
    """How a call is spread over the providers."""

    # All at once; the first valid answer wins, and the others are cancelled.
    RACE = "race"
    # The next one starts when the first is slower than it usually is.
    HEDGE = "hedge"
    # The next one starts when the first has failed.
    FAILOVER = "failover"
    # One provider, the one that is fastest of late.
    SINGLE = "single"


@dataclass(frozen=True, slots=True)
class Asks:
    """What one request wants of whoever answers its steps; None follows the configuration."""

    tier: Tier | None = None
    routing: Routing | None = None


NO_WISHES = Asks()


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model reads: first what is the same for every message, so that providers can cache it."""

    system: str
    user: str


def fenced(text: str) -> str:
    """Somebody's words within a prompt, as data: one JSON string on one line, which nothing in it can end."""
    return json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Structure(Generic[In, Out]):
    """The answer of a structured step, as a model gives it and as the engine takes it."""

    # The schema depends on the pack: its ids are enumerated.
    schema: Callable[[In], type[BaseModel]]
    # Raises ValueError where the answer fits the schema and still makes no sense.
    read: Callable[[In, BaseModel], Out]


@dataclass(frozen=True, slots=True)
class Step(Generic[In, Out]):
    """A question of one kind: its input, its answer, and how hard it is."""

    name: str
    # Part of every cache key: to be raised with any change of what is asked.
    version: int
    stage: Stage
    tier: Callable[[In], Tier]
    prompt: Callable[[In], Prompt]
    # What a model may write at most.
    tokens_max: int
    temperature: float
    # None where the answer is text, to be streamed.
    structure: Structure[In, Out] | None = None


@dataclass(slots=True)
class Served:
    """Who answered a step and what it took; filled in as it becomes known."""

    provider: str = ""
    model: str = ""
    tier: Tier | None = None
    # Those that were thrown away counted in.
    calls: int = 0
    # The remote providers failed, or ran out of time, and the built-in engine answered.
    degraded: bool = False
    usage: Usage = NO_USAGE


class Provider(Protocol):
    """Whatever can answer steps by itself: the built-in engine."""

    @property
    def name(self) -> str: ...

    def model(self, tier: Tier) -> tuple[str, Tier]:
        """The model for a tier, and the tier that it really is of."""
        ...

    async def answer(self, step: Step[In, Out], value: In, deadline: Deadline) -> Out:
        """The whole answer to a structured step."""
        ...

    def stream(self, step: Step[In, str], value: In, deadline: Deadline) -> AsyncGenerator[str, None]:
        """The answer to a text step, piece by piece."""
        ...


@dataclass(frozen=True, slots=True)
class Call(Generic[Out]):
    """A step's question as it goes to remote models."""

    step: str
    tier: Tier
    # None follows the configuration.
    routing: Routing | None
    prompt: Prompt
    tokens_max: int
    temperature: float
    # None where the answer is text.
    schema: type[BaseModel] | None = None
    read: Callable[[BaseModel], Out] | None = None


class Models(Protocol):
    """The remote models together, however a call is spread over them."""

    async def answer(self, call: Call[Out], deadline: Deadline, served: Served) -> Out:
        """The first valid answer.

        Raises:
            ModelsFailed: there is none before the deadline; says what each one said.
        """
        ...

    def stream(self, call: Call[str], deadline: Deadline, served: Served) -> AsyncGenerator[str, None]:
        """The text, piece by piece; goes on with another model where one dies.

        Raises:
            ModelsFailed: as above; what came before it stands.
        """
        ...
