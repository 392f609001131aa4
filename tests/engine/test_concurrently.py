"""Two things at once, and one thing that nobody may stop."""

from __future__ import annotations

import asyncio

import pytest

from engine.concurrently import both, to_the_end
from tests.virtual_time import other_tasks, run


async def after(seconds: float, result: str | Exception, came: list[str] | None = None) -> str:
    await asyncio.sleep(seconds)
    if isinstance(result, Exception):
        raise result
    if came is not None:
        came.append(result)
    return result


@pytest.mark.parametrize(("first_s", "second_s"), [(1, 2), (2, 1), (0, 0)])
def test_both_take_as_long_as_the_slower_one(first_s: float, second_s: float) -> None:
    async def test() -> None:
        assert await both(after(first_s, "a"), after(second_s, "b")) == ("a", "b")
        assert asyncio.get_running_loop().time() == pytest.approx(max(first_s, second_s))

    run(test())


@pytest.mark.parametrize("fails_first", [True, False])
def test_the_first_failure_is_raised_as_itself_and_ends_the_other(fails_first: bool) -> None:
    async def test() -> None:
        came: list[str] = []
        failing, other = after(1, LookupError("first")), after(5, "late", came)
        with pytest.raises(LookupError, match="first") as raised:
            await (both(failing, other) if fails_first else both(other, failing))
        assert raised.value.__cause__ is None
        assert asyncio.get_running_loop().time() == pytest.approx(1)
        await asyncio.sleep(10)
        assert came == []

    run(test())


def test_of_two_failures_the_first_is_raised() -> None:
    async def test() -> None:
        with pytest.raises(LookupError):
            await both(after(2, ValueError()), after(1, LookupError()))

    run(test())


def test_a_cancellation_ends_both() -> None:
    async def test() -> None:
        came: list[str] = []
        task = asyncio.create_task(both(after(5, "a", came), after(5, "b", came)))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert other_tasks() == set()
        assert came == []

    run(test())


def test_what_runs_to_the_end_gives_its_result_or_its_error() -> None:
    async def test() -> None:
        assert await to_the_end(after(1, "done")) == "done"
        with pytest.raises(LookupError):
            await to_the_end(after(1, LookupError()))

    run(test())


@pytest.mark.parametrize("result", ["done", LookupError("unseen")])
@pytest.mark.parametrize("cancellations", [1, 3])
def test_a_cancellation_waits_for_what_runs_to_the_end(result: str | Exception, cancellations: int) -> None:
    async def test() -> None:
        came: list[str] = []
        task = asyncio.create_task(to_the_end(after(10, result, came)))
        for _ in range(cancellations):
            await asyncio.sleep(1)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.get_running_loop().time() == pytest.approx(10)
        assert came == (["done"] if result == "done" else [])
        assert other_tasks() == set()

    run(test())
