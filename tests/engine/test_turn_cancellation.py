"""A turn that is cut short, at every point at which it can be.

What must hold, wherever it is cut: the buyer has read nothing and nothing is written; or
what is written is exactly what the buyer has read. The lane is free, nothing runs on, and
whoever asked for the end hears of it.

Every test runs its turn again and again, cut at the first point, the second, and so on
until it comes to its end uncut.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from engine.errors import DeadlineExceeded, EngineError, Interrupted
from engine.events import TurnBegan, TurnEnded
from engine.lanes import OnBusy
from engine.ports import ConversationStore
from engine.store.sqlite import SqliteStore
from engine.trace import Analysis, Answer
from tests.fakes import Listener, MemoryStore, World, asks, pain, within
from tests.virtual_time import other_tasks, run, virtual_loop

T = TypeVar("T")
REPLY = "Tell me more. I would like to know."
POINTS_MAX = 200


class Suspended:
    """Awaits a coroutine and counts how often it suspends; its task is cancelled at the n-th time.

    `waking` cancels not when the n-th suspension begins but when it ends: what was waited
    for has come, and the task has not learnt of it yet.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], at: int, *, waking: bool) -> None:
        self._coroutine = coroutine
        self._at = at
        self._waking = waking
        self.count = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        task = asyncio.current_task()
        assert task is not None
        step: Callable[[], Any] = partial(self._coroutine.send, None)
        while True:
            try:
                awaited = step()
            except StopIteration as returned:
                return returned.value
            self.count += 1
            if self.count == self._at:
                if self._waking and awaited is not None:
                    awaited.add_done_callback(lambda _: task.cancel())
                else:
                    task.cancel()
            try:
                yield awaited
            except BaseException as error:  # noqa: BLE001  (it is the coroutine's)
                step = partial(self._coroutine.throw, error)
            else:
                step = partial(self._coroutine.send, None)


@asynccontextmanager
async def world_on(kind: str = "memory", path: Path | None = None, *, concurrent_max: int = 1) -> AsyncIterator[World]:
    """A world with one open conversation, and room for one turn at a time: a leaked place shows at once."""
    sqlite = SqliteStore(path / "store.sqlite3") if kind == "sqlite" and path else None
    store: ConversationStore = sqlite or MemoryStore(write_s=0.25)
    world = World(store, concurrent_max=concurrent_max)
    world.provider.findings = [pain("slow")]
    world.provider.reply = ["Tell me ", 0.5, "more. ", "I would like ", 0.5, "to know."]
    world.provider.capture_s, world.provider.detect_s = 0.2, 0.1
    world.embedder.delay_s = 0.1
    await world.open()
    try:
        yield world
    finally:
        if sqlite:
            await sqlite.close()


@dataclass
class Ended:
    """How a turn came to its end."""

    result: object = None
    error: BaseException | None = None
    # Whether it was cut at all: the point lay within it.
    cut: bool = True


async def caught(task: asyncio.Task[Any]) -> Ended:
    await asyncio.wait([task])
    if task.cancelled():
        return Ended(error=asyncio.CancelledError())
    error = task.exception()
    return Ended(error=error) if error else Ended(task.result())


async def assert_nothing_is_left(world: World, turns_before: int) -> None:
    """The next turn is answered at once, and is the next one."""
    assert other_tasks() == set()
    assert world.provider.streams_open == 0
    assert len(world.happened(TurnBegan)) == len(world.happened(TurnEnded))
    world.provider.reply = ["Again."]
    answer = await world.turns.respond(asks("Still there?", on_busy=OnBusy.REJECT), within())
    assert answer.turn.number == turns_before + 1
    assert [turn.number for turn in await world.kept()] == list(range(1, turns_before + 2))
    assert other_tasks() == set()


async def assert_what_was_heard_is_kept(world: World, heard: Listener, whole: str = REPLY) -> None:
    """Of a stream: nothing, or exactly what was sent; what is less than the whole is marked so."""
    kept = await world.kept()
    if heard.text:
        (turn,) = kept
        assert turn.reply == heard.text.strip()
        assert turn.interrupted or turn.reply == whole
        assert [change.name for change in turn.changes] == ["pain"]
        conversation = await world.conversations.get("acme", "talk")
        assert conversation.turn_count == 1
        assert [exchange.reply for exchange in conversation.history] == [turn.reply]
    else:
        assert not kept
        assert (await world.conversations.get("acme", "talk")).revision == 1


async def assert_nothing_or_all_is_kept(world: World, ended: Ended) -> None:
    """Of a turn whose reply is handed over as a whole."""
    kept = await world.kept()
    assert len(kept) <= 1
    if kept:
        assert kept[0].reply == REPLY
        assert not kept[0].interrupted
    else:
        assert ended.error


def at_every_point(once: Callable[[int], Coroutine[Any, Any, Ended]]) -> list[Ended]:
    """Runs a turn cut at its first point, its second, … until it is not cut any more."""
    endings = []
    for point in range(1, POINTS_MAX):
        ended = run(once(point))
        endings.append(ended)
        if not ended.cut:
            assert ended.error is None, "what nobody has cut comes to its end"
            return endings
    raise AssertionError(f"still cut at point {POINTS_MAX}")


async def cancelled_at(point: int, moment: str, turn: Coroutine[Any, Any, object]) -> Ended:
    """Runs a turn and cancels it: at its n-th suspension, or in the n-th step of the loop."""
    if moment == "any step":
        task = asyncio.create_task(turn)
        cut = False

        def step(number: int) -> None:
            nonlocal cut
            if number == point and not task.done():
                cut = task.cancel()

        virtual_loop().each_step(step)
        ended = await caught(task)
        virtual_loop().each_step(None)
    else:
        suspended = Suspended(turn, point, waking=moment == "waking")
        ended = await caught(asyncio.create_task(_itself(suspended)))
        cut = suspended.count >= point
    ended.cut = cut
    return ended


async def _itself(turn: Suspended) -> object:
    return await turn


def assert_the_cancellation_came_through(ended: Ended) -> None:
    if ended.cut:
        assert isinstance(ended.error, asyncio.CancelledError)
    else:
        assert isinstance(ended.result, Answer | Analysis)


STORES = pytest.mark.parametrize("store", ["memory", "sqlite"])
MOMENTS = pytest.mark.parametrize("moment", ["suspending", "waking", "any step"])


@STORES
@MOMENTS
def test_a_stream_cancelled_anywhere_keeps_exactly_what_was_heard(store: str, moment: str, tmp_path: Path) -> None:
    async def once(point: int) -> Ended:
        async with world_on(store, tmp_path / str(point)) as world:
            heard = Listener()
            ended = await cancelled_at(point, moment, world.turns.respond(asks(), within(), heard))
            assert_the_cancellation_came_through(ended)
            await assert_what_was_heard_is_kept(world, heard)
            assert heard.answers == ([heard.events[-1]] if heard.answers or not ended.cut else [])
            await assert_nothing_is_left(world, len(await world.kept()))
            return ended

    assert len(at_every_point(once)) > 20


@STORES
@MOMENTS
def test_a_whole_reply_cancelled_anywhere_is_kept_whole_or_not_at_all(store: str, moment: str, tmp_path: Path) -> None:
    async def once(point: int) -> Ended:
        async with world_on(store, tmp_path / str(point)) as world:
            ended = await cancelled_at(point, moment, world.turns.respond(asks(), within()))
            assert_the_cancellation_came_through(ended)
            await assert_nothing_or_all_is_kept(world, ended)
            await assert_nothing_is_left(world, len(await world.kept()))
            return ended

    assert len(at_every_point(once)) > 5


@STORES
@MOMENTS
@pytest.mark.parametrize("kind", ["analyze", "record"])
def test_what_is_only_written_down_is_written_whole_or_not_at_all(
    store: str, moment: str, kind: str, tmp_path: Path
) -> None:
    async def once(point: int) -> Ended:
        async with world_on(store, tmp_path / str(point)) as world:
            turn: Coroutine[Any, Any, object] = (
                world.turns.analyze(asks(), within(), persist=True)
                if kind == "analyze"
                else world.turns.record(asks(), within(), REPLY, "person:ann")
            )
            ended = await cancelled_at(point, moment, turn)
            assert_the_cancellation_came_through(ended)
            conversation = await world.conversations.get("acme", "talk")
            assert conversation.revision == 1 + bool(conversation.slots)
            assert conversation.slots or ended.cut
            await assert_nothing_is_left(world, conversation.turn_count)
            return ended

    # Waiting for the stages, and for the disk; what the stages wait for is cut by "any step".
    assert len(at_every_point(once)) > 2


@STORES
def test_a_turn_cancelled_again_and_again_still_keeps_what_was_heard(store: str, tmp_path: Path) -> None:
    async def once(point: int) -> Ended:
        async with world_on(store, tmp_path / str(point)) as world:
            heard = Listener()
            task = asyncio.create_task(world.turns.respond(asks(), within(), heard))
            cuts = 0

            def step(number: int) -> None:
                nonlocal cuts
                if number >= point and not task.done():
                    cuts += task.cancel()

            virtual_loop().each_step(step)
            ended = await caught(task)
            virtual_loop().each_step(None)
            ended.cut = cuts > 0
            assert_the_cancellation_came_through(ended)
            await assert_what_was_heard_is_kept(world, heard)
            await assert_nothing_is_left(world, len(await world.kept()))
            return ended

    assert len(at_every_point(once)) > 20


@pytest.mark.parametrize("cancelled_after", [None, 1, 2, 3, 4])
def test_a_stream_interrupted_anywhere_keeps_what_was_heard_and_the_next_is_answered(
    cancelled_after: int | None,
) -> None:
    """And a cancellation that comes with the interruption, some steps after it, is not lost."""

    async def once(point: int) -> Ended:
        async with world_on(concurrent_max=2) as world:
            heard, next_heard = Listener(), Listener()
            task = asyncio.create_task(world.turns.respond(asks(), within(), heard))
            later: list[asyncio.Task[Answer]] = []
            cancelled = False

            def step(number: int) -> None:
                nonlocal cancelled
                if number == point and not task.done():
                    request = asks("Wait!", on_busy=OnBusy.INTERRUPT)
                    later.append(asyncio.create_task(world.turns.respond(request, within(), next_heard)))
                elif cancelled_after and number == point + cancelled_after and later:
                    cancelled = task.cancel()

            virtual_loop().each_step(step)
            ended = await caught(task)
            ended.cut = bool(later)
            if later:
                assert (await later[0]).turn.reply == REPLY
                assert next_heard.text == REPLY
            virtual_loop().each_step(None)
            first = [turn for turn in await world.kept() if turn.message != "Wait!"]
            assert [turn.reply for turn in first] == ([heard.text.strip()] if heard.text else [])
            assert all(turn.interrupted or turn.reply == REPLY for turn in first)
            if cancelled:
                assert isinstance(ended.error, asyncio.CancelledError)
            elif ended.error:
                assert isinstance(ended.error, Interrupted)
                assert not heard.text
            else:
                assert isinstance(ended.result, Answer)
                assert heard.answers == [ended.result]
                assert ended.result.turn.reply == heard.text.strip()
            await assert_nothing_is_left(world, len(await world.kept()))
            return ended

    assert len(at_every_point(once)) > 20


def test_a_stream_whose_deadline_comes_anywhere_keeps_what_was_heard() -> None:
    async def once(point: int) -> Ended:
        async with world_on() as world:
            heard = Listener(pause_s=0.01)
            task = asyncio.create_task(world.turns.respond(asks(), within(0.005 + 0.01 * point), heard))
            ended = await caught(task)
            ended.cut = ended.error is not None
            assert ended.error is None or isinstance(ended.error, DeadlineExceeded)
            await assert_what_was_heard_is_kept(world, heard)
            await assert_nothing_is_left(world, len(await world.kept()))
            return ended

    endings = at_every_point(once)
    assert len(endings) > 100


def test_a_caller_who_is_gone_at_any_event_has_what_it_heard_kept() -> None:
    async def once(point: int) -> Ended:
        async with world_on() as world:
            heard = Listener()
            heard.gone_at = point
            ended = await caught(asyncio.create_task(world.turns.respond(asks(), within(), heard)))
            ended.cut = ended.error is not None
            assert ended.error is None or isinstance(ended.error, ConnectionError)
            await assert_what_was_heard_is_kept(world, heard)
            await assert_nothing_is_left(world, len(await world.kept()))
            return ended

    assert len(at_every_point(once)) > 15


def test_a_stream_that_dies_of_a_known_error_is_closed_with_the_packs_line() -> None:
    async def once(pieces: int) -> None:
        async with world_on() as world:
            error = EngineError("it is down")
            world.provider.reply = [*world.provider.reply[:pieces], error]
            heard = Listener()
            ended = await caught(asyncio.create_task(world.turns.respond(asks(), within(), heard)))
            if heard.text:
                assert heard.text.endswith(" More in a moment.")
                assert heard.answers == [ended.result]
            else:
                assert ended.error is error
            await assert_what_was_heard_is_kept(world, heard, whole=heard.text)
            await assert_nothing_is_left(world, len(await world.kept()))

    for pieces in range(7):
        run(once(pieces))


def test_a_stream_that_dies_of_an_unknown_error_keeps_what_was_heard() -> None:
    async def once(pieces: int) -> str:
        async with world_on() as world:
            error = RuntimeError("it is broken")
            world.provider.reply = [*world.provider.reply[:pieces], error]
            heard = Listener()
            ended = await caught(asyncio.create_task(world.turns.respond(asks(), within(), heard)))
            assert ended.error is error
            await assert_what_was_heard_is_kept(world, heard, whole="")
            await assert_nothing_is_left(world, len(await world.kept()))
            return heard.text

    assert {run(once(pieces)) != "" for pieces in range(7)} == {False, True}
