"""The loop that the tests of time-dependent policy stand on."""

from __future__ import annotations

import asyncio

import pytest

from tests.virtual_time import Stuck, other_tasks, run, virtual_loop


def test_an_hour_of_waiting_takes_no_time() -> None:
    async def wait() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert run(wait()) == pytest.approx(3600)


def test_timers_come_in_the_order_of_their_times() -> None:
    async def race() -> list[str]:
        came: list[str] = []

        async def arrive(name: str, after_s: float) -> None:
            await asyncio.sleep(after_s)
            came.append(name)

        await asyncio.gather(arrive("late", 30), arrive("early", 0.001), arrive("between", 12.5))
        return came

    assert run(race()) == ["early", "between", "late"]


def test_a_thread_can_wake_the_loop_where_no_timer_runs() -> None:
    async def ask_a_thread() -> str:
        return await asyncio.to_thread(lambda: "answered")

    assert run(ask_a_thread()) == "answered"


def test_waiting_for_what_nobody_does_is_told_and_not_waited_for() -> None:
    async def wait_forever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stuck, match="wait_forever"):
        run(wait_forever(), threads_max_s=0.01)


@pytest.mark.parametrize("pause_s", [0, 0.5])
def test_polling_without_end_is_told_and_not_waited_for(pause_s: float) -> None:
    async def poll() -> None:
        while True:  # noqa: ASYNC110  (that is what it is about)
            await asyncio.sleep(pause_s)

    with pytest.raises(Stuck, match="poll"):
        run(poll(), steps_max=1000)


def test_every_step_can_be_watched() -> None:
    async def count() -> list[int]:
        steps: list[int] = []
        virtual_loop().each_step(steps.append)
        for _ in range(3):
            await asyncio.sleep(0)
        virtual_loop().each_step(None)
        await asyncio.sleep(0)
        return steps

    assert run(count()) == [1, 2, 3]


def test_tasks_that_were_left_behind_are_seen() -> None:
    async def leave_one() -> tuple[set[str], set[str]]:
        left = asyncio.create_task(asyncio.sleep(5))
        seen = other_tasks()
        await left
        return seen, other_tasks()

    assert run(leave_one()) == ({"sleep"}, set())
