"""Conversations over the wire: opened, read, listed page by page, deleted."""

from __future__ import annotations

from datetime import timedelta

import grpc
import pytest
from repartee.v1 import conversation_pb2 as pb

from tests.server.conftest import StartServer
from tests.server.harness import Client, eventually, refusal


def test_a_new_conversation_is_empty_and_can_be_read_by_its_name(client: Client) -> None:
    created = client.talk.CreateConversation(pb.CreateConversationRequest())
    assert created.name.startswith("conversations/")
    assert created.domain == "support"
    assert (created.turn_count, created.situation, dict(created.slots)) == (0, "", {})
    assert created.etag
    assert created.create_time == created.update_time
    assert client.talk.GetConversation(pb.GetConversationRequest(name=created.name)) == created


def test_an_id_and_a_domain_can_be_chosen(client: Client) -> None:
    created = client.talk.CreateConversation(pb.CreateConversationRequest(conversation_id="Case-7_a.~", domain="sales"))
    assert (created.name, created.domain) == ("conversations/Case-7_a.~", "sales")


def test_what_is_known_before_is_read_as_the_buyers_words_would_be(client: Client) -> None:
    slots = {"refund_amount": "$1,200", "error_code": "NXDOMAIN", "since_when": "2026-11-02"}
    created = client.talk.CreateConversation(pb.CreateConversationRequest(slots=slots))
    refund, code, since = (created.slots[name].values[0] for name in slots)
    assert (refund.amount.min, refund.amount.max, refund.amount.unit) == (1200, 1200, "USD")
    assert code.text == "NXDOMAIN"
    assert since.period.first_day == "2026-11-02"
    assert {value.turn for value in (refund, code, since)} == {0}


def test_an_id_is_given_only_once(client: Client) -> None:
    request = pb.CreateConversationRequest(conversation_id="only-once")
    client.talk.CreateConversation(request)
    told = refusal(lambda: client.talk.CreateConversation(request))
    assert (told.code, told.reason) == (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS")
    assert told.resource == "conversations/only-once"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.CreateConversationRequest(conversation_id="no spaces"), "conversation_id"),
        (pb.CreateConversationRequest(conversation_id="-first"), "conversation_id"),
        (pb.CreateConversationRequest(conversation_id="x" * 129), "conversation_id"),
        (pb.CreateConversationRequest(domain="nowhere"), "domain"),
        (pb.CreateConversationRequest(domain="d" * 65), "domain"),
        (pb.CreateConversationRequest(slots={"no_such_slot": "x"}), "slots[no_such_slot]"),
        (pb.CreateConversationRequest(slots={"refund_amount": "a lot"}), "slots[refund_amount]"),
        (pb.CreateConversationRequest(slots={"error_code": ""}), "slots[error_code]"),
        (pb.CreateConversationRequest(slots={"error_code": "x" * 1001}), "slots[error_code]"),
        (pb.CreateConversationRequest(history=[pb.Turn()] * 101), "history"),
        (pb.CreateConversationRequest(history=[pb.Turn(), pb.Turn(reply="r" * 8001)]), "history[1].reply"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_field_that_is_wrong_is_named(client: Client, request_: pb.CreateConversationRequest, field: str) -> None:
    told = refusal(lambda: client.talk.CreateConversation(request_))
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert list(told.fields) == [field]
    assert field in told.message
    assert told.fields[field]


def test_every_field_that_is_wrong_is_named_at_once(client: Client) -> None:
    request = pb.CreateConversationRequest(conversation_id="no spaces", domain="d" * 65, slots={"pain": ""})
    assert set(refusal(lambda: client.talk.CreateConversation(request)).fields) == {
        "conversation_id",
        "domain",
        "slots[pain]",
    }


def test_earlier_exchanges_are_remembered_but_are_no_turns(client: Client) -> None:
    """A play's line that was said in the history is not said again."""
    alone = client.talk.Respond(pb.RespondRequest(message="My website is down."))
    history = [pb.Turn(message="My website is down.", reply=alone.turn.reply)]
    created = client.talk.CreateConversation(pb.CreateConversationRequest(history=history))
    assert created.turn_count == 0
    assert not client.talk.ListTurns(pb.ListTurnsRequest(parent=created.name)).turns
    again = client.talk.Respond(pb.RespondRequest(conversation=created.name, message="My website is down."))
    assert again.turn.reply != alone.turn.reply


@pytest.mark.parametrize("name", ["conversations/none", "conversations/" + "n" * 128])
def test_what_does_not_exist_is_not_found(client: Client, name: str) -> None:
    for told in (
        refusal(lambda: client.talk.GetConversation(pb.GetConversationRequest(name=name))),
        refusal(lambda: client.talk.ListTurns(pb.ListTurnsRequest(parent=name))),
        refusal(lambda: client.talk.DeleteConversation(pb.DeleteConversationRequest(name=name))),
        refusal(lambda: client.talk.Respond(pb.RespondRequest(conversation=name, message="Hello"))),
        refusal(lambda: client.talk.RecordTurn(pb.RecordTurnRequest(parent=name, reply="Hello"))),
    ):
        assert (told.code, told.reason, told.resource) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND", name)


@pytest.mark.parametrize(
    "name", ["", "conversations/", "conversation/a", "conversations/a/turns/1", "a", "conversations/ä"]
)
def test_a_malformed_name_is_refused(client: Client, name: str) -> None:
    told = refusal(lambda: client.talk.GetConversation(pb.GetConversationRequest(name=name)))
    assert (told.code, list(told.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["name"])
    told = refusal(lambda: client.talk.ListTurns(pb.ListTurnsRequest(parent=name)))
    assert (told.code, list(told.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["parent"])


def test_conversations_are_listed_newest_first_page_by_page(start_server: StartServer) -> None:
    talk = start_server().client().talk
    names = [talk.CreateConversation(pb.CreateConversationRequest(conversation_id=f"c{n}")).name for n in range(7)]
    seen, token, sizes = [], "", []
    while True:
        page = talk.ListConversations(pb.ListConversationsRequest(page_size=3, page_token=token))
        seen += [conversation.name for conversation in page.conversations]
        sizes.append(len(page.conversations))
        if not (token := page.next_page_token):
            break
    assert seen == names[::-1]
    assert sizes == [3, 3, 1]


def test_a_list_that_is_full_to_the_brim_has_no_further_page(start_server: StartServer) -> None:
    talk = start_server().client().talk
    assert not talk.ListConversations(pb.ListConversationsRequest()).conversations
    for n in range(2):
        talk.CreateConversation(pb.CreateConversationRequest(conversation_id=f"c{n}"))
    page = talk.ListConversations(pb.ListConversationsRequest(page_size=2))
    assert (len(page.conversations), page.next_page_token) == (2, "")


def test_a_page_holds_fifty_where_nothing_is_asked_for(start_server: StartServer) -> None:
    talk = start_server().client().talk
    for n in range(51):
        talk.CreateConversation(pb.CreateConversationRequest(conversation_id=f"c{n}"))
    assert len(talk.ListConversations(pb.ListConversationsRequest()).conversations) == 50
    assert len(talk.ListConversations(pb.ListConversationsRequest(page_size=1000)).conversations) == 51


def test_what_is_opened_while_one_pages_does_not_shift_the_pages(start_server: StartServer) -> None:
    talk = start_server().client().talk
    for n in range(4):
        talk.CreateConversation(pb.CreateConversationRequest(conversation_id=f"c{n}"))
    first = talk.ListConversations(pb.ListConversationsRequest(page_size=2))
    talk.CreateConversation(pb.CreateConversationRequest(conversation_id="late"))
    second = talk.ListConversations(pb.ListConversationsRequest(page_size=2, page_token=first.next_page_token))
    names = [conversation.name for page in (first, second) for conversation in page.conversations]
    assert names == [f"conversations/c{n}" for n in (3, 2, 1, 0)]


def test_turns_are_listed_oldest_first_page_by_page(client: Client) -> None:
    name = client.talk.CreateConversation(pb.CreateConversationRequest()).name
    for n in range(5):
        client.talk.RecordTurn(pb.RecordTurnRequest(parent=name, reply=f"reply {n}"))
    seen, token = [], ""
    while True:
        page = client.talk.ListTurns(pb.ListTurnsRequest(parent=name, page_size=2, page_token=token))
        assert len(page.turns) <= 2
        seen += [(turn.name, turn.reply) for turn in page.turns]
        if not (token := page.next_page_token):
            break
    assert seen == [(f"{name}/turns/{n + 1}", f"reply {n}") for n in range(5)]


@pytest.mark.parametrize("token", ["x", "AAAA", "ä", "!!!!", "A" * 1024])
def test_a_page_token_that_nobody_gave_is_refused(client: Client, token: str) -> None:
    told = refusal(lambda: client.talk.ListConversations(pb.ListConversationsRequest(page_token=token)))
    assert (told.code, list(told.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["page_token"])


def test_a_page_token_is_of_no_use_for_another_list(client: Client) -> None:
    names = [client.talk.CreateConversation(pb.CreateConversationRequest()).name for _ in range(2)]
    for name in names:
        for _ in range(2):
            client.talk.RecordTurn(pb.RecordTurnRequest(parent=name, reply="Hello"))
    token = client.talk.ListTurns(pb.ListTurnsRequest(parent=names[0], page_size=1)).next_page_token
    assert token
    other = refusal(lambda: client.talk.ListTurns(pb.ListTurnsRequest(parent=names[1], page_token=token)))
    conversations = refusal(lambda: client.talk.ListConversations(pb.ListConversationsRequest(page_token=token)))
    assert list(other.fields) == list(conversations.fields) == ["page_token"]


@pytest.mark.parametrize("size", [-1, 1001])
def test_a_page_size_out_of_bounds_is_refused(client: Client, size: int) -> None:
    told = refusal(lambda: client.talk.ListConversations(pb.ListConversationsRequest(page_size=size)))
    assert (told.code, list(told.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["page_size"])


def test_a_deleted_conversation_is_gone_with_its_turns_and_its_id_is_free(client: Client) -> None:
    request = pb.CreateConversationRequest(conversation_id="to-delete")
    before = client.talk.CreateConversation(request)
    client.talk.Respond(pb.RespondRequest(conversation=before.name, message="My website is down."))
    client.talk.DeleteConversation(pb.DeleteConversationRequest(name=before.name))
    told = refusal(lambda: client.talk.GetConversation(pb.GetConversationRequest(name=before.name)))
    assert told.code is grpc.StatusCode.NOT_FOUND
    after = client.talk.CreateConversation(request)
    assert (after.turn_count, dict(after.slots)) == (0, {})
    assert after.etag != before.etag
    assert not client.talk.ListTurns(pb.ListTurnsRequest(parent=after.name)).turns


def test_a_conversation_that_does_not_go_on_expires(start_server: StartServer) -> None:
    talk = start_server(retention_days=timedelta(milliseconds=1) / timedelta(days=1)).client().talk
    created = talk.CreateConversation(pb.CreateConversationRequest())
    kept = created.expire_time.ToDatetime() - created.update_time.ToDatetime()
    assert timedelta(0) < kept < timedelta(milliseconds=5)
    eventually(lambda: not talk.ListConversations(pb.ListConversationsRequest()).conversations)
    told = refusal(lambda: talk.GetConversation(pb.GetConversationRequest(name=created.name)))
    assert told.code is grpc.StatusCode.NOT_FOUND
