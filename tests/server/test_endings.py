"""How turns end early: deadlines, callers who go away, later messages; and what is kept of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import grpc
import pytest
from repartee.v1 import conversation_pb2 as pb

from engine.errors import Unavailable
from engine.events import TurnEnded
from tests.server.conftest import StartServer
from tests.server.harness import TIMEOUT_S, Client, eventually, full_stop_at_the_disk, refusal
from tests.server.scripted import REPLY, WHOLE, Scripted

StartScripted = Callable[..., Scripted]
SOON_S = 0.3


@pytest.fixture
def scripted(start_scripted: StartScripted) -> Scripted:
    return start_scripted()


@pytest.fixture
def other_thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def opened(client: Client) -> str:
    return client.talk.CreateConversation(pb.CreateConversationRequest()).name


def started(client: Client, name: str, **more: object) -> Any:
    """A stream whose turn is being answered: its first event is here."""
    request = pb.RespondRequest(conversation=name, message="Hello", **more)  # type: ignore[arg-type]
    call = client.talk.StreamRespond(pb.StreamRespondRequest(request=request), timeout=TIMEOUT_S)
    assert next(call).HasField("turn_started")
    return call


def heard(call: Iterator[pb.StreamRespondResponse]) -> str:
    """Reads on until the next piece of the reply."""
    return next(event.text for event in call if event.text)


def turns_of(client: Client, name: str) -> list[pb.Turn]:
    return list(client.talk.ListTurns(pb.ListTurnsRequest(parent=name)).turns)


def assert_kept(turns: list[pb.Turn], text: str) -> None:
    """The one turn was cut short, and holds what was heard."""
    (turn,) = turns
    assert turn.message == "Hello"
    assert turn.interrupted
    assert turn.reply.startswith(text.strip())
    assert WHOLE.startswith(turn.reply)
    assert turn.reply != WHOLE


def outcomes(scripted: Scripted, count: int) -> list[str]:
    """How the first turns ended; waits until so many have."""
    eventually(lambda: len(scripted.world.happened(TurnEnded)) >= count)
    return [event.outcome for event in scripted.world.happened(TurnEnded)]


def test_a_deadline_before_the_first_text_leaves_nothing(scripted: Scripted) -> None:
    client = scripted.client()
    name = opened(client)
    before = client.talk.GetConversation(pb.GetConversationRequest(name=name))
    request = pb.RespondRequest(conversation=name, message="Hello", request_id="late")
    told = refusal(lambda: client.talk.Respond(request, timeout=SOON_S))
    assert told.code is grpc.StatusCode.DEADLINE_EXCEEDED
    outcomes(scripted, 1)
    assert client.talk.GetConversation(pb.GetConversationRequest(name=name)) == before
    assert not turns_of(client, name)
    # The request id was not used up either.
    scripted.say_all()
    assert client.talk.Respond(request).turn.reply == WHOLE


def test_the_servers_own_deadline_holds_where_the_caller_sets_none(start_scripted: StartScripted) -> None:
    scripted = start_scripted(turn_timeout_s=SOON_S)
    client = scripted.client()
    told = refusal(lambda: client.talk.Respond(pb.RespondRequest(message="Hello")))
    assert (told.code, told.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    told = refusal(lambda: client.talk.Respond(pb.RespondRequest(message="Hello"), timeout=TIMEOUT_S))
    assert told.reason == "DEADLINE_EXCEEDED"


def test_a_deadline_after_the_first_text_keeps_what_was_sent(scripted: Scripted) -> None:
    client = scripted.client()
    name = opened(client)
    request = pb.StreamRespondRequest(request=pb.RespondRequest(conversation=name, message="Hello"))
    call = client.talk.StreamRespond(request, timeout=4 * SOON_S)
    scripted.say_some()
    text = heard(call)
    assert refusal(lambda: list(call)).code is grpc.StatusCode.DEADLINE_EXCEEDED
    outcomes(scripted, 1)
    assert_kept(turns_of(client, name), text)


def test_a_caller_who_goes_away_before_the_first_text_leaves_nothing(scripted: Scripted) -> None:
    client = scripted.client()
    name = opened(client)
    call = started(client, name)
    call.cancel()
    assert outcomes(scripted, 1) == ["cancelled"]
    assert not turns_of(client, name)
    assert scripted.provider.streams_open == 0


def test_a_caller_who_goes_away_in_the_middle_has_heard_what_is_kept(scripted: Scripted) -> None:
    client = scripted.client()
    name = opened(client)
    call = started(client, name)
    scripted.say_some()
    text = heard(call)
    call.cancel()
    assert outcomes(scripted, 1) == ["cancelled"]
    assert_kept(turns_of(client, name), text)
    assert client.talk.GetConversation(pb.GetConversationRequest(name=name)).turn_count == 1
    assert scripted.provider.streams_open == 0


def test_a_caller_whose_connection_breaks_is_like_one_who_goes_away(scripted: Scripted) -> None:
    client, other = scripted.client(), scripted.client()
    name = opened(client)
    call = started(client, name)
    scripted.say_some()
    text = heard(call)
    client.channel.close()
    assert outcomes(scripted, 1) == ["cancelled"]
    assert_kept(turns_of(other, name), text)


def test_a_reply_whose_provider_dies_in_the_middle_is_closed_with_the_packs_line(scripted: Scripted) -> None:
    client = scripted.client()
    name = opened(client)
    scripted.provider.reply = [*REPLY[:2], Unavailable("the provider is gone")]
    call = started(client, name)
    scripted.say_all()
    done = list(call)[-1].done
    assert done.turn.reply.startswith(REPLY[0])
    assert done.turn.reply.endswith("More in a moment.")
    assert [turn.reply for turn in turns_of(client, name)] == [done.turn.reply]


def test_a_provider_that_dies_before_the_first_text_leaves_nothing(scripted: Scripted) -> None:
    client = scripted.client()
    name = opened(client)
    scripted.provider.reply = [Unavailable("the provider is gone")]
    told = refusal(lambda: client.talk.Respond(pb.RespondRequest(conversation=name, message="Hello")))
    assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
    assert not turns_of(client, name)


def test_turns_of_one_conversation_are_answered_in_order_of_arrival(
    scripted: Scripted, other_thread: ThreadPoolExecutor
) -> None:
    client = scripted.client()
    name = opened(client)
    call = started(client, name)
    waits = other_thread.submit(client.talk.Respond, pb.RespondRequest(conversation=name, message="Second"))
    scripted.say_all(2)
    first, second = list(call)[-1].done, waits.result(TIMEOUT_S)
    assert (first.turn.name, second.turn.name) == (f"{name}/turns/1", f"{name}/turns/2")
    assert [turn.message for turn in turns_of(client, name)] == ["Hello", "Second"]


def test_a_turn_that_would_not_wait_is_refused(scripted: Scripted) -> None:
    client = scripted.client()
    name = opened(client)
    call = started(client, name)
    options = pb.TurnOptions(on_busy=pb.BUSY_POLICY_REJECT)
    second = pb.RespondRequest(conversation=name, message="Second", options=options)
    told = refusal(lambda: client.talk.Respond(second))
    assert (told.code, told.reason) == (grpc.StatusCode.ABORTED, "CONVERSATION_BUSY")
    scripted.say_all()
    assert list(call)[-1].done.turn.reply == WHOLE
    scripted.say_all()
    assert client.talk.Respond(second).turn.name == f"{name}/turns/2"


def test_a_later_message_ends_a_turn_that_has_said_nothing(scripted: Scripted) -> None:
    client = scripted.client()
    name = opened(client)
    first = started(client, name)
    second = started(client, name, options=pb.TurnOptions(on_busy=pb.BUSY_POLICY_INTERRUPT))
    told = refusal(lambda: list(first))
    assert (told.code, told.reason) == (grpc.StatusCode.ABORTED, "INTERRUPTED")
    scripted.say_all()
    assert list(second)[-1].done.turn.name == f"{name}/turns/1"
    assert len(turns_of(client, name)) == 1


def test_a_later_message_cuts_a_turn_short_and_keeps_what_was_said(scripted: Scripted) -> None:
    client = scripted.client()
    name = opened(client)
    first = started(client, name)
    scripted.say_some()
    text = heard(first)
    second = started(client, name, options=pb.TurnOptions(on_busy=pb.BUSY_POLICY_INTERRUPT))
    done = list(first)[-1].done
    assert_kept([done.turn], text)
    scripted.say_all()
    assert list(second)[-1].done.turn.name == f"{name}/turns/2"
    assert [turn.interrupted for turn in turns_of(client, name)] == [True, False]


def test_over_capacity_a_turn_is_refused_at_once_and_told_when_to_come_back(start_scripted: StartScripted) -> None:
    scripted = start_scripted(concurrent_max=2)
    client = scripted.client()
    calls = [started(client, ""), started(client, "")]
    told = refusal(lambda: client.talk.Respond(pb.RespondRequest(message="Hello")))
    assert (told.code, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert told.retry_after_ms > 0
    scripted.say_all(2)
    assert all(list(call)[-1].HasField("done") for call in calls)
    scripted.say_all()
    assert client.talk.Respond(pb.RespondRequest(message="Hello")).turn.reply


def test_only_so_many_turns_wait_for_one_conversation(
    start_scripted: StartScripted, other_thread: ThreadPoolExecutor
) -> None:
    scripted = start_scripted(waiting_max=1)
    client = scripted.client()
    name = opened(client)
    call = started(client, name)
    request = pb.RespondRequest(conversation=name, message="Second")
    # One of the two has to wait, the other is one too many, whichever comes first.
    asked = [other_thread.submit(client.talk.Respond, request, TIMEOUT_S) for _ in range(2)]
    refused = refusal(lambda: next(as_completed(asked, TIMEOUT_S)).result())
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert refused.retry_after_ms > 0
    scripted.say_all(2)
    assert list(call)[-1].HasField("done")
    assert sorted(one.exception(TIMEOUT_S) is None for one in asked) == [False, True]


def test_a_deletion_waits_for_the_turn_that_is_being_answered(
    scripted: Scripted, other_thread: ThreadPoolExecutor
) -> None:
    client = scripted.client()
    name = opened(client)
    call = started(client, name)
    deletion = other_thread.submit(client.talk.DeleteConversation, pb.DeleteConversationRequest(name=name))
    scripted.say_all()
    assert list(call)[-1].done.turn.reply == WHOLE
    deletion.result(TIMEOUT_S)
    told = refusal(lambda: client.talk.GetConversation(pb.GetConversationRequest(name=name)))
    assert told.code is grpc.StatusCode.NOT_FOUND


def test_a_turn_that_waits_is_under_its_deadline_too(start_server: StartServer) -> None:
    """The first turn waits for the disk, so the second waits for the first."""
    server = start_server()
    client = server.client()
    name = opened(client)
    with full_stop_at_the_disk(server.settings.data_dir):
        call = started(client, name)
        assert any(event.stage_started.stage == pb.STAGE_COMMIT for event in call)
        second = pb.RespondRequest(conversation=name, message="Second")
        assert refusal(lambda: client.talk.Respond(second, timeout=SOON_S)).code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert list(call)[-1].HasField("done")
    assert [turn.message for turn in turns_of(client, name)] == ["Hello"]


def test_what_was_said_is_kept_though_the_caller_is_gone_before_it_is_written(start_server: StartServer) -> None:
    server = start_server()
    client = server.client()
    name = opened(client)
    with full_stop_at_the_disk(server.settings.data_dir):
        call = started(client, name)
        said = []
        for event in call:
            said.append(event.text)
            if event.stage_started.stage == pb.STAGE_COMMIT:
                break
        call.cancel()
    # Comes after the write, on the same lane.
    client.talk.RecordTurn(pb.RecordTurnRequest(parent=name, reply="Next"))
    assert [turn.reply for turn in turns_of(client, name)] == ["".join(said), "Next"]
