"""The only executor of a Step: picks the model, asks the provider, says who answered."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TypeVar

from engine.deadline import Deadline
from engine.step import Provider, Served, Step

In = TypeVar("In")
Out = TypeVar("Out")


class Runner:
    """Runs steps on a provider."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def served_by(self, step: Step[In, Out], value: In) -> Served:
        """Who would answer: the provider's model of the tier that the step asks for."""
        model, tier = self._provider.model(step.tier(value))
        return Served(self._provider.name, model, tier)

    async def run(self, step: Step[In, Out], value: In, deadline: Deadline) -> Out:
        """The whole answer to a structured step."""
        return await self._provider.answer(step, value, deadline)

    def stream(self, step: Step[In, str], value: In, deadline: Deadline) -> AsyncGenerator[str, None]:
        """The answer to a text step, piece by piece."""
        return self._provider.stream(step, value, deadline)
