"""The unit that turns and workflows are made of, and what runs it.

A Step says what is asked of a model, not who answers. Adding a stage or a workflow adds
a Step, never a second way to a provider.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from engine.complexity import Tier
from engine.deadline import Deadline
from engine.stages import Stage

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, slots=True)
class Step(Generic[In, Out]):
    """A question of one kind: its input, its answer, and how hard it is."""

    name: str
    # Part of every cache key: to be raised with any change of what is asked.
    version: int
    stage: Stage
    tier: Callable[[In], Tier]


@dataclass(frozen=True, slots=True)
class Served:
    """Who answered a step."""

    provider: str
    model: str
    tier: Tier
    # Calls made, those that were thrown away counted in.
    calls: int = 1


class Provider(Protocol):
    """Whatever can answer steps: the built-in engine, or a remote model."""

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
