"""Times the stages of one turn, and tells whoever listens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from engine.events import Emit, FirstText, StageEnded
from engine.stages import Stage
from engine.step import Served
from engine.trace import Answer, StageTrace
from engine.usage import NO_USAGE


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The first event of a stream."""

    conversation_id: str
    turn: int


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage has begun."""

    stage: Stage
    step: str


@dataclass(frozen=True, slots=True)
class Text:
    """The next piece of the reply; never taken back."""

    text: str


TurnEvent = TurnStarted | StageStarted | StageTrace | Text | Answer
# Hands an event to the caller; returns when there is room for the next one.
Send = Callable[[TurnEvent], Awaitable[None]]
# Seconds, monotonic. Not the event loop's time: uvloop's moves in steps of a millisecond.
Clock = Callable[[], float]


class Stopwatch:
    """The clock of one turn; all times count from the request's arrival."""

    def __init__(self, clock: Clock, emit: Emit, send: Send | None) -> None:
        """Starts now. `send` is None where the caller waits for the whole reply."""
        self._clock = clock
        self._arrived_s = clock()
        self._emit = emit
        self.send = send
        self._stages: list[StageTrace] = []
        self.first_text_ms: float | None = None
        # Of all stages so far.
        self.usage = NO_USAGE
        self.degraded = False

    def now_ms(self) -> float:
        return (self._clock() - self._arrived_s) * 1e3

    @property
    def stages(self) -> tuple[StageTrace, ...]:
        """The stages that have run, in the order in which they started."""
        return tuple(sorted(self._stages, key=lambda trace: trace.start_ms))

    @asynccontextmanager
    async def stage(self, stage: Stage, step: str = "") -> AsyncIterator[Served]:
        """Times the body, which notes who served it; a stage that fails or is cancelled costs, and leaves no trace."""
        start_ms = self.now_ms()
        if self.send:
            await self.send(StageStarted(stage, step))
        served = Served()
        try:
            yield served
        finally:
            self.usage += served.usage
            self.degraded = self.degraded or served.degraded
        by = (served.provider, served.model, served.tier or "", served.calls)
        await self._ended(StageTrace(stage, start_ms, self.now_ms() - start_ms, step, *by))

    async def waited(self, stage: Stage) -> None:
        """Records a stage that began with the request's arrival and ends now."""
        await self._ended(StageTrace(stage, 0.0, self.now_ms()))

    async def say(self, text: str) -> None:
        """Hands a piece of the reply to a caller who listens."""
        if self.send is None:
            return
        if self.first_text_ms is None:
            self.first_text_ms = self.now_ms()
            self._emit(FirstText(self.first_text_ms))
        await self.send(Text(text))

    async def _ended(self, trace: StageTrace) -> None:
        self._stages.append(trace)
        self._emit(StageEnded(trace))
        if self.send:
            await self.send(trace)
