"""Turns without a reply of ours: a message that is only analysed, an exchange that somebody else answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.conversations import RequestId
from engine.errors import NotFound
from engine.events import Reconciled
from engine.reconcile import Detection
from tests.engine.worlds import on_disk
from tests.fakes import TENANT, World, asks, budget, within

ID = RequestId("r1", b"the body")


# -- analysed, not answered


def test_an_analysis_tells_what_a_message_means_and_writes_nothing(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.provider.findings = [budget(500)]
        world.provider.detections = [Detection("price_question", 0.9, (("objection", 0.05),))]
        opened = await world.conversations.get(TENANT, "talk")
        analysis = await world.turns.analyze(asks("We have $500.", request=ID), within(), persist=False)
        assert analysis.plays == ("state_price", "chat")
        assert analysis.detection.situation == "price_question"
        assert [change.name for change in analysis.changes] == ["budget"]
        assert [part.stage.value for part in analysis.trace.stages] == [
            "queue",
            "lookup",
            "capture",
            "detect",
            "select",
        ]
        assert analysis.conversation == opened == await world.conversations.get(TENANT, "talk")
        assert await world.kept() == []
        assert world.provider.questions("generate") == []
        assert len(world.happened(Reconciled)) == 1
        # Nothing was applied: the id is still free.
        await world.turns.respond(asks(request=RequestId("r1", b"other")), within())

    on_disk(tmp_path, test)


def test_an_analysis_can_be_kept_once(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.provider.findings = [budget(500)]
        world.provider.detections = [Detection("objection", 0.9)]
        first = await world.turns.analyze(asks(request=ID), within(), persist=True)
        again = await world.turns.analyze(asks(request=ID), within(), persist=True)
        assert again == first
        kept = await world.conversations.get(TENANT, "talk")
        assert kept == first.conversation
        assert (kept.situation, kept.slots["budget"][0].text) == ("objection", "500 USD")
        # It is no turn.
        assert (kept.turn_count, kept.revision, await world.kept()) == (0, 2, [])

    on_disk(tmp_path, test)


def test_a_kept_analysis_may_open_a_conversation_and_one_that_is_not_kept_does_not(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        passing = await world.turns.analyze(asks(conversation_id=""), within(), persist=False)
        kept = await world.turns.analyze(asks(conversation_id=""), within(), persist=True)
        with pytest.raises(NotFound):
            await world.conversations.get(TENANT, passing.conversation.id)
        assert await world.conversations.get(TENANT, kept.conversation.id) == kept.conversation

    on_disk(tmp_path, test)


# -- answered by somebody else


def test_a_recorded_exchange_counts_as_a_turn(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.provider.findings = [budget(500)]
        world.provider.detections = [Detection("objection", 0.9)]
        request = asks("We have $500.", request=ID)
        answer = await world.turns.record(request, within(), "For $450 it is yours.", "person:ann")
        turn = answer.turn
        assert (turn.number, turn.reply, turn.author) == (1, "For $450 it is yours.", "person:ann")
        assert (turn.play, answer.conversation.situation) == ("", "objection")
        assert answer.conversation.slots["budget"][0].text == "500 USD"
        assert answer.conversation.history[-1].reply == "For $450 it is yours."
        assert world.provider.questions("generate") == []
        again = await world.turns.record(request, within(), "For $450 it is yours.", "person:ann")
        assert again.conversation == answer.conversation
        assert len(await world.kept()) == 1

    on_disk(tmp_path, test)


def test_a_seller_may_speak_first(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        answer = await world.turns.record(asks(""), within(), "Good morning!", "crm")
        assert (answer.turn.message, answer.turn.reply, answer.turn.detection) == ("", "Good morning!", None)
        assert (answer.conversation.turn_count, answer.conversation.situation) == (1, "")
        assert world.provider.asked == []
        assert world.embedder.asked == []

    on_disk(tmp_path, test)


def test_a_buyer_may_speak_last(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.provider.detections = [Detection("objection", 0.9)]
        answer = await world.turns.record(asks("Too dear. Bye."), within(), "", "crm")
        assert (answer.turn.message, answer.turn.reply) == ("Too dear. Bye.", "")
        assert answer.conversation.situation == "objection"

    on_disk(tmp_path, test)
