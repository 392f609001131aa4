"""The only executor of a Step: picks the tier, asks the models, falls back on the built-in engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import TypeVar

from engine.complexity import Tier
from engine.deadline import Deadline
from engine.errors import ModelsFailed
from engine.events import Degraded, Emit
from engine.step import Asks, Call, Models, Provider, Served, Step

In = TypeVar("In")
Out = TypeVar("Out")


class Runner:
    """Runs steps: on remote models where there are any, else on the built-in engine."""

    def __init__(self, local: Provider, models: Models | None, emit: Emit, reserve_s: float) -> None:
        """`reserve_s` is what the built-in engine needs before a deadline, should the models not answer."""
        self._local = local
        self._models = models
        self._emit = emit
        self._reserve_s = reserve_s

    async def run(self, step: Step[In, Out], value: In, deadline: Deadline, asks: Asks, served: Served) -> Out:
        """The whole answer to a structured step."""
        call = self._call(step, value, asks)
        if self._models and call:
            try:
                return await self._models.answer(call, self._in_time(deadline), served)
            except ModelsFailed as error:
                self._degrade(step.name, error, served)
        self._serve_locally(step, value, served)
        return await self._local.answer(step, value, deadline)

    async def stream(
        self, step: Step[In, str], value: In, deadline: Deadline, asks: Asks, served: Served
    ) -> AsyncGenerator[str, None]:
        """The answer to a text step, piece by piece.

        Raises:
            ModelsFailed: after its first piece; before it the built-in engine answers.
        """
        call = self._call(step, value, asks)
        if self._models and call:
            begun = False
            try:
                async with aclosing(self._models.stream(call, self._in_time(deadline), served)) as pieces:
                    async for piece in pieces:
                        begun = True
                        yield piece
            except ModelsFailed as error:
                self._degrade(step.name, error, served)
                if begun:
                    raise
            else:
                return
        self._serve_locally(step, value, served)
        async with aclosing(self._local.stream(step, value, deadline)) as pieces:
            async for piece in pieces:
                yield piece

    def _call(self, step: Step[In, Out], value: In, asks: Asks) -> Call[Out] | None:
        """The step's question to remote models; None where none is to be asked."""
        own = step.tier(value)
        # What a step keeps to itself, a wish does not send away.
        tier = own if own is Tier.LOCAL else asks.tier or own
        if self._models is None or tier is Tier.LOCAL:
            return None
        structure = step.structure
        return Call(
            step.name,
            tier,
            asks.routing,
            step.prompt(value),
            step.tokens_max,
            step.temperature,
            structure.schema(value) if structure else None,
            partial(structure.read, value) if structure else None,
        )

    def _in_time(self, deadline: Deadline) -> Deadline:
        return Deadline(deadline.at_s - self._reserve_s)

    def _degrade(self, step: str, error: ModelsFailed, served: Served) -> None:
        served.degraded = True
        self._emit(Degraded(step, error.kinds))

    def _serve_locally(self, step: Step[In, Out], value: In, served: Served) -> None:
        served.provider = self._local.name
        served.model, served.tier = self._local.model(step.tier(value))
        served.calls += 1
