"""Virtual time: an event loop whose clock jumps to the next timer, so that waiting takes no time.

    assert run(race()) == "the fast one"

A test on this loop is as fast as its work, and the order of its timers is always the same.
Work on threads takes no time on this clock: a timer that runs meanwhile comes first.

What would hang ends with `Stuck` instead: nobody is ready, no timer runs and no thread
reports within a few seconds; or the loop turns and turns, as polling that nobody ends does.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

STEPS_MAX = 1_000_000
# Of real time: for threads to report, where nothing else is left to wait for.
THREADS_MAX_S = 10.0


class Stuck(AssertionError):
    """What runs on the loop would never end."""


class _JumpingSelector(selectors.DefaultSelector):
    """Looks at what is ready; where nothing is, time goes on at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.steps = 0
        self.threads_max_s = THREADS_MAX_S
        self.steps_max = STEPS_MAX
        self.on_step: Callable[[int], None] | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Called once in every step of the loop; `timeout` is None where no timer runs."""
        self.steps += 1
        if self.steps > self.steps_max:
            # The loop still has to end its tasks.
            self.steps = 0
            raise Stuck(f"turns without end, {self.now_s:.3f} s on: {_waiting()}")
        if self.on_step:
            self.on_step(self.steps)
        ready = super().select(self.threads_max_s if timeout is None else 0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise Stuck(f"waits for what nobody will do, {self.now_s:.3f} s on: {_waiting()}")
        self.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time, which begins at 0."""

    def __init__(self, threads_max_s: float = THREADS_MAX_S, steps_max: int = STEPS_MAX) -> None:
        self._jumping = _JumpingSelector()
        self._jumping.threads_max_s = threads_max_s
        self._jumping.steps_max = steps_max
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s

    def each_step(self, call: Callable[[int], None] | None) -> None:
        """Has a function called in every step of the loop, between two rounds of callbacks; None ends it.

        The function gets the number of steps since it was set, from 1.
        """
        before = self._jumping.steps
        self._jumping.on_step = (lambda step: call(step - before)) if call else None


def run(coroutine: Coroutine[Any, Any, T], **bounds: Any) -> T:
    """Runs a coroutine in virtual time; `bounds` are those of `VirtualLoop`.

    Raises:
        Stuck: it would never end.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(**bounds)) as runner:
        return runner.run(coroutine)


def virtual_loop() -> VirtualLoop:
    """The loop that runs the caller."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop), "to be run by `run` of this module"
    return loop


def other_tasks() -> set[str]:
    """The tasks that are alive besides the caller's, by what they run: empty where nothing was left behind."""
    return {_name(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def cancelled_at(point: int, work: Coroutine[Any, Any, Any]) -> tuple[asyncio.Task[Any], bool]:
    """Runs a coroutine and cancels it in the n-th step of the loop: its task, which is over, and whether it was cut."""
    task = asyncio.ensure_future(work)
    cut = False

    def step(number: int) -> None:
        nonlocal cut
        if number == point and not task.done():
            cut = task.cancel()

    virtual_loop().each_step(step)
    await asyncio.wait([task])
    virtual_loop().each_step(None)
    return task, cut


def _waiting() -> str:
    return ", ".join(sorted(map(_name, asyncio.all_tasks()))) or "no task"


def _name(task: asyncio.Task[Any]) -> str:
    return str(getattr(task.get_coro(), "__qualname__", task.get_name()))
