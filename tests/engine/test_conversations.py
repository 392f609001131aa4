"""Conversations outside their turns: opened with what is known, read, listed, erased."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.conversation import HISTORY_CHARS_MAX, HISTORY_MAX, Exchange
from engine.errors import AlreadyExists, InvalidField, NotFound, Unavailable
from engine.ports import Page
from tests.engine.worlds import on_disk
from tests.fakes import TENANT, World, asks, small_domain, within

ALL = Page("", 100)


def test_a_conversation_is_opened_with_what_is_known(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        said = [Exchange("Hello.", "Good morning.")]
        created = await world.conversations.create(TENANT, "mine", "small", {"pain": "slow"}, said)
        assert (created.id, created.domain, created.turn_count) == ("mine", "small", 0)
        assert created.slots["pain"][0].text == "slow"
        assert created.slots["pain"][0].turn == 0
        assert (created.create_time, created.expire_time) == (world.wall(), world.wall() + timedelta(days=90))
        assert await world.conversations.get(TENANT, "mine") == created
        # The first turn knows all of it.
        await world.turns.respond(asks(conversation_id="mine"), within())
        assert world.provider.generated().history == tuple(said)
        assert world.provider.generated().slots == created.slots

    on_disk(tmp_path, test)


def test_an_id_is_chosen_where_none_is_given(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        one, other = [await world.conversations.create(TENANT, "", "", {}, ()) for _ in range(2)]
        assert one.id
        assert other.id
        assert one.id != other.id
        assert one.domain == "small"

    on_disk(tmp_path, test)


def test_an_id_that_is_taken_is_refused(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        with pytest.raises(AlreadyExists):
            await world.open("talk")
        # Another tenant's is another conversation.
        await world.conversations.create("other", "talk", "", {}, ())

    on_disk(tmp_path, test)


@pytest.mark.parametrize(
    ("domain", "slots", "field"),
    [
        ("nowhere", {}, "domain"),
        ("", {"shoe_size": "44"}, "slots[shoe_size]"),
        ("", {"pain": "slow", "budget": "?"}, "slots[budget]"),
    ],
)
def test_what_cannot_be_known_is_refused_with_the_field(
    tmp_path: Path, domain: str, slots: dict[str, str], field: str
) -> None:
    async def test(world: World) -> None:
        with pytest.raises(InvalidField) as refused:
            await world.conversations.create(TENANT, "new", domain, slots, ())
        assert refused.value.field == field
        with pytest.raises(NotFound):
            await world.conversations.get(TENANT, "new")

    on_disk(tmp_path, test)


@pytest.mark.parametrize(
    ("exchanges", "kept"),
    [
        ([Exchange(str(number), "") for number in range(100)], HISTORY_MAX),
        ([Exchange("x" * HISTORY_CHARS_MAX, "y"), Exchange("Hi.", "Hello.")], 1),
        ([Exchange("x" * HISTORY_CHARS_MAX, "y")], 1),
    ],
)
def test_a_given_history_is_bounded_and_the_latest_stays(tmp_path: Path, exchanges: list[Exchange], kept: int) -> None:
    async def test(world: World) -> None:
        created = await world.conversations.create(TENANT, "new", "", {}, exchanges)
        assert created.history == tuple(exchanges[-kept:])

    on_disk(tmp_path, test)


def test_a_tenant_sees_its_own(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.turns.respond(asks(), within())
        with pytest.raises(NotFound):
            await world.conversations.get("other", "talk")
        with pytest.raises(NotFound):
            await world.conversations.turns("other", "talk", ALL)
        with pytest.raises(NotFound):
            await world.conversations.delete("other", "talk")
        assert await world.conversations.list("other", ALL) == ([], "")
        listed, _ = await world.conversations.list(TENANT, ALL)
        assert [conversation.id for conversation in listed] == ["talk"]

    on_disk(tmp_path, test)


def _delete(world: World) -> Coroutine[Any, Any, object]:
    return world.conversations.delete(TENANT, "talk")


def _expire(world: World) -> Coroutine[Any, Any, object]:
    world.wall.move(timedelta(days=90))
    return world.conversations.sweep()


@pytest.mark.parametrize("end", [_delete, _expire])
def test_what_has_ended_is_gone_with_its_turns_and_its_id_is_free(
    tmp_path: Path, end: Callable[[World], Coroutine[Any, Any, object]]
) -> None:
    async def test(world: World) -> None:
        await world.turns.respond(asks(), within())
        await end(world)
        for gone in (
            world.conversations.get(TENANT, "talk"),
            world.conversations.turns(TENANT, "talk", ALL),
            world.conversations.delete(TENANT, "talk"),
            world.turns.respond(asks(), within()),
        ):
            with pytest.raises(NotFound):
                await gone
        assert await world.conversations.list(TENANT, ALL) == ([], "")
        await world.open("talk")
        assert await world.conversations.turns(TENANT, "talk", ALL) == ([], "")

    on_disk(tmp_path, test)


def test_a_conversation_whose_pack_is_not_installed_can_be_read_and_not_continued(tmp_path: Path) -> None:
    async def open_one(world: World) -> None:
        await world.conversations.create(TENANT, "large", "large", {}, ())

    async def go_on(world: World) -> None:
        assert (await world.conversations.get(TENANT, "large")).domain == "large"
        with pytest.raises(Unavailable, match="large"):
            await world.turns.respond(asks(conversation_id="large"), within())
        await world.conversations.delete(TENANT, "large")

    large = small_domain().model_copy(update={"id": "large"})
    on_disk(tmp_path, open_one, domains={"small": small_domain(), "large": large})
    on_disk(tmp_path, go_on, opens=False)
