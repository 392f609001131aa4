"""Turns over the wire: answered whole, streamed, analysed, recorded; repeats, etags, options."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest
from google.protobuf.message import Message
from repartee.v1 import conversation_pb2 as pb

from tests.server.harness import Client, refusal

OUTAGE = "My website is down since 2 November, error 502."


def respond(client: Client, message: str = OUTAGE, conversation: str = "", **more: object) -> pb.RespondResponse:
    request = pb.RespondRequest(message=message, conversation=conversation, **more)  # type: ignore[arg-type]
    return client.talk.Respond(request)


def stream(client: Client, request: pb.RespondRequest) -> list[pb.StreamRespondResponse]:
    return list(client.talk.StreamRespond(pb.StreamRespondRequest(request=request)))


def turns_of(client: Client, conversation: str) -> list[pb.Turn]:
    return list(client.talk.ListTurns(pb.ListTurnsRequest(parent=conversation, page_size=1000)).turns)


def test_a_turn_comes_with_all_that_decided_it(client: Client) -> None:
    answer = respond(client)
    turn = answer.turn
    assert turn.name == f"{answer.conversation.name}/turns/1"
    assert turn.message == OUTAGE
    assert turn.reply
    assert not turn.interrupted
    assert turn.situation.id == answer.conversation.situation == "outage_report"
    assert 0 < turn.situation.runner_up_confidence < turn.situation.confidence <= 1
    assert turn.situation.runner_up not in {"", turn.situation.id}
    assert turn.play.id
    assert turn.play.principle
    assert {change.name: change.value.text for change in turn.changes}["product_affected"] == "website"
    assert {change.operation for change in turn.changes} == {pb.SLOT_OPERATION_SET}


def test_a_quote_stands_in_the_message_where_it_says(client: Client) -> None:
    message = "🙂🙂 Hélas! My webmail is down since 2 November."
    changes = respond(client, message).turn.changes
    assert changes
    for change in changes:
        value = change.value
        assert message[value.quote_start : value.quote_start + len(value.quote)] == value.quote != ""
        assert value.turn == 1


def test_a_trace_says_where_the_time_went(client: Client) -> None:
    trace = respond(client).turn.trace
    stages = [stage.stage for stage in trace.stages]
    assert stages[:2] == [pb.STAGE_QUEUE, pb.STAGE_LOOKUP]
    assert set(stages[2:4]) == {pb.STAGE_CAPTURE, pb.STAGE_DETECT}
    assert stages[-3:] == [pb.STAGE_SELECT, pb.STAGE_GENERATE, pb.STAGE_COMMIT]
    starts = [stage.start.ToNanoseconds() for stage in trace.stages]
    assert starts == sorted(starts)
    total = trace.total.ToNanoseconds()
    assert all(start + s.duration.ToNanoseconds() <= total for start, s in zip(starts, trace.stages, strict=True))
    made = {stage.step: stage for stage in trace.stages if stage.step}
    assert set(made) == {"capture", "detect", "generate"}
    assert {(s.provider, s.model, s.tier, s.calls) for s in made.values()} == {
        ("local", "built-in", pb.MODEL_TIER_LOCAL, 1)
    }
    assert trace.cache == pb.CACHE_TIER_BYPASSED
    assert trace.speculation == pb.SPECULATION_OFF
    assert not trace.HasField("first_text")


def test_a_conversation_goes_on_where_it_was(client: Client) -> None:
    first = respond(client)
    name = first.conversation.name
    second = respond(client, "Please refund me $15 for it.", name)
    assert second.turn.name == f"{name}/turns/2"
    assert set(second.conversation.slots) >= {"product_affected", "refund_amount"}
    assert second.conversation.turn_count == 2
    assert second.conversation.etag != first.conversation.etag
    assert client.talk.GetConversation(pb.GetConversationRequest(name=name)) == second.conversation
    kept = turns_of(client, name)
    assert [(turn.message, turn.reply) for turn in kept] == [
        (turn.message, turn.reply) for turn in (first.turn, second.turn)
    ]
    assert kept[1].changes == second.turn.changes
    assert kept[1].situation == second.turn.situation
    assert kept[1].create_time == second.turn.create_time == second.conversation.update_time


def test_a_changed_value_shows_what_it_was_before(client: Client) -> None:
    first = respond(client, "Please refund me $15.")
    second = respond(client, "Sorry, please refund me $25.", first.conversation.name)
    change = next(change for change in second.turn.changes if change.name == "refund_amount")
    assert change.operation == pb.SLOT_OPERATION_CHANGE
    assert (change.previous.amount.min, change.value.amount.min) == (15, 25)
    assert [value.amount.min for value in second.conversation.slots["refund_amount"].values] == [25]


# -- the stream


def test_a_stream_begins_with_the_names_and_ends_with_the_whole_turn(client: Client) -> None:
    events = stream(client, pb.RespondRequest(message=OUTAGE))
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[0] == "turn_started"
    assert kinds[-1] == "done"
    assert kinds.count("turn_started") == kinds.count("done") == 1
    done = events[-1].done
    assert events[0].turn_started.conversation == done.conversation.name
    assert events[0].turn_started.turn == done.turn.name
    assert "".join(event.text for event in events) == done.turn.reply
    assert kinds.count("text") > 1
    assert done.turn.trace.first_text.ToNanoseconds() > 0
    assert client.talk.GetConversation(pb.GetConversationRequest(name=done.conversation.name)) == done.conversation


def test_every_stage_of_a_stream_starts_before_it_finishes_and_stands_in_the_trace(client: Client) -> None:
    events = stream(client, pb.RespondRequest(message=OUTAGE))
    started = {
        (e.stage_started.stage, e.stage_started.step): n for n, e in enumerate(events) if e.HasField("stage_started")
    }
    finished = {
        (e.stage_finished.stage, e.stage_finished.step): n for n, e in enumerate(events) if e.HasField("stage_finished")
    }
    # Waiting begins with the request itself.
    assert set(finished) - set(started) == {(pb.STAGE_QUEUE, "")}
    assert all(started[stage] < finished[stage] for stage in started)
    assert {(stage.stage, stage.step) for stage in events[-1].done.turn.trace.stages} == set(finished)
    texts = [n for n, event in enumerate(events) if event.text]
    generate = (pb.STAGE_GENERATE, "generate")
    assert started[generate] < texts[0] <= texts[-1] < finished[generate]


def test_both_ways_of_asking_get_the_same_reply(client: Client) -> None:
    whole, streamed = respond(client).turn, stream(client, pb.RespondRequest(message=OUTAGE))[-1].done.turn
    assert (whole.reply, whole.situation, whole.play) == (streamed.reply, streamed.situation, streamed.play)
    assert whole.changes == streamed.changes


# -- analysed and recorded


def analyze(client: Client, request: pb.RespondRequest, *, persist: bool = False) -> pb.AnalyzeResponse:
    return client.talk.Analyze(pb.AnalyzeRequest(request=request, persist=persist))


def test_an_analysis_comes_to_what_a_turn_would(client: Client) -> None:
    analysis, turn = analyze(client, pb.RespondRequest(message=OUTAGE)), respond(client).turn
    assert analysis.situation == turn.situation
    assert analysis.changes == turn.changes
    assert analysis.plays[0] == turn.play
    assert len({play.id for play in analysis.plays}) == len(analysis.plays) > 1
    assert pb.STAGE_GENERATE not in [stage.stage for stage in analysis.trace.stages]


def test_an_analysis_changes_nothing_unless_asked_to(client: Client) -> None:
    before = client.talk.CreateConversation(pb.CreateConversationRequest())
    request = pb.RespondRequest(conversation=before.name, message=OUTAGE)
    read = analyze(client, request)
    assert read.changes
    assert read.conversation == before
    assert client.talk.GetConversation(pb.GetConversationRequest(name=before.name)) == before
    kept = analyze(client, request, persist=True)
    after = client.talk.GetConversation(pb.GetConversationRequest(name=before.name))
    assert after == kept.conversation
    assert (after.situation, after.turn_count) == ("outage_report", 0)
    assert "product_affected" in after.slots
    assert after.etag != before.etag
    assert not turns_of(client, before.name)


def test_an_analysis_that_is_not_kept_leaves_no_name_to_ask_for(client: Client) -> None:
    read = analyze(client, pb.RespondRequest(message=OUTAGE))
    assert (read.conversation.name, read.conversation.etag) == ("", "")
    kept = analyze(client, pb.RespondRequest(message=OUTAGE), persist=True)
    assert client.talk.GetConversation(pb.GetConversationRequest(name=kept.conversation.name)) == kept.conversation


def test_a_recorded_turn_moves_the_state_on_and_keeps_who_answered(client: Client) -> None:
    name = client.talk.CreateConversation(pb.CreateConversationRequest()).name
    turn = client.talk.RecordTurn(
        pb.RecordTurnRequest(parent=name, message=OUTAGE, reply="Ann is on it.", author="person:ann")
    )
    assert (turn.name, turn.reply, turn.author) == (f"{name}/turns/1", "Ann is on it.", "person:ann")
    assert turn.situation.id == "outage_report"
    assert not turn.HasField("play")
    after = client.talk.GetConversation(pb.GetConversationRequest(name=name))
    assert (after.turn_count, after.situation) == (1, "outage_report")
    assert "product_affected" in after.slots


def test_a_person_may_speak_first_and_last(client: Client) -> None:
    name = client.talk.CreateConversation(pb.CreateConversationRequest()).name
    first = client.talk.RecordTurn(pb.RecordTurnRequest(parent=name, message="  ", reply="Hello, Ann speaking."))
    assert (first.message, first.HasField("situation")) == ("", False)
    client.talk.RecordTurn(pb.RecordTurnRequest(parent=name, message=OUTAGE))
    assert [(turn.message, turn.reply) for turn in turns_of(client, name)] == [
        ("", "Hello, Ann speaking."),
        (OUTAGE, ""),
    ]


# -- repeats, etags and options


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_repeat_gets_the_first_answer_and_applies_nothing_twice(client: Client, streamed: bool) -> None:
    request = pb.RespondRequest(message=OUTAGE, request_id=f"repeat-{streamed}")
    first = client.talk.Respond(request)
    if streamed:
        events = stream(client, request)
        assert [event.WhichOneof("event") for event in events] == ["turn_started", "text", "done"]
        assert events[0].turn_started.turn == first.turn.name
        assert events[1].text == first.turn.reply
        again = events[-1].done
    else:
        again = client.talk.Respond(request)
    assert again.conversation == first.conversation
    assert (again.turn.name, again.turn.reply) == (first.turn.name, first.turn.reply)
    assert len(turns_of(client, first.conversation.name)) == 1


def test_a_repeated_record_or_analysis_is_applied_once(client: Client) -> None:
    name = client.talk.CreateConversation(pb.CreateConversationRequest()).name
    record = pb.RecordTurnRequest(parent=name, message=OUTAGE, reply="On it.", request_id="record-twice")
    assert client.talk.RecordTurn(record).name == client.talk.RecordTurn(record).name
    assert len(turns_of(client, name)) == 1
    request = pb.RespondRequest(conversation=name, message="Refund me $15.", request_id="analyze-twice")
    assert analyze(client, request, persist=True).conversation == analyze(client, request, persist=True).conversation


def test_a_request_id_is_for_one_request_only(client: Client) -> None:
    request = pb.RespondRequest(message=OUTAGE, request_id="mine")
    name = client.talk.Respond(request).conversation.name
    others: list[tuple[str, Callable[[], Message]]] = [
        ("request_id", lambda: respond(client, "Something else.", request_id="mine")),
        ("request_id", lambda: respond(client, OUTAGE, name, request_id="mine")),
        ("request.request_id", lambda: analyze(client, request, persist=True)),
        (
            "request_id",
            lambda: client.talk.RecordTurn(pb.RecordTurnRequest(parent=name, reply="Hello", request_id="mine")),
        ),
    ]
    for field, other in others:
        told = refusal(other)
        assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_TAKEN")
        assert list(told.fields) == [field]
    assert len(turns_of(client, name)) == 1


def test_a_repeat_after_a_deletion_does_not_open_the_conversation_again(client: Client) -> None:
    request = pb.RespondRequest(message=OUTAGE, request_id="deleted-since")
    name = client.talk.Respond(request).conversation.name
    client.talk.DeleteConversation(pb.DeleteConversationRequest(name=name))
    assert refusal(lambda: client.talk.Respond(request)).code is grpc.StatusCode.NOT_FOUND


def test_a_write_can_be_bound_to_the_state_that_was_read(client: Client) -> None:
    created = client.talk.CreateConversation(pb.CreateConversationRequest())
    options = pb.TurnOptions(if_etag=created.etag)
    after = respond(client, OUTAGE, created.name, options=options).conversation
    told = refusal(lambda: respond(client, "Hello", created.name, options=options))
    assert (told.code, told.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert client.talk.GetConversation(pb.GetConversationRequest(name=created.name)) == after
    assert respond(client, "Hello", created.name, options=pb.TurnOptions(if_etag=after.etag)).turn.reply


def test_a_domain_can_be_chosen_for_a_conversation_that_a_turn_opens(client: Client) -> None:
    assert respond(client, options=pb.TurnOptions(domain="sales")).conversation.domain == "sales"
    assert respond(client).conversation.domain == "support"


@pytest.mark.parametrize(
    "options",
    [
        pb.TurnOptions(tier=pb.MODEL_TIER_LOCAL),
        pb.TurnOptions(routing=pb.ROUTING_SINGLE),
        pb.TurnOptions(bypass_cache=True),
        pb.TurnOptions(on_busy=pb.BUSY_POLICY_REJECT),
        pb.TurnOptions(on_busy=pb.BUSY_POLICY_INTERRUPT),
    ],
    ids=str,
)
def test_an_option_that_is_served_is_served(client: Client, options: pb.TurnOptions) -> None:
    assert respond(client, options=options).turn.reply


@pytest.mark.parametrize(
    ("options", "field", "reason"),
    [
        (pb.TurnOptions(tier=pb.MODEL_TIER_FAST), "options.tier", "UNSUPPORTED_OPTION"),
        (pb.TurnOptions(tier=pb.MODEL_TIER_POWERFUL), "options.tier", "UNSUPPORTED_OPTION"),
        (pb.TurnOptions(routing=pb.ROUTING_RACE), "options.routing", "UNSUPPORTED_OPTION"),
        (pb.TurnOptions(routing=pb.ROUTING_HEDGE), "options.routing", "UNSUPPORTED_OPTION"),
        (pb.TurnOptions(routing=pb.ROUTING_FAILOVER), "options.routing", "UNSUPPORTED_OPTION"),
        (pb.TurnOptions(if_etag="abc"), "options.if_etag", "INVALID_FIELD"),
        (pb.TurnOptions(domain="nowhere"), "options.domain", "INVALID_FIELD"),
        (pb.TurnOptions(tier=77), "options.tier", "INVALID_FIELD"),  # type: ignore[arg-type]
        (pb.TurnOptions(routing=77), "options.routing", "INVALID_FIELD"),  # type: ignore[arg-type]
        (pb.TurnOptions(on_busy=77), "options.on_busy", "INVALID_FIELD"),  # type: ignore[arg-type]
        (pb.TurnOptions(if_etag="e" * 65), "options.if_etag", "INVALID_FIELD"),
    ],
    ids=str,
)
def test_an_option_that_is_not_served_is_never_ignored(
    client: Client, options: pb.TurnOptions, field: str, reason: str
) -> None:
    """`field` is the path in the request of Respond; the others hold it under `request`."""
    request = pb.RespondRequest(message=OUTAGE, options=options)
    calls: list[Callable[[], object]] = [
        lambda: client.talk.Respond(request),
        lambda: client.talk.StreamRespond(pb.StreamRespondRequest(request=request)),
        lambda: analyze(client, request),
    ]
    for call, path in zip(calls, [field, f"request.{field}", f"request.{field}"], strict=True):
        told = refusal(call)
        assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
        assert list(told.fields) == [path]


def test_an_open_conversation_keeps_its_domain(client: Client) -> None:
    name = respond(client).conversation.name
    assert respond(client, OUTAGE, name, options=pb.TurnOptions(domain="support")).turn.reply
    told = refusal(lambda: respond(client, OUTAGE, name, options=pb.TurnOptions(domain="sales")))
    assert (told.code, list(told.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["options.domain"])


@pytest.mark.parametrize("message", ["", " ", "\n\t", "\u00a0\u2003", "\u200b\u200d", "x" * 8001])
def test_a_message_that_says_nothing_or_too_much_is_refused(client: Client, message: str) -> None:
    told = refusal(lambda: respond(client, message))
    assert (told.code, list(told.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["message"])
    told = refusal(
        lambda: client.talk.StreamRespond(pb.StreamRespondRequest(request=pb.RespondRequest(message=message)))
    )
    assert list(told.fields) == ["request.message"]


@pytest.mark.parametrize("message", ["x", "?", "7", "🙂", "x" * 8000, "🙂" * 8000, "\u0000a", "\u202eabc", "ok\u0301"])
def test_any_message_that_says_something_is_answered(client: Client, message: str) -> None:
    assert respond(client, message).turn.reply
    assert turns_of(client, respond(client, message).conversation.name)[0].message == message


def test_a_wrapped_request_must_be_there(client: Client) -> None:
    assert list(refusal(lambda: client.talk.StreamRespond(pb.StreamRespondRequest())).fields) == ["request"]
    assert list(refusal(lambda: client.talk.Analyze(pb.AnalyzeRequest())).fields) == ["request"]


def test_a_record_of_nothing_is_refused(client: Client) -> None:
    name = client.talk.CreateConversation(pb.CreateConversationRequest()).name
    told = refusal(lambda: client.talk.RecordTurn(pb.RecordTurnRequest(parent=name, message=" ", reply="\n")))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert not turns_of(client, name)
