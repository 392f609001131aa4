"""One turn at a time per conversation, in order of arrival.

A lane is a conversation's queue: its first place is the turn that runs, the others wait.
Who leaves, for whatever reason, wakes the next. A lane that is empty is forgotten.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from engine.deadline import Deadline
from engine.errors import Busy, DeadlineExceeded, Interrupted, Overloaded

# What a caller has for taking a finished answer: who does not read must not hold up the conversation.
HANDOVER_S = 5.0


class OnBusy(StrEnum):
    """What a turn does while another one of its conversation is being answered."""

    ENQUEUE = "enqueue"
    INTERRUPT = "interrupt"
    REJECT = "reject"


@dataclass(eq=False, slots=True)
class Place:
    """A turn's place in its lane, while it runs under the lane's deadline."""

    timeout: asyncio.Timeout
    turn_came: asyncio.Future[None]
    interrupted: bool = field(default=False, init=False)
    is_settled: bool = field(default=False, init=False)

    def interrupt(self) -> None:
        """Ends the turn that runs here, as if its deadline had come; too late once it is settled."""
        if not self.is_settled and not self.interrupted and not self.timeout.expired():
            self.interrupted = True
            self.timeout.reschedule(asyncio.get_running_loop().time())

    def gave_way(self, error: BaseException) -> bool:
        """Whether it is the interruption, and nothing besides, that the turn has ended of."""
        task = asyncio.current_task()
        cancelled_once = task is not None and task.cancelling() == 1
        return (
            self.interrupted and self.timeout.expired() and cancelled_once and isinstance(error, asyncio.CancelledError)
        )

    @contextmanager
    def settled(self) -> Iterator[None]:
        """While it is written down, neither deadline nor interruption ends it; after that only a caller who lingers."""
        self.is_settled = True
        if not self.timeout.expired():
            self.timeout.reschedule(None)
        yield
        if not self.timeout.expired():
            self.timeout.reschedule(asyncio.get_running_loop().time() + HANDOVER_S)


class Lanes:
    """All lanes of a process."""

    def __init__(self, waiting_max: int) -> None:
        self._waiting_max = waiting_max
        self._lanes: dict[str, deque[Place]] = {}

    @asynccontextmanager
    async def enter(self, key: str, deadline: Deadline, on_busy: OnBusy = OnBusy.ENQUEUE) -> AsyncIterator[Place]:
        """Waits for the turn's place, and holds it; the body is ended at the deadline.

        Raises:
            Busy: another turn is being answered, and `on_busy` is REJECT.
            Overloaded: too many turns wait already.
            DeadlineExceeded: the deadline came.
            Interrupted: a later turn asked for this one's end.
        """
        lane = self._lanes.setdefault(key, deque())
        if lane and on_busy is OnBusy.REJECT:
            raise Busy("another turn of this conversation is being answered; try again, or let it be enqueued")
        if len(lane) > self._waiting_max:
            raise Overloaded("too many turns of this conversation are waiting", retry_after_ms=1000)
        loop = asyncio.get_running_loop()
        place = Place(asyncio.timeout_at(deadline.at_s), loop.create_future())
        lane.append(place)
        try:
            async with place.timeout:
                if lane[0] is not place:
                    if on_busy is OnBusy.INTERRUPT:
                        lane[0].interrupt()
                    await place.turn_came
                yield place
        except TimeoutError:
            if not place.timeout.expired():
                raise  # the body's own
            if place.interrupted:
                raise Interrupted("a later message of the conversation took this one's place") from None
            raise DeadlineExceeded("the deadline came before the answer was complete") from None
        finally:
            self._leave(key, lane, place)

    def _leave(self, key: str, lane: deque[Place], place: Place) -> None:
        lane.remove(place)
        if not lane:
            del self._lanes[key]
        elif not lane[0].turn_came.done():
            lane[0].turn_came.set_result(None)
