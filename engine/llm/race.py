"""Runs one call over several models by its course, until one has a valid answer or all have failed.

The error path is half of it: a call that fails starts the next one at once, if the course
says so; a race is over when somebody has won or nobody can any more, never before. Whoever
loses is cancelled and waited for, which takes one round of the loop, as a cancelled call
resets its stream and is gone: when `first_valid` returns or raises, nothing runs on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from engine.concurrently import to_the_end
from engine.llm.course import Course, Over, Start
from engine.llm.model import Kind, ModelError, Tokens

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StreamTimeouts:
    """Seconds: until the first text, between two pieces, and altogether."""

    first_s: float
    between_s: float
    total_s: float


async def first_valid(
    course: Course,
    start: Callable[[Start], Coroutine[Any, Any, T]],
    discard: Callable[[T], Awaitable[None]],
    draw: Callable[[], float],
    may_hedge: Callable[[], bool],
) -> tuple[int, T] | None:
    """The first answer, and the model it came from; None where all have failed.

    Args:
        course: decides who starts when.
        start: makes one call; raises ModelError. Cancelled, it ends the call.
        discard: ends what a second winner of the same moment has begun.
        draw: uniform in [0, 1).
        may_hedge: whether there is budget for one more call.
    """
    loop = asyncio.get_running_loop()
    running: dict[asyncio.Task[T], int] = {}
    won: tuple[int, T] | None = None
    try:
        while won is None:
            move = course.next(loop.time(), may_hedge=may_hedge())
            if isinstance(move, Start):
                running[asyncio.create_task(start(move))] = move.target
                continue
            if isinstance(move, Over):
                return None
            until_s = None if move.until_s is None else max(0.0, move.until_s - loop.time())
            if not running:
                await asyncio.sleep(until_s or 0.0)
                continue
            done, _ = await asyncio.wait(running, timeout=until_s, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=lambda task: course.order.index(running[task])):
                if won:
                    break
                target = running.pop(task)
                try:
                    won = target, task.result()
                except ModelError as error:
                    course.failed(target, error, loop.time(), draw())
        return won
    finally:
        try:
            await to_the_end(_end(running, discard))
        except asyncio.CancelledError:
            if won:
                await discard(won[1])
            raise


async def _end(running: dict[asyncio.Task[T], int], discard: Callable[[T], Awaitable[None]]) -> None:
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)
    for task in running:
        if not task.cancelled() and task.exception() is None:
            await discard(task.result())


class Leg:
    """A stream that is read by a task of its own, as it comes: it can be waited for, kept waiting, and dropped.

    What is read waits here, bounded by what a step lets a model write.
    """

    def __init__(self, pieces: AsyncGenerator[str | Tokens, None], timeouts: StreamTimeouts) -> None:
        self._stream = pieces
        self._timeouts = timeouts
        self._waiting: deque[str] = deque()
        self._news = asyncio.Event()
        self._error: ModelError | None = None
        # All that was read; and what it took, known at the end.
        self.text = ""
        self.tokens: Tokens | None = None
        self.first_text_at_s: float | None = None
        self.task = asyncio.ensure_future(self._read())

    async def begun(self) -> None:
        """Returns with the first text. Raises ModelError where the stream ends or dies before it."""
        while not self._waiting and not self.task.done():
            await self._heard()
        if not self._waiting:
            raise self._error or ModelError(Kind.INVALID_OUTPUT, "the stream ended without any text")

    async def pieces(self) -> AsyncGenerator[str, None]:
        """The text as it comes. Raises ModelError where the stream dies."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self.task.done():
                break
            await self._heard()
        if self._error:
            raise self._error

    async def aclose(self) -> None:
        """Ends the stream on the wire, if it has not ended; returns when it is gone."""
        if not self.task.done():
            self.task.cancel()
            await asyncio.wait([self.task])

    async def _heard(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        timeouts = self._timeouts
        end_s = loop.time() + timeouts.total_s
        try:
            async with (
                asyncio.timeout_at(min(end_s, loop.time() + timeouts.first_s)) as timeout,
                aclosing(self._stream),
            ):
                async for piece in self._stream:
                    if isinstance(piece, Tokens):
                        self.tokens = piece
                    elif piece:
                        if self.first_text_at_s is None:
                            self.first_text_at_s = loop.time()
                        self.text += piece
                        self._waiting.append(piece)
                        self._news.set()
                        timeout.reschedule(min(end_s, loop.time() + timeouts.between_s))
        except ModelError as error:
            self._error = error
        except TimeoutError:
            waited_for = "the next text" if self.text else "the first text"
            self._error = ModelError(Kind.TIMEOUT, f"{waited_for} did not come in time")
        finally:
            self._news.set()
