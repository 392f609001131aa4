"""The embedded store: what is acknowledged is there, what is erased is gone, and tenants never meet."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.conversation import Amount, Exchange, Operation, Period, SlotChange, SlotValue
from engine.errors import AlreadyExists, EngineError, EtagMismatch, RequestIdTaken, Unavailable
from engine.ports import Page, Remembered, Write
from engine.reconcile import Detection, Trigger
from engine.stages import Stage
from engine.store.sqlite import PAGE_BYTES_MAX, REQUEST_ID_TTL, SqliteStore
from engine.trace import StageTrace, Trace, Turn
from tests.engine.stores import ALL, NOW, TTL, on, opened, opening, turn_of


def full_turn() -> Turn:
    """A turn with a value in every field."""
    value = SlotValue("50 USD", "fifty dollars", 3, 0.75, 2, Amount(50, 60.5, "USD", "seat/month"))
    change = SlotChange("budget", Operation.CHANGE, value, replace(value, typed=Period("2027-01-01", "")))
    stage = StageTrace(Stage.DETECT, 1.5, 2.25, "detect", "local", "built-in", "local", 1)
    trace = Trace((stage,), Trigger.CRITICAL_SLOT, 12.5, 3.25, degraded=True)
    detection = Detection("objection", 0.5, (("small_talk", 0.25),))
    return Turn(1, NOW, "Fifty dollars… 💸", "Fine.\0", (change,), detection, "isolate", trace, True, "person:ann")


# -- what is written is read


def test_what_was_written_is_read_as_it_was(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        turn = full_turn()
        slots = {"budget": (turn.changes[0].value, turn.changes[0].previous)}
        history = (Exchange("Fifty dollars…", "Fine.", "objection", "isolate"),)
        conversation = opened(slots=slots, situation="objection", turn_count=1, history=history)
        await store.write(Write("acme", conversation, None, turn))
        assert await store.get("acme", "talk", NOW) == conversation
        assert await store.turns("acme", "talk", ALL) == ([turn], "")

    on(tmp_path, test)


def test_what_was_acknowledged_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    async def write(store: SqliteStore) -> None:
        await store.write(opening())
        await store.write(turn_of(opened(), request_id="r", digest=b"d", answer=b"a"))

    async def read(store: SqliteStore) -> None:
        found = await store.get("acme", "talk", NOW)
        assert found
        assert found.turn_count == 1
        assert len((await store.turns("acme", "talk", ALL))[0]) == 1
        assert await store.recall("acme", "r", NOW) == Remembered(b"d", b"a")

    on(tmp_path / "deeper", write)
    on(tmp_path / "deeper", read)


def test_an_acknowledged_write_is_seen_by_others_at_once(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        await store.write(opening())
        with closing(sqlite3.connect(tmp_path / "store.sqlite3")) as other:
            assert other.execute("SELECT count(*) FROM conversations").fetchone() == (1,)
            assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    on(tmp_path, test)


def test_what_was_never_written_is_not_there(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        assert await store.get("acme", "talk", NOW) is None
        assert await store.turns("acme", "talk", ALL) == ([], "")
        assert await store.list("acme", ALL, NOW) == ([], "")
        assert await store.recall("acme", "r", NOW) is None
        assert await store.delete("acme", "talk", NOW) is False
        assert await store.sweep(NOW) == 0

    on(tmp_path, test)


# -- tenants


def test_tenants_never_meet(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        mine = turn_of(opened(), "Mine.", request_id="r", digest=b"mine", answer=b"mine")
        theirs = turn_of(opened(), "Theirs.", tenant="other", request_id="r", digest=b"theirs", answer=b"theirs")
        for write in (opening(), opening(tenant="other"), mine, theirs):
            await store.write(write)
        assert [turn.message for turn in (await store.turns("acme", "talk", ALL))[0]] == ["Mine."]
        assert [turn.message for turn in (await store.turns("other", "talk", ALL))[0]] == ["Theirs."]
        assert await store.recall("acme", "r", NOW) == Remembered(b"mine", b"mine")
        assert len((await store.list("acme", ALL, NOW))[0]) == 1
        for tenant in ("", "acm", "acme ", "ACME", "%", "third"):
            assert await store.get(tenant, "talk", NOW) is None
            assert await store.turns(tenant, "talk", ALL) == ([], "")
            assert await store.list(tenant, ALL, NOW) == ([], "")
            assert await store.recall(tenant, "r", NOW) is None
            assert await store.delete(tenant, "talk", NOW) is False
            with pytest.raises(EtagMismatch):
                await store.write(replace(turn_of(mine.conversation), tenant=tenant))
        assert await store.delete("other", "talk", NOW)
        assert await store.get("acme", "talk", NOW)
        assert await store.recall("acme", "r", NOW) == Remembered(b"mine", b"mine")

    on(tmp_path, test)


# -- lists


async def pages(read: Callable[[Page], Coroutine[Any, Any, tuple[Any, str]]], limit: int) -> list[Any]:
    """Everything, page by page; no page is longer than asked for, none but the last shorter."""
    found: list[Any] = []
    page = Page("", limit)
    while True:
        part, after = await read(page)
        found += part
        assert len(part) == limit or not after
        if not after:
            return found
        page = Page(after, limit)


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 100])
def test_conversations_are_listed_newest_first_page_by_page(tmp_path: Path, limit: int) -> None:
    async def test(store: SqliteStore) -> None:
        # Two of every age: ids decide among them, and no page loses one.
        ages = {f"c{number}": NOW - timedelta(microseconds=number // 2) for number in range(6)}
        for conversation_id, at in random.Random(1).sample(sorted(ages.items()), len(ages)):
            await store.write(opening(conversation_id, at=at))
        await store.write(opening("foreign", tenant="other"))
        listed = await pages(lambda page: store.list("acme", page, NOW), limit)
        assert [conversation.id for conversation in listed] == ["c0", "c1", "c2", "c3", "c4", "c5"]

    on(tmp_path, test)


@pytest.mark.parametrize("limit", [1, 5, 11, 12, 50])
def test_turns_are_listed_oldest_first_page_by_page(tmp_path: Path, limit: int) -> None:
    async def test(store: SqliteStore) -> None:
        await store.write(opening())
        conversation = opened()
        for number in range(11):
            write = turn_of(conversation, f"Message {number}.")
            await store.write(write)
            conversation = write.conversation
        listed = await pages(lambda page: store.turns("acme", "talk", page), limit)
        assert [turn.number for turn in listed] == list(range(1, 12))

    on(tmp_path, test)


def test_a_page_of_long_turns_ends_before_it_is_too_large_to_send(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        await store.write(opening())
        conversation = opened()
        for _ in range(6):
            write = turn_of(conversation, "long " * (PAGE_BYTES_MAX // 20))
            await store.write(write)
            conversation = write.conversation
        after, numbers = "", list[int]()
        while not numbers or after:
            shown, after = await store.turns("acme", "talk", Page(after, 1000))
            assert sum(len(turn.message) + len(turn.reply) for turn in shown) <= PAGE_BYTES_MAX
            numbers += [turn.number for turn in shown]
        assert numbers == [1, 2, 3, 4, 5, 6]

    on(tmp_path, test)


def test_a_page_goes_on_where_it_was_though_its_last_row_is_gone(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        for number in range(4):
            await store.write(opening(f"c{number}", at=NOW - timedelta(seconds=number)))
        first, after = await store.list("acme", Page("", 2), NOW)
        await store.delete("acme", first[-1].id, NOW)
        await store.write(opening("newer", at=NOW + timedelta(seconds=1)))
        rest, _ = await store.list("acme", Page(after, 2), NOW)
        assert [conversation.id for conversation in rest] == ["c2", "c3"]

    on(tmp_path, test)


# -- conflicts


def test_a_write_on_another_state_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        await store.write(opening())
        first = turn_of(opened(), "First.")
        await store.write(first)
        with pytest.raises(EtagMismatch):
            await store.write(turn_of(opened(), "Second.", request_id="r", digest=b"d"))
        assert await store.get("acme", "talk", NOW) == first.conversation
        assert [turn.message for turn in (await store.turns("acme", "talk", ALL))[0]] == ["First."]
        assert await store.recall("acme", "r", NOW) is None

    on(tmp_path, test)


def test_of_writes_on_the_same_state_one_is_made(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        await store.write(opening())
        writes = [store.write(turn_of(opened(), f"Number {number}.")) for number in range(5)]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        assert [outcome is None for outcome in outcomes].count(True) == 1
        assert {type(outcome) for outcome in outcomes} == {type(None), EtagMismatch}
        assert len((await store.turns("acme", "talk", ALL))[0]) == 1

    on(tmp_path, test)


def test_a_deleted_conversation_is_not_written_to(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        await store.write(opening())
        await store.delete("acme", "talk", NOW)
        with pytest.raises(EtagMismatch):
            await store.write(turn_of(opened()))
        # Nor is one of the same name that was opened since.
        await store.write(opening(at=NOW + timedelta(seconds=1)))
        with pytest.raises(EtagMismatch):
            await store.write(turn_of(opened()))
        assert await store.turns("acme", "talk", ALL) == ([], "")

    on(tmp_path, test)


def test_an_id_is_taken_while_its_conversation_lives(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        await store.write(opening())
        await store.write(turn_of(opened(), "Hello.", request_id="r", digest=b"d", answer=b"a"))
        with pytest.raises(AlreadyExists):
            await store.write(opening())
        # It has expired, and nobody has swept yet.
        await store.write(opening(at=NOW + TTL))
        found = await store.get("acme", "talk", NOW + TTL)
        assert found
        assert found.turn_count == 0
        assert await store.turns("acme", "talk", ALL) == ([], "")

    on(tmp_path, test)


def test_in_a_group_one_write_that_fails_takes_no_other_with_it(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        await store.write(opening("taken"))
        await store.write(opening("old"))
        await store.write(turn_of(opened("taken"), request_id="r", digest=b"d"))
        unwritable = opening("unwritable", situation="\ud800")
        writes = [
            opening("a"),
            opening("taken"),
            opening("b"),
            replace(turn_of(opened("old")), etag="stale"),
            # Its turn is in the table already when the request's id turns out to be taken.
            turn_of(opened("old"), "Gone.", request_id="r", digest=b"other"),
            unwritable,
            opening("c"),
        ]
        outcomes = await asyncio.gather(*map(store.write, writes), return_exceptions=True)
        *known, unknown, last = outcomes
        assert [type(outcome) for outcome in known] == [
            type(None),
            AlreadyExists,
            type(None),
            EtagMismatch,
            RequestIdTaken,
        ]
        assert isinstance(unknown, Exception)
        assert not isinstance(unknown, EngineError)
        assert last is None
        listed, _ = await store.list("acme", ALL, NOW)
        assert {conversation.id for conversation in listed} == {"taken", "old", "a", "b", "c"}
        assert await store.get("acme", "old", NOW) == opened("old")
        assert await store.turns("acme", "old", ALL) == ([], "")

    on(tmp_path, test)


# -- requests


def test_a_request_is_remembered_for_a_day(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        await store.write(opening())
        first = turn_of(opened(), request_id="r", digest=b"d", answer=b"a")
        await store.write(first)
        almost = NOW + REQUEST_ID_TTL - timedelta(microseconds=1)
        assert await store.recall("acme", "r", almost) == Remembered(b"d", b"a")
        assert await store.recall("acme", "r", NOW + REQUEST_ID_TTL) is None
        again = turn_of(first.conversation, request_id="r", digest=b"e", answer=b"b")
        with pytest.raises(RequestIdTaken):
            await store.write(again)
        # A day later the id is free, swept or not.
        late = replace(again, conversation=replace(again.conversation, update_time=NOW + REQUEST_ID_TTL))
        await store.write(late)
        assert await store.recall("acme", "r", NOW + REQUEST_ID_TTL) == Remembered(b"e", b"b")

    on(tmp_path, test)


def test_a_request_of_an_erased_conversation_is_known_and_says_nothing(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        for conversation_id in ("deleted", "expired"):
            await store.write(opening(conversation_id, ttl=timedelta(hours=1)))
            opened_before = opened(conversation_id, ttl=timedelta(hours=1))
            await store.write(turn_of(opened_before, request_id=conversation_id, digest=b"d", answer=b"a"))
        await store.delete("acme", "deleted", NOW)
        assert await store.recall("acme", "deleted", NOW) == Remembered(None, b"")
        later = NOW + timedelta(hours=1)
        assert await store.recall("acme", "expired", later) == Remembered(None, b"")
        assert await store.sweep(later) == 1
        assert await store.recall("acme", "expired", later) == Remembered(None, b"")

    on(tmp_path, test)


# -- cancelled, closed, broken


def test_a_cancelled_write_that_has_not_begun_is_never_made(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        with closing(sqlite3.connect(tmp_path / "store.sqlite3", isolation_level=None)) as other:
            # The writer waits for this one, and the writes behind it have not begun.
            other.execute("BEGIN IMMEDIATE")
            first = asyncio.create_task(store.write(opening("first")))
            await asyncio.sleep(0)
            await until(store._waiting.empty)
            gone, last = (asyncio.create_task(store.write(opening(name))) for name in ("gone", "last"))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.wait([gone])
            assert gone.cancelled()
            other.execute("COMMIT")
        await asyncio.gather(first, last)
        listed, _ = await store.list("acme", ALL, NOW)
        assert {conversation.id for conversation in listed} == {"first", "last"}

    on(tmp_path, test)


def test_a_cancelled_write_that_has_begun_is_over_before_the_caller_goes_on(tmp_path: Path) -> None:
    async def test(store: SqliteStore) -> None:
        with closing(sqlite3.connect(tmp_path / "store.sqlite3", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            begun = asyncio.create_task(store.write(opening()))
            await asyncio.sleep(0)
            await until(store._waiting.empty)
            begun.cancel()
            for _ in range(10):
                await asyncio.sleep(0)
            assert not begun.done()
            other.execute("COMMIT")
        with pytest.raises(asyncio.CancelledError):
            await begun
        assert await store.get("acme", "talk", NOW)

    on(tmp_path, test)


def test_closing_waits_for_the_writes_on_their_way(tmp_path: Path) -> None:
    async def write(store: SqliteStore) -> None:
        tasks.extend(asyncio.create_task(store.write(opening(f"c{number}"))) for number in range(50))
        await asyncio.sleep(0)

    async def read(store: SqliteStore) -> None:
        assert len((await store.list("acme", ALL, NOW))[0]) == 50

    tasks: list[asyncio.Task[None]] = []
    on(tmp_path, write)
    on(tmp_path, read)


def test_after_closing_a_write_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    async def whole() -> None:
        store = SqliteStore(tmp_path / "store.sqlite3")
        await store.close()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(store.write(opening()), 5)

    asyncio.run(whole())


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    on(tmp_path, lambda store: store.write(opening()))
    with closing(sqlite3.connect(path)) as other:
        (version,) = other.execute("PRAGMA user_version").fetchone()
        other.execute(f"PRAGMA user_version = {version + 1}")
    before = path.read_bytes()
    with pytest.raises(Unavailable, match="newer version"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_new_file_has_the_newest_schema_and_opening_it_again_changes_nothing(tmp_path: Path) -> None:
    def schema() -> list[Any]:
        with closing(sqlite3.connect(tmp_path / "store.sqlite3")) as other:
            version = other.execute("PRAGMA user_version").fetchall()
            return version + other.execute("SELECT sql FROM sqlite_schema ORDER BY name").fetchall()

    async def nothing(store: SqliteStore) -> None:
        pass

    (tmp_path / "store.sqlite3").touch()
    on(tmp_path, nothing)
    first = schema()
    assert first[0][0] >= 1
    on(tmp_path, nothing)
    assert schema() == first


@pytest.mark.parametrize("what", ["no database", "a directory", "below a file"])
def test_a_path_that_cannot_be_opened_is_told(tmp_path: Path, what: str) -> None:
    path = tmp_path / "store.sqlite3"
    if what == "a directory":
        path.mkdir()
    else:
        path.write_bytes(b"This is a letter, not a database. " * 100)
    with pytest.raises(Unavailable, match="store"):
        SqliteStore(path / "deeper.sqlite3" if what == "below a file" else path)


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what a thread does."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  (there is nobody to set an event)
            await asyncio.sleep(0.001)
