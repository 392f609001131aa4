"""What a caller may ask of a turn: to be answered once, in its place, in time, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.conversations import RequestId
from engine.errors import (
    Busy,
    DeadlineExceeded,
    EtagMismatch,
    Interrupted,
    InvalidField,
    NotFound,
    Overloaded,
    RequestIdTaken,
    Unavailable,
)
from engine.events import TurnBegan, TurnEnded
from engine.lanes import OnBusy
from engine.stages import Stage
from engine.stopwatch import StageStarted, TurnStarted
from engine.trace import Trace
from tests.engine.worlds import in_memory, on_disk
from tests.fakes import TENANT, Listener, World, asks, pain, small_domain, within

ID = RequestId("r1", b"the body")


def later(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.create_task(coroutine)


# -- the same request again


def test_a_repeat_gets_the_first_answer_and_applies_nothing_twice(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.provider.findings = [pain("slow")]
        first = await world.turns.respond(asks(request=ID), within())
        world.provider.reply = ["Something else."]
        world.wall.move(timedelta(hours=23))
        again = await world.turns.respond(asks(request=ID), within())
        assert replace(again, turn=replace(again.turn, trace=Trace())) == replace(
            first, turn=replace(first.turn, trace=Trace())
        )
        assert len(await world.kept()) == 1
        assert len(world.provider.questions("generate")) == 1

    on_disk(tmp_path, test)


def test_a_repeated_stream_hears_the_same_reply(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        first, again = Listener(), Listener()
        await world.turns.respond(asks(request=ID), within(), first)
        await world.turns.respond(asks(request=ID), within(), again)
        assert again.events[0] == TurnStarted("talk", 1)
        assert again.text == first.text
        assert again.events[-1] is again.answers[0]
        assert not any(isinstance(event, StageStarted) for event in again.events)

    on_disk(tmp_path, test)


def test_a_repeat_while_the_first_is_being_answered_waits_for_its_answer() -> None:
    async def test(world: World) -> None:
        world.provider.detect_s = 1.0
        both = [later(world.turns.respond(asks(request=ID), within())) for _ in range(2)]
        first, again = await asyncio.gather(*both)
        assert (again.conversation, again.turn.reply) == (first.conversation, first.turn.reply)
        assert len(await world.kept()) == 1

    in_memory(test)


@pytest.mark.parametrize("streamed", [False, True])
def test_an_id_of_another_request_is_refused_before_anything_is_said(tmp_path: Path, streamed: bool) -> None:
    async def test(world: World) -> None:
        await world.turns.respond(asks(request=ID), within())
        heard = Listener() if streamed else None
        with pytest.raises(RequestIdTaken):
            await world.turns.respond(asks("Other.", request=RequestId("r1", b"other")), within(), heard)
        assert not heard or heard.events == []
        assert len(await world.kept()) == 1

    on_disk(tmp_path, test)


def test_a_repeated_opening_request_opens_one_conversation(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        # Side by side, and once more.
        opening = [later(world.turns.respond(asks(conversation_id="", request=ID), within())) for _ in range(2)]
        answers = [*await asyncio.gather(*opening)]
        answers.append(await world.turns.respond(asks(conversation_id="", request=ID), within()))
        assert len({answer.conversation.id for answer in answers}) == 1
        assert len(await world.kept(answers[0].conversation.id)) == 1

    on_disk(tmp_path, test)


def test_openings_without_an_id_are_conversations_of_their_own() -> None:
    async def test(world: World) -> None:
        world.provider.detect_s = 1.0
        answers = await asyncio.gather(*(world.turns.respond(asks(conversation_id=""), within()) for _ in range(3)))
        assert len({answer.conversation.id for answer in answers}) == 3
        # They did not wait for each other.
        assert asyncio.get_running_loop().time() == pytest.approx(1.0)

    in_memory(test)


@pytest.mark.parametrize("conversation_id", ["talk", ""])
def test_a_repeat_after_the_deletion_does_not_bring_it_back(tmp_path: Path, conversation_id: str) -> None:
    async def test(world: World) -> None:
        request = asks(conversation_id=conversation_id, request=ID)
        answer = await world.turns.respond(request, within())
        await world.conversations.delete(TENANT, answer.conversation.id)
        with pytest.raises(NotFound):
            await world.turns.respond(request, within())

    on_disk(tmp_path, test)


def test_a_repeat_after_the_expiry_does_not_bring_it_back(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        request = asks(request=ID)
        await world.turns.respond(request, within())
        world.wall.move(timedelta(hours=2))
        with pytest.raises(NotFound):
            await world.turns.respond(request, within())
        await world.conversations.sweep()
        with pytest.raises(NotFound):
            await world.turns.respond(request, within())

    on_disk(tmp_path, test, retention=timedelta(hours=1))


def test_another_tenants_id_is_another_id(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.turns.respond(asks(conversation_id="", request=ID), within())
        foreign = replace(asks("Hi.", "", request=RequestId("r1", b"other")), tenant="other")
        answer = await world.turns.respond(foreign, within())
        assert (answer.turn.number, answer.turn.message) == (1, "Hi.")

    on_disk(tmp_path, test)


def test_an_id_of_a_failed_turn_is_free() -> None:
    async def test(world: World) -> None:
        world.provider.detect_fails = Unavailable("down")
        with pytest.raises(Unavailable):
            await world.turns.respond(asks(request=ID), within())
        world.provider.detect_fails = None
        assert (await world.turns.respond(asks("Other.", request=RequestId("r1", b"other")), within())).turn.number == 1

    in_memory(test)


# -- which conversation, and as of when


def test_an_etag_that_holds_lets_the_turn_through_once(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        etag = (await world.conversations.get(TENANT, "talk")).etag
        answer = await world.turns.respond(asks(if_etag=etag), within())
        assert answer.conversation.etag != etag
        with pytest.raises(EtagMismatch):
            await world.turns.respond(asks(if_etag=etag), within())
        assert len(await world.kept()) == 1
        assert len(world.provider.questions("detect")) == 1

    on_disk(tmp_path, test)


def test_an_etag_is_looked_at_when_the_turn_comes_and_not_when_it_is_asked_for() -> None:
    async def test(world: World) -> None:
        world.provider.detect_s = 1.0
        etag = (await world.conversations.get(TENANT, "talk")).etag
        turns = [later(world.turns.respond(asks(if_etag=etag), within())) for _ in range(2)]
        _, second = await asyncio.gather(*turns, return_exceptions=True)
        assert isinstance(second, EtagMismatch)

    in_memory(test)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (asks(conversation_id="", domain="nowhere"), "options.domain"),
        (asks(conversation_id="", if_etag="x"), "options.if_etag"),
        (asks(domain="large"), "options.domain"),
    ],
)
def test_what_cannot_be_is_refused_with_the_field(request_: Any, field: str) -> None:
    async def test(world: World) -> None:
        with pytest.raises(InvalidField) as refused:
            await world.turns.respond(request_, within())
        assert refused.value.field == field
        assert world.provider.asked == []

    in_memory(test)


def test_an_unknown_domain_is_refused_with_those_there_are() -> None:
    async def test(world: World) -> None:
        with pytest.raises(InvalidField, match="small"):
            await world.turns.respond(asks(conversation_id="", domain="nowhere"), within())

    in_memory(test)


def test_a_named_domain_opens_its_conversation_and_may_be_named_again() -> None:
    large = small_domain().model_copy(update={"id": "large"})

    async def test(world: World) -> None:
        opened = await world.turns.respond(asks(conversation_id="", domain="large"), within())
        assert opened.conversation.domain == "large"
        again = await world.turns.respond(asks(conversation_id=opened.conversation.id, domain="large"), within())
        assert again.turn.number == 2
        assert (await world.turns.respond(asks(conversation_id=""), within())).conversation.domain == "small"

    in_memory(test, domains={"small": small_domain(), "large": large})


@pytest.mark.parametrize("turn", ["respond", "analyze", "record"])
def test_a_conversation_that_is_not_there_is_not_found(turn: str) -> None:
    async def test(world: World) -> None:
        calls: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
            "respond": lambda: world.turns.respond(asks(conversation_id="gone"), within()),
            "analyze": lambda: world.turns.analyze(asks(conversation_id="gone"), within(), persist=False),
            "record": lambda: world.turns.record(asks(conversation_id="gone"), within(), "Hi.", "crm"),
        }
        with pytest.raises(NotFound):
            await calls[turn]()

    in_memory(test)


def test_a_conversation_that_goes_on_does_not_expire(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        for _ in range(3):
            world.wall.move(timedelta(days=6))
            answer = await world.turns.respond(asks(), within())
            assert answer.conversation.expire_time == world.wall() + timedelta(days=7)
            assert await world.conversations.sweep() == 0
        world.wall.move(timedelta(days=7))
        with pytest.raises(NotFound):
            await world.turns.respond(asks(), within())

    on_disk(tmp_path, test, retention=timedelta(days=7))


# -- while another turn is being answered


def test_turns_of_one_conversation_wait_for_each_other_and_each_knows_the_one_before() -> None:
    async def test(world: World) -> None:
        world.provider.detect_s = 1.0
        turns = [later(world.turns.respond(asks(message), within())) for message in ("one", "two", "three")]
        answers = await asyncio.gather(*turns)
        assert [answer.turn.number for answer in answers] == [1, 2, 3]
        assert [said.message for said in answers[-1].conversation.history] == ["one", "two", "three"]
        queued = [answer.turn.trace.stages[0] for answer in answers]
        assert {part.stage for part in queued} == {Stage.QUEUE}
        assert [part.duration_ms for part in queued] == pytest.approx([0, 1000, 2000])

    in_memory(test)


def test_a_turn_that_would_not_wait_is_refused() -> None:
    async def test(world: World) -> None:
        world.provider.detect_s = 1.0
        running = later(world.turns.respond(asks(), within()))
        await asyncio.sleep(0.5)
        with pytest.raises(Busy):
            await world.turns.respond(asks(on_busy=OnBusy.REJECT), within())
        await running
        assert [event.outcome for event in world.happened(TurnEnded)] == ["CONVERSATION_BUSY", "committed"]

    in_memory(test)


def test_an_interruption_before_the_first_text_leaves_nothing_of_the_turn() -> None:
    async def test(world: World) -> None:
        world.provider.detect_s = 1.0
        heard = Listener()
        old = later(world.turns.respond(asks("Old."), within(), heard))
        await asyncio.sleep(0.5)
        new = await world.turns.respond(asks("New.", on_busy=OnBusy.INTERRUPT), within())
        with pytest.raises(Interrupted):
            await old
        assert new.turn.number == 1
        assert [turn.message for turn in await world.kept()] == ["New."]

    in_memory(test)


def test_an_interruption_keeps_the_text_that_was_sent() -> None:
    async def test(world: World) -> None:
        world.provider.reply = ["It begins here. ", "And goes ", 5.0, "on."]
        heard = Listener()
        old = later(world.turns.respond(asks("Old.", request=ID), within(), heard))
        await asyncio.sleep(1)
        world.provider.reply = ["New."]
        new = await world.turns.respond(asks("New.", on_busy=OnBusy.INTERRUPT), within())
        answer = await old
        assert answer.turn.interrupted
        assert answer.turn.reply == heard.text.strip()
        assert answer.turn.reply != ""
        assert heard.answers == [answer]
        kept = [(turn.reply, turn.interrupted) for turn in await world.kept()]
        assert kept == [(answer.turn.reply, True), ("New.", False)]
        # The later turn knows what the buyer has read.
        assert world.provider.generated().history[-1].reply == answer.turn.reply
        assert new.turn.number == 2
        again = await world.turns.respond(asks("Old.", request=ID), within())
        assert again.turn.reply == answer.turn.reply

    in_memory(test)


# -- too much, too late


def test_over_capacity_a_turn_is_refused_at_once() -> None:
    async def test(world: World) -> None:
        world.provider.detect_s = 1.0
        running = [later(world.turns.respond(asks(conversation_id=""), within())) for _ in range(2)]
        await asyncio.sleep(0.5)
        with pytest.raises(Overloaded) as refused:
            await world.turns.respond(asks(), within())
        assert refused.value.retry_after_ms > 0
        assert len(world.happened(TurnBegan)) == 2
        await asyncio.gather(*running)
        await world.turns.respond(asks(), within())

    in_memory(test, concurrent_max=2)


def test_too_many_waiting_turns_of_one_conversation_are_refused() -> None:
    async def test(world: World) -> None:
        world.provider.detect_s = 1.0
        turns = [later(world.turns.respond(asks(), within())) for _ in range(3)]
        *served, refused = await asyncio.gather(*turns, return_exceptions=True)
        assert isinstance(refused, Overloaded)
        assert len(await world.kept()) == len(served) == 2

    in_memory(test, waiting_max=1)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_deadline_before_the_first_text_writes_nothing(streamed: bool) -> None:
    async def test(world: World) -> None:
        world.provider.reply = [10.0, "Too late."]
        opened = await world.conversations.get(TENANT, "talk")
        with pytest.raises(DeadlineExceeded):
            await world.turns.respond(asks(), within(2), Listener() if streamed else None)
        assert asyncio.get_running_loop().time() == pytest.approx(2)
        assert await world.kept() == []
        assert await world.conversations.get(TENANT, "talk") == opened
        assert world.happened(TurnEnded)[0].outcome == "DEADLINE_EXCEEDED"

    in_memory(test)


def test_a_deadline_after_the_first_text_keeps_what_was_sent() -> None:
    async def test(world: World) -> None:
        world.provider.reply = ["This came in time. ", "This ", 10.0, "did not."]
        heard = Listener()
        with pytest.raises(DeadlineExceeded):
            await world.turns.respond(asks(), within(2), heard)
        (turn,) = await world.kept()
        assert turn.interrupted
        assert turn.reply == heard.text.strip()
        assert turn.reply != ""
        assert heard.answers == []

    in_memory(test)


def test_a_deadline_does_not_end_a_turn_whose_reply_is_whole() -> None:
    async def test(world: World) -> None:
        heard = Listener()
        answer = await world.turns.respond(asks(), within(2), heard)
        assert asyncio.get_running_loop().time() > 2
        assert not answer.turn.interrupted
        assert heard.answers == [answer]

    in_memory(test, write_s=5)
