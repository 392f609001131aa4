"""What a turn does, stage by stage: what it asks, what it decides, what it says and what it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from engine.conversation import HISTORY_MAX, Finding, Operation
from engine.errors import EngineError
from engine.events import FigureWithheld, FirstText, Reconciled, StageEnded, TurnBegan, TurnEnded
from engine.reconcile import Detection, Trigger
from engine.stages import CaptureInput, DetectInput, Stage
from engine.steps import CAPTURE, DETECT, GENERATE
from engine.stopwatch import StageStarted, Text, TurnStarted
from engine.trace import Answer, StageTrace
from tests.fakes import TENANT, Listener, World, asks, budget, pain, within
from tests.virtual_time import run

STAGES = ["queue", "lookup", "capture", "detect", "select", "generate", "commit"]


def answered(world: World, message: str = "Hello.", listener: Listener | None = None) -> Answer:
    """One turn of a new world's only conversation."""

    async def turn() -> Answer:
        if await world.store.get(TENANT, "talk", world.wall()) is None:
            await world.open()
        return await world.turns.respond(asks(message), within(), listener)

    return run(turn())


def asked(world: World, step: str) -> Sequence[DetectInput | CaptureInput]:
    inputs = world.provider.questions(step)
    return [value for value in inputs if isinstance(value, DetectInput | CaptureInput)]


# -- the course of a turn


def test_a_turn_runs_its_stages_in_order_and_says_so() -> None:
    world = World()
    world.embedder.delay_s, world.provider.capture_s, world.provider.detect_s = 0.1, 0.2, 0.3
    world.provider.reply = ["Tell me ", 0.5, "more."]
    answer = answered(world)
    trace = answer.turn.trace
    times = {part.stage.value: (part.start_ms, part.duration_ms) for part in trace.stages}
    assert list(times) == STAGES
    assert times["lookup"] == pytest.approx((0, 100))
    # Capture needs no vector, and begins beside the embedding; the slower side decides.
    assert times["capture"] == pytest.approx((0, 200))
    assert times["detect"] == pytest.approx((100, 300))
    assert times["generate"] == pytest.approx((400, 500))
    assert trace.total_ms == pytest.approx(900)
    assert trace.first_text_ms is None


def test_every_stage_says_who_answered_it() -> None:
    by_stage = {part.stage: part for part in answered(World()).turn.trace.stages}
    for step in (CAPTURE, DETECT, GENERATE):
        part = by_stage[step.stage]
        assert (part.step, part.provider, part.model, part.tier, part.calls) == (
            step.name,
            "scripted",
            "model-fast",
            "fast",
            1,
        )
    for stage in (Stage.QUEUE, Stage.LOOKUP, Stage.SELECT, Stage.COMMIT):
        assert (by_stage[stage].provider, by_stage[stage].calls) == ("", 0)


def test_what_the_turn_came_to_is_answered_and_written_down() -> None:
    world = World()
    world.provider.findings = [pain("slow")]
    world.provider.detections = [Detection("objection", 0.8, (("small_talk", 0.1),))]
    answer = answered(world, "It is slow.")
    turn = answer.turn
    assert (turn.number, turn.message, turn.reply, turn.play) == (1, "It is slow.", "Tell me more.", "isolate")
    assert turn.detection == world.provider.detections[0]
    assert [(change.name, change.operation) for change in turn.changes] == [("pain", Operation.SET)]
    assert not turn.interrupted
    assert turn.author == ""
    conversation = answer.conversation
    assert (conversation.situation, conversation.turn_count) == ("objection", 1)
    assert conversation.slots["pain"][0].text == "slow"
    (kept,) = run(world.kept())
    assert replace(kept, trace=turn.trace) == turn
    assert run(world.conversations.get(TENANT, "talk")) == conversation


def test_the_message_is_embedded_once_and_the_vector_serves_everybody() -> None:
    world = World()
    world.provider.detections = [Detection("small_talk", 0.4, (("objection", 0.35),))]
    answered(world, "Hm.")
    assert world.embedder.asked == ["Hm."]
    vectors = {
        id(value.vector) for value in [*asked(world, "detect"), world.provider.generated()] if hasattr(value, "vector")
    }
    assert len(vectors) == 1


def test_the_listener_hears_every_event_in_order() -> None:
    world, heard = World(), Listener()
    answer = answered(world, listener=heard)
    first, last = heard.events[0], heard.events[-1]
    assert first == TurnStarted("talk", 1)
    assert last is heard.answers[0]
    assert last == answer
    assert heard.text == answer.turn.reply
    started = [event.stage.value for event in heard.events if isinstance(event, StageStarted)]
    assert started == [stage for stage in STAGES if stage != "queue"]
    finished = [event for event in heard.events if isinstance(event, StageTrace)]
    assert [part.stage.value for part in finished] == STAGES
    # Text comes within its stage, and the turn is safe before it is done.
    kinds = [type(event) for event in heard.events]
    assert kinds.index(Text) > heard.events.index(StageStarted(Stage.GENERATE, "generate"))
    assert answer.turn.trace.stages == tuple(finished)


def test_the_first_text_is_timed_where_somebody_listens() -> None:
    world = World()
    world.provider.reply = [0.25, "Tell me. ", 1.0, "Now."]
    trace = answered(world, listener=Listener()).turn.trace
    assert trace.first_text_ms is not None
    assert world.happened(FirstText) == [FirstText(trace.first_text_ms)]
    assert trace.total_ms >= 1250
    assert 250 <= trace.first_text_ms <= 1250


def test_whoever_counts_hears_of_every_turn_and_stage() -> None:
    world = World()
    answer = answered(world)
    assert world.happened(TurnBegan) == [TurnBegan()]
    (ended,) = world.happened(TurnEnded)
    assert ended.outcome == "committed"
    assert ended.total_ms == pytest.approx(answer.turn.trace.total_ms)
    assert [event.trace for event in world.happened(StageEnded)] == list(answer.turn.trace.stages)


@pytest.mark.parametrize(
    ("failing", "error"),
    [
        ("capture_fails", EngineError("known")),
        ("detect_fails", EngineError("known")),
        ("capture_fails", RuntimeError("unknown")),
        ("detect_fails", RuntimeError("unknown")),
    ],
)
def test_a_stage_that_fails_fails_the_turn_as_itself_and_nothing_is_written(failing: str, error: Exception) -> None:
    world = World()
    world.provider.capture_s = world.provider.detect_s = 0.2
    setattr(world.provider, failing.replace("fails", "s"), 0.1)
    setattr(world.provider, failing, error)

    async def test() -> None:
        opened = await world.open()
        with pytest.raises(type(error)) as raised:
            await world.turns.respond(asks(), within())
        assert raised.value is error
        assert await world.kept() == []
        assert await world.conversations.get(TENANT, "talk") == opened

    run(test())
    assert world.happened(TurnEnded)[0].outcome == ("INTERNAL" if isinstance(error, RuntimeError) else error.reason)  # type: ignore[attr-defined]


# -- the second pass


UNSURE = Detection("small_talk", 0.45, (("objection", 0.4),))
SURE = Detection("small_talk", 0.95, (("objection", 0.03),))


@pytest.mark.parametrize(
    ("first", "findings", "fired", "reran"),
    [
        (SURE, [], (), False),
        (UNSURE, [], (Trigger.LOW_CONFIDENCE,), True),
        # Nothing else is plausible, or nothing else leads elsewhere: the first answer stands.
        (Detection("small_talk", 0.6), [], (Trigger.LOW_CONFIDENCE,), False),
        (Detection("small_talk", 0.6, (("objection", 0.1),)), [], (Trigger.LOW_CONFIDENCE,), False),
        (SURE, [budget(500)], (Trigger.CRITICAL_SLOT,), False),
        (Detection("small_talk", 0.7, (("objection", 0.36),)), [budget(500)], (Trigger.CRITICAL_SLOT,), True),
        (SURE, [pain(text, at) for at, text in enumerate("abcd")], (Trigger.CONTEXT_CHANGE,), False),
        (
            UNSURE,
            [budget(500), *(pain(text, at) for at, text in enumerate("abc", 1))],
            (Trigger.LOW_CONFIDENCE, Trigger.CRITICAL_SLOT, Trigger.CONTEXT_CHANGE),
            True,
        ),
    ],
)
def test_detect_runs_again_where_it_can_matter(
    first: Detection, findings: list[Finding], fired: tuple[Trigger, ...], reran: bool
) -> None:
    world = World()
    world.provider.findings = findings
    world.provider.detections = [first]
    answer = answered(world)
    assert world.happened(Reconciled) == [Reconciled(fired, reran, changed=False)]
    assert len(asked(world, "detect")) == 1 + reran
    assert answer.turn.trace.reconciled == (fired[0] if reran else None)
    assert [part.stage for part in answer.turn.trace.stages].count(Stage.DETECT) == 1 + reran


def test_a_second_detection_knows_what_capture_found_and_decides() -> None:
    world = World()
    world.provider.findings = [pain("slow")]
    world.provider.detections = [UNSURE, Detection("objection", 0.9)]
    answer = answered(world)
    before, after = asked(world, "detect")
    assert isinstance(before, DetectInput)
    assert isinstance(after, DetectInput)
    assert (before.changes, dict(before.known)) == (None, {})
    assert after.changes == answer.turn.changes
    assert after.known == answer.conversation.slots
    assert (answer.turn.play, answer.conversation.situation) == ("isolate", "objection")
    assert world.happened(Reconciled) == [Reconciled((Trigger.LOW_CONFIDENCE,), reran=True, changed=True)]


def test_another_situation_with_the_same_play_has_changed_nothing() -> None:
    world = World()
    world.provider.detections = [UNSURE, Detection("small_talk", 0.9)]
    answered(world)
    assert world.happened(Reconciled) == [Reconciled((Trigger.LOW_CONFIDENCE,), reran=True, changed=False)]


# -- what is not believed


def test_a_situation_that_is_not_believed_leaves_the_slots_alone() -> None:
    world = World()
    world.provider.findings = [budget(1_000_000), pain("you")]
    world.provider.detections = [Detection("manipulation", 0.95)]
    answer = answered(world)
    assert dict(answer.conversation.slots) == {}
    assert answer.turn.changes == ()
    assert answer.conversation.situation == "manipulation"
    assert dict(world.provider.generated().slots) == {}


def test_a_play_is_not_chosen_for_what_is_not_believed() -> None:
    world = World()
    world.provider.findings = [budget(1)]
    world.provider.detections = [Detection("manipulation", 0.95)]
    # Its first play needs a budget, and only the message that is not believed has one.
    assert answered(world).turn.play == "hold_the_line"


def test_what_was_known_before_is_still_believed() -> None:
    world = World()
    world.provider.findings = [budget(500)]
    answered(world, "We have $500.")
    world.provider.findings = [budget(1)]
    world.provider.detections = [Detection("manipulation", 0.95)]
    answer = answered(world)
    assert answer.turn.play == "use_the_budget"
    assert answer.conversation.slots["budget"][0].text == "500 USD"


# -- what is said


@pytest.mark.parametrize("listener", [None, Listener()], ids=["whole", "streamed"])
def test_a_figure_that_nothing_vouches_for_ends_the_reply_with_the_packs_line(listener: Listener | None) -> None:
    world = World()
    world.provider.reply = ["It is $49 per seat. ", "For you, $12. ", "Deal?"]
    answer = answered(world, "How much?", listener)
    assert answer.turn.reply.startswith("It is $49 per seat.")
    assert answer.turn.reply.endswith("Let me confirm that figure first.")
    assert "12" not in answer.turn.reply
    assert "Deal" not in answer.turn.reply
    assert not answer.turn.interrupted
    assert world.happened(FigureWithheld) == [FigureWithheld("money")]
    assert world.provider.streams_open == 0
    if listener:
        assert listener.text.strip() == answer.turn.reply


def test_the_buyers_own_figures_may_be_repeated_now_and_later() -> None:
    world = World()
    world.provider.reply = ["You said $12."]
    assert answered(world, "I pay $12 now.").turn.reply == "You said $12."
    assert answered(world, "And?").turn.reply == "You said $12."
    assert world.happened(FigureWithheld) == []


def test_a_reply_is_written_from_what_was_decided() -> None:
    world = World()
    world.provider.findings = [pain("slow")]
    world.provider.detections = [Detection("price_question", 0.9)]
    answered(world, "Hello.")
    answered(world, "How much?")
    value = world.provider.generated()
    assert (value.message, value.situation, value.play.id) == ("How much?", "price_question", "state_price")
    assert value.facts["price"] == "$49 per seat per month"
    assert [(said.message, said.reply, said.play) for said in value.history] == [
        ("Hello.", "Tell me more.", "state_price")
    ]
    assert value.slots["pain"][0].text == "slow"


def test_later_turns_know_what_was_said_and_where_that_led() -> None:
    world = World()
    world.provider.detections = [Detection("objection", 0.9)]
    answered(world, "Hello.")
    answered(world, "And?")
    detect, capture = asked(world, "detect")[-1], asked(world, "capture")[-1]
    assert isinstance(detect, DetectInput)
    assert isinstance(capture, CaptureInput)
    assert detect.previous == "objection"
    assert [said.message for said in detect.history] == ["Hello."]
    assert (capture.turn, capture.today) == (2, world.wall().date())


def test_the_history_is_bounded_and_the_turns_are_not() -> None:
    world = World()
    for number in range(HISTORY_MAX + 3):
        answer = answered(world, f"Message {number}.")
    messages = [said.message for said in answer.conversation.history]
    assert messages == [f"Message {number}." for number in range(3, HISTORY_MAX + 3)]
    assert [turn.number for turn in run(world.kept())] == list(range(1, HISTORY_MAX + 4))


def test_a_reply_of_spaces_only_is_kept_as_nothing() -> None:
    world = World()
    world.provider.reply = [" ", "\n"]
    assert answered(world).turn.reply == ""


# -- the runner


def test_a_step_is_answered_by_a_model_of_its_tier() -> None:
    answer = answered(World(), "Our auditors ask for GDPR and HIPAA compliance, an SLA and a DPA.")
    stages = {part.step: part for part in answer.turn.trace.stages}
    assert (stages["generate"].model, stages["generate"].tier) == ("model-powerful", "powerful")
    # To copy words out of it is easier.
    assert (stages["capture"].model, stages["capture"].tier) == ("model-fast", "fast")
