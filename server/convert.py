"""The engine's values as the contract's messages. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from repartee.v1 import conversation_pb2 as pb

from engine.conversation import Amount, Conversation, Operation, Period, SlotChange, SlotValue
from engine.domain import Domain
from engine.reconcile import Detection, Trigger
from engine.stages import Stage
from engine.stopwatch import StageStarted, Text, TurnEvent, TurnStarted
from engine.trace import Analysis, Answer, StageTrace, Trace, Turn
from engine.usage import NO_USAGE, Usage

DomainOf = Callable[[str], Domain | None]

_OPERATIONS = {
    Operation.SET: pb.SLOT_OPERATION_SET,
    Operation.CHANGE: pb.SLOT_OPERATION_CHANGE,
    Operation.RETRACT: pb.SLOT_OPERATION_RETRACT,
}
_STAGES = {stage: pb.Stage.Value(f"STAGE_{stage.name}") for stage in Stage}
_TIERS = {
    "": pb.MODEL_TIER_UNSPECIFIED,
    "local": pb.MODEL_TIER_LOCAL,
    "fast": pb.MODEL_TIER_FAST,
    "powerful": pb.MODEL_TIER_POWERFUL,
}
_TRIGGERS = {trigger: pb.ReconcileTrigger.Value(f"RECONCILE_TRIGGER_{trigger.name}") for trigger in Trigger}


def conversation_name(conversation_id: str) -> str:
    return f"conversations/{conversation_id}"


def id_of(name: str) -> str:
    """The id in a resource name of one segment."""
    return name.partition("/")[2]


def timestamp(time: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def duration(milliseconds: float) -> Duration:
    span = Duration()
    span.FromTimedelta(timedelta(milliseconds=milliseconds))
    return span


def conversation(value: Conversation) -> pb.Conversation:
    return pb.Conversation(
        name=conversation_name(value.id),
        domain=value.domain,
        create_time=timestamp(value.create_time),
        update_time=timestamp(value.update_time),
        slots={name: pb.Slot(values=[slot_value(known) for known in values]) for name, values in value.slots.items()},
        situation=value.situation,
        turn_count=value.turn_count,
        etag=value.etag,
        expire_time=timestamp(value.expire_time),
    )


def slot_value(value: SlotValue) -> pb.SlotValue:
    message = pb.SlotValue(
        text=value.text,
        quote=value.quote,
        quote_start=value.quote_start,
        confidence=value.confidence,
        turn=value.turn,
    )
    match value.typed:
        case Amount(low, high, unit, per):
            message.amount.CopyFrom(pb.Amount(min=low, max=high, unit=unit, per=per))
        case Period(first_day, last_day):
            message.period.CopyFrom(pb.Period(first_day=first_day, last_day=last_day))
    return message


def change(value: SlotChange) -> pb.SlotChange:
    return pb.SlotChange(
        name=value.name,
        operation=_OPERATIONS[value.operation],
        value=slot_value(value.value) if value.value else None,
        previous=slot_value(value.previous) if value.previous else None,
    )


def situation(value: Detection | None) -> pb.Situation | None:
    if value is None:
        return None
    runner_up, runner_up_confidence = value.runner_up
    return pb.Situation(
        id=value.situation,
        confidence=value.confidence,
        runner_up=runner_up,
        runner_up_confidence=runner_up_confidence,
    )


def play(play_id: str, domain: Domain | None) -> pb.Play | None:
    """A play with its principle, as far as the pack that it came from is still there."""
    if not play_id:
        return None
    known = domain.plays_by_id.get(play_id) if domain else None
    return pb.Play(id=play_id, principle=known.principle if known else "")


def stage_trace(value: StageTrace) -> pb.StageTrace:
    return pb.StageTrace(
        stage=_STAGES[value.stage],
        step=value.step,
        start=duration(value.start_ms),
        duration=duration(value.duration_ms),
        provider=value.provider,
        model=value.model,
        tier=_TIERS[value.tier],
        calls=value.calls,
    )


def trace(value: Trace) -> pb.Trace:
    return pb.Trace(
        # There is no cache to look into yet, and nothing is begun on a guess.
        cache=pb.CACHE_TIER_BYPASSED,
        speculation=pb.SPECULATION_OFF,
        stages=[stage_trace(stage) for stage in value.stages],
        reconcile=_TRIGGERS[value.reconciled] if value.reconciled else pb.RECONCILE_TRIGGER_NONE,
        total=duration(value.total_ms),
        first_text=duration(value.first_text_ms) if value.first_text_ms is not None else None,
        degraded=value.degraded,
        usage=usage(value.usage),
    )


def usage(value: Usage) -> pb.Usage | None:
    """None where no remote model was asked."""
    if value == NO_USAGE:
        return None
    return pb.Usage(
        input_tokens=value.input_tokens,
        output_tokens=value.output_tokens,
        cached_input_tokens=value.cached_input_tokens,
        cost_usd=value.cost_usd,
        wasted_tokens=value.wasted_tokens,
        wasted_cost_usd=value.wasted_cost_usd,
        estimated=value.estimated,
    )


def turn(value: Turn, conversation_id: str, domain: Domain | None) -> pb.Turn:
    return pb.Turn(
        name=f"{conversation_name(conversation_id)}/turns/{value.number}",
        message=value.message,
        reply=value.reply,
        changes=[change(made) for made in value.changes],
        situation=situation(value.detection),
        play=play(value.play, domain),
        trace=trace(value.trace),
        create_time=timestamp(value.create_time),
        interrupted=value.interrupted,
        author=value.author,
    )


def answer(value: Answer, domain: Domain | None) -> pb.RespondResponse:
    return pb.RespondResponse(
        conversation=conversation(value.conversation), turn=turn(value.turn, value.conversation.id, domain)
    )


def analysis(value: Analysis, domain: Domain | None, *, named: bool) -> pb.AnalyzeResponse:
    """`named` is False where the conversation exists nowhere: it then has no name, and cannot be asked for."""
    message = pb.AnalyzeResponse(
        conversation=conversation(value.conversation),
        changes=[change(made) for made in value.changes],
        situation=situation(value.detection),
        plays=[shown for play_id in value.plays if (shown := play(play_id, domain))],
        trace=trace(value.trace),
    )
    if not named:
        message.conversation.ClearField("name")
        message.conversation.ClearField("etag")
    return message


def event(value: TurnEvent, domain_of: DomainOf) -> pb.StreamRespondResponse:
    match value:
        case TurnStarted(conversation_id, number):
            name = conversation_name(conversation_id)
            return pb.StreamRespondResponse(
                turn_started=pb.TurnStarted(conversation=name, turn=f"{name}/turns/{number}")
            )
        case StageStarted(stage, step):
            return pb.StreamRespondResponse(stage_started=pb.StageStarted(stage=_STAGES[stage], step=step))
        case StageTrace():
            return pb.StreamRespondResponse(stage_finished=stage_trace(value))
        case Text(text):
            return pb.StreamRespondResponse(text=text)
        case Answer(conversation=state):
            return pb.StreamRespondResponse(done=answer(value, domain_of(state.domain)))
