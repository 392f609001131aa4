"""One turn at a time per conversation, in order of arrival, whatever becomes of those who wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.deadline import Deadline
from engine.errors import Busy, DeadlineExceeded, EngineError, Interrupted, Overloaded
from engine.lanes import Lanes, OnBusy, Place
from tests.virtual_time import VirtualLoop, other_tasks, run

NEVER = Deadline(1e9)


@dataclass
class Visits:
    """Turns that do nothing but hold their place for a while, and what was seen of them."""

    lanes: Lanes
    began: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def start(
        self,
        name: str,
        for_s: float = 1.0,
        on_busy: OnBusy = OnBusy.ENQUEUE,
        *,
        lane: str = "lane",
        deadline: Deadline = NEVER,
        settles: bool = False,
    ) -> asyncio.Task[None]:
        async def visit() -> None:
            async with self.lanes.enter(lane, deadline, on_busy) as place:
                self.began.append(name)
                with place.settled() if settles else nullcontext():
                    await asyncio.sleep(for_s)
                self.ended.append(name)

        return asyncio.create_task(visit(), name=name)


def visits(test: Callable[[Visits], Awaitable[None]], *, waiting_max: int = 8) -> None:
    """Runs a test; whatever it did, afterwards no lane is remembered and no task is left."""

    async def whole() -> None:
        lanes = Lanes(waiting_max)
        await test(Visits(lanes))
        assert lanes._lanes == {}
        assert other_tasks() == set()

    run(whole())


def test_turns_run_one_at_a_time_in_order_of_arrival() -> None:
    async def test(visits: Visits) -> None:
        tasks = [visits.start(name) for name in "abcd"]
        await asyncio.sleep(2.5)
        assert visits.began == ["a", "b", "c"]
        assert visits.ended == ["a", "b"]
        await asyncio.gather(*tasks)
        assert visits.ended == ["a", "b", "c", "d"]

    visits(test)


def test_a_late_comer_never_overtakes_who_was_just_woken() -> None:
    async def test(visits: Visits) -> None:
        tasks = [visits.start("first"), visits.start("second")]
        await asyncio.sleep(1.0)
        # The first has left in this very moment.
        tasks.append(visits.start("third"))
        await asyncio.gather(*tasks)
        assert visits.began == ["first", "second", "third"]

    visits(test)


def test_lanes_do_not_wait_for_each_other() -> None:
    async def test(visits: Visits) -> None:
        tasks = [visits.start(name, lane=name) for name in "abc"]
        await asyncio.sleep(0.5)
        assert visits.began == ["a", "b", "c"]
        await asyncio.gather(*tasks)

    visits(test)


def test_who_would_not_wait_is_refused_at_once_and_disturbs_nobody() -> None:
    async def test(visits: Visits) -> None:
        running, waiting = visits.start("running"), visits.start("waiting")
        await asyncio.sleep(0.5)
        with pytest.raises(Busy):
            await visits.start("impatient", on_busy=OnBusy.REJECT)
        assert asyncio.get_running_loop().time() == pytest.approx(0.5)
        await asyncio.gather(running, waiting)
        await visits.start("free now", on_busy=OnBusy.REJECT)
        assert visits.ended == ["running", "waiting", "free now"]

    visits(test)


def test_an_interruption_ends_the_turn_that_runs_and_takes_its_place() -> None:
    async def test(visits: Visits) -> None:
        old = visits.start("old", for_s=10)
        await asyncio.sleep(1)
        await visits.start("new", on_busy=OnBusy.INTERRUPT)
        with pytest.raises(Interrupted):
            await old
        assert visits.ended == ["new"]
        assert asyncio.get_running_loop().time() == pytest.approx(2)

    visits(test)


def test_an_interruption_leaves_those_who_wait_their_turn() -> None:
    async def test(visits: Visits) -> None:
        old, waiting = visits.start("old", for_s=10), visits.start("waiting")
        await asyncio.sleep(1)
        new = visits.start("new", on_busy=OnBusy.INTERRUPT)
        await asyncio.gather(waiting, new)
        with pytest.raises(Interrupted):
            await old
        assert visits.ended == ["waiting", "new"]

    visits(test)


def test_a_settled_turn_ends_by_itself_whoever_interrupts() -> None:
    async def test(visits: Visits) -> None:
        old = visits.start("old", for_s=10, settles=True)
        await asyncio.sleep(1)
        new = visits.start("new", on_busy=OnBusy.INTERRUPT)
        await asyncio.gather(old, new)
        assert visits.ended == ["old", "new"]

    visits(test)


def test_two_interruptions_end_a_turn_once() -> None:
    async def test(visits: Visits) -> None:
        old = visits.start("old", for_s=10)
        await asyncio.sleep(1)
        one, other = (visits.start(name, on_busy=OnBusy.INTERRUPT) for name in ("one", "other"))
        with pytest.raises(Interrupted):
            await old
        assert not old.cancelled()
        # The second interrupts nobody who has not begun: the first of them is answered, too.
        await asyncio.gather(one, other)
        assert visits.ended == ["one", "other"]

    visits(test)


def test_an_interruption_of_an_empty_lane_is_an_ordinary_turn() -> None:
    async def test(visits: Visits) -> None:
        await visits.start("only", on_busy=OnBusy.INTERRUPT)
        assert visits.ended == ["only"]

    visits(test)


@pytest.mark.parametrize("waiting_max", [0, 1, 3])
def test_so_many_may_wait_and_no_more(waiting_max: int) -> None:
    async def test(visits: Visits) -> None:
        tasks = [visits.start(str(number)) for number in range(waiting_max + 1)]
        await asyncio.sleep(0.5)
        with pytest.raises(Overloaded) as refused:
            await visits.start("too many")
        assert refused.value.retry_after_ms > 0
        # Another conversation has a bound of its own.
        await visits.start("elsewhere", for_s=0, lane="other")
        await asyncio.gather(*tasks)
        await visits.start("later")
        assert "too many" not in visits.began
        assert visits.ended[-1] == "later"

    visits(test, waiting_max=waiting_max)


def test_a_deadline_ends_the_turn_that_runs() -> None:
    async def test(visits: Visits) -> None:
        late = visits.start("late", for_s=10, deadline=Deadline(2))
        after = visits.start("after")
        with pytest.raises(DeadlineExceeded):
            await late
        assert asyncio.get_running_loop().time() == pytest.approx(2)
        await after

    visits(test)


def test_a_deadline_ends_the_waiting_and_the_next_in_line_is_not_forgotten() -> None:
    async def test(visits: Visits) -> None:
        running = visits.start("running", for_s=5)
        late, after = visits.start("late", deadline=Deadline(2)), visits.start("after")
        with pytest.raises(DeadlineExceeded):
            await late
        assert asyncio.get_running_loop().time() == pytest.approx(2)
        await asyncio.gather(running, after)
        assert visits.ended == ["running", "after"]

    visits(test)


def test_a_deadline_in_the_moment_of_its_turn_wakes_the_next() -> None:
    async def test(visits: Visits) -> None:
        running = visits.start("running", for_s=2)
        late, after = visits.start("late", deadline=Deadline(2)), visits.start("after")
        await asyncio.gather(running, after)
        assert isinstance(*await asyncio.gather(late, return_exceptions=True), DeadlineExceeded)
        assert visits.ended == ["running", "after"]

    visits(test)


def test_a_settled_turn_has_no_deadline_any_more() -> None:
    async def test(visits: Visits) -> None:
        await visits.start("settled", for_s=10, deadline=Deadline(2), settles=True)
        assert visits.ended == ["settled"]

    visits(test)


def test_a_time_out_of_the_turns_own_work_is_not_taken_for_the_deadline() -> None:
    async def test(visits: Visits) -> None:
        with pytest.raises(TimeoutError):
            async with visits.lanes.enter("lane", NEVER):
                raise TimeoutError

    visits(test)


@pytest.mark.parametrize("moment_s", [0.5, 1.0])
def test_who_is_cancelled_while_waiting_leaves_no_trace_and_the_next_comes(moment_s: float) -> None:
    async def test(visits: Visits) -> None:
        running, gone, after = visits.start("running"), visits.start("gone"), visits.start("after")
        await asyncio.sleep(moment_s)
        gone.cancel()
        await asyncio.gather(running, after)
        assert gone.cancelled()
        assert visits.ended == ["running", "after"]
        assert "gone" not in visits.began

    visits(test)


def test_who_is_cancelled_after_being_woken_wakes_the_next() -> None:
    async def test(visits: Visits) -> None:
        async with visits.lanes.enter("lane", NEVER):
            gone, after = visits.start("gone"), visits.start("after")
            await asyncio.sleep(1)
        # It has been told that its turn has come, and has not run since.
        gone.cancel()
        await after
        assert visits.began == ["after"]

    visits(test)


def test_a_cancelled_turn_is_cancelled_and_not_late() -> None:
    async def test(visits: Visits) -> None:
        task = visits.start("task", for_s=10, deadline=Deadline(20))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    visits(test)


def test_a_turn_that_fails_fails_as_itself_and_wakes_the_next() -> None:
    async def test(visits: Visits) -> None:
        async def fail() -> None:
            async with visits.lanes.enter("lane", NEVER):
                await asyncio.sleep(1)
                raise LookupError("broken")

        broken = asyncio.create_task(fail())
        await asyncio.sleep(0.5)
        after = visits.start("after")
        with pytest.raises(LookupError):
            await broken
        await after

    visits(test)


@dataclass(eq=False)
class Visitor:
    """One who came to the lane of the machine below."""

    number: int
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    place: Place | None = None
    task: asyncio.Task[None] = field(init=False)


class LaneMachine(RuleBasedStateMachine):
    """Whoever comes, leaves, is cancelled, times out or interrupts, in any order: see `exactly_the_first_runs`."""

    WAITING_MAX = 3

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.lanes = Lanes(self.WAITING_MAX)
        # In order of arrival, those who were let in.
        self.inside: list[Visitor] = []
        self.writes: list[AbstractContextManager[None]] = []
        self.count = 0

    def teardown(self) -> None:
        for visitor in self.inside:
            visitor.leave.set()
        self._let_run(0)
        assert self.lanes._lanes == {}
        assert asyncio.all_tasks(self.loop) == set()
        self.loop.close()

    @rule(on_busy=st.sampled_from(OnBusy), for_s=st.sampled_from([0.0, 3.0, 1e6]), at_once=st.booleans())
    def come(self, on_busy: OnBusy, for_s: float, at_once: bool) -> None:
        self.count += 1
        deadline = Deadline(self.loop.time() + for_s)
        visitor = Visitor(self.count)

        async def visit() -> None:
            async with self.lanes.enter("lane", deadline, on_busy) as visitor.place:
                await visitor.leave.wait()

        visitor.task = self.loop.create_task(visit())
        busy, full = bool(self.inside), len(self.inside) > self.WAITING_MAX
        self.inside.append(visitor)
        if at_once:
            self._let_run(0)
            error = self._error(visitor)
            refused = Busy if busy and on_busy is OnBusy.REJECT else Overloaded if full else None
            if busy and refused and not any(other.task.done() for other in self.inside[:-1]):
                assert isinstance(error, refused)

    @precondition(lambda self: self.inside)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.inside)).leave.set()

    @precondition(lambda self: self.inside)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.inside)).task.cancel()

    @precondition(lambda self: self.inside)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        visitor = data.draw(st.sampled_from(self.inside))
        if visitor.place and not visitor.task.done():
            # For good: a write that hangs.
            self.writes.append(visitor.place.settled())
            self.writes[-1].__enter__()

    @rule(seconds=st.sampled_from([0.0, 1.0, 5.0]))
    def pass_time(self, seconds: float) -> None:
        self._let_run(seconds)

    @invariant()
    def exactly_the_first_runs(self) -> None:
        """Once everybody had a chance to run: the first of those inside runs, and only the first."""
        self._let_run(0)
        runs = [visitor.place is not None for visitor in self.inside]
        assert runs == [place == 0 for place in range(len(self.inside))]
        assert [visitor.number for visitor in self.inside] == sorted(visitor.number for visitor in self.inside)
        assert bool(self.lanes._lanes) == bool(self.inside)

    def _let_run(self, seconds: float) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            for _ in range(20 * (len(self.inside) + 1)):
                await asyncio.sleep(0)

        self.loop.run_until_complete(wait())
        for visitor in self.inside:
            self._error(visitor)
        self.inside = [visitor for visitor in self.inside if not visitor.task.done()]

    @staticmethod
    def _error(visitor: Visitor) -> EngineError | None:
        """What a visit that is over ended with; anything but the lanes' own errors is a fault."""
        if not visitor.task.done() or visitor.task.cancelled():
            return None
        error = visitor.task.exception()
        assert error is None or isinstance(error, Busy | Overloaded | DeadlineExceeded | Interrupted)
        return error


test_the_first_in_line_runs_whatever_happens = LaneMachine.TestCase
test_the_first_in_line_runs_whatever_happens.settings = settings(deadline=None, max_examples=60, stateful_step_count=25)
