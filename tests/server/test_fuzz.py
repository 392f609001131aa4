"""Whatever is sent, only documented codes come back, never INTERNAL or UNKNOWN, and the server stays up.

Messages are made from the contract's descriptors, so a new method or field is covered the day it is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, cast

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given, settings
from hypothesis import strategies as st
from repartee.v1 import conversation_pb2, operations_pb2

from tests.server.harness import TIMEOUT_S, Client

DOCUMENTED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNIMPLEMENTED,
}
METHODS: list[MethodDescriptor] = [
    method
    for file in (conversation_pb2.DESCRIPTOR, operations_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
    for method in service.methods
]
DEPTH_MAX = 4
IDS = ["f1", "f2", "f3"]
NAMES = [f"conversations/{id}" for id in IDS]
# What a caller would send, so that not everything ends at the contract's rules.
SENSIBLE = {
    "name": NAMES,
    "parent": NAMES,
    "conversation": ["", *NAMES],
    "conversation_id": ["", *IDS],
    "domain": ["", "support", "sales"],
    "message": ["Hello", "My website is down since Monday, error 502.", "Refund me $15!", "Is Grove $12 or 15 €?"],
    "request_id": ["", "r1", "r2"],
    "if_etag": [""],
    "page_token": [""],
    "key": ["error_code", "refund_amount", "since_when", "plan", "sentiment", "product_affected"],
    "value": ["$12", "12,5", "2026-02-30", "next Monday", "Grove", "angry", "Q5 2027"],
}
EXTREMES_32 = [-(2**31), -1, 1000, 1001, 2**31 - 1]
EXTREMES_64 = [-(2**63), *EXTREMES_32, 2**63 - 1]


def mostly(sensible: st.SearchStrategy[Any], wild: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Wild one time in twelve: a request has several fields, and one wild one is enough."""
    return st.integers(0, 11).flatmap(lambda number: sensible if number else wild)


def texts(field: FieldDescriptor) -> st.SearchStrategy[str]:
    wild = st.one_of(st.text(max_size=40), st.text(max_size=4).map(lambda text: text * 2500))
    return mostly(st.sampled_from(SENSIBLE.get(field.name, ["", "x"])), wild)


def values(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    kinds: dict[int, Callable[[], st.SearchStrategy[Any]]] = {
        FieldDescriptor.CPPTYPE_STRING: lambda: texts(field),
        FieldDescriptor.CPPTYPE_BOOL: st.booleans,
        FieldDescriptor.CPPTYPE_ENUM: lambda: mostly(st.sampled_from([0, 0, 0, 1, 2, 3, 4]), st.integers(-1, 99)),
        FieldDescriptor.CPPTYPE_INT32: lambda: mostly(st.integers(0, 60), st.sampled_from(EXTREMES_32)),
        FieldDescriptor.CPPTYPE_INT64: lambda: mostly(st.integers(0, 60), st.sampled_from(EXTREMES_64)),
        FieldDescriptor.CPPTYPE_FLOAT: lambda: st.floats(width=32),
        FieldDescriptor.CPPTYPE_DOUBLE: st.floats,
        FieldDescriptor.CPPTYPE_MESSAGE: lambda: messages(_message_of(field), depth + 1),
    }
    return kinds[field.cpp_type]()


@st.composite
def messages(draw: st.DrawFn, descriptor: Descriptor, depth: int = 0) -> Message:
    """Any message of a type; what is nested deeper than a few levels stays empty."""
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields if depth < DEPTH_MAX else ():
        # The outer fields are mostly set: a request without them says little.
        if draw(st.integers(0, 9)) <= min(3 * depth, 6):
            continue
        several = field.is_repeated
        drawn = draw(st.lists(values(field, depth), max_size=3)) if several else [draw(values(field, depth))]
        _fill(message, field, drawn)
    return message


def _message_of(field: FieldDescriptor) -> Descriptor:
    assert field.message_type
    return field.message_type


def _fill(message: Message, field: FieldDescriptor, drawn: list[Any]) -> None:
    if not field.is_repeated:
        if field.message_type:
            getattr(message, field.name).CopyFrom(drawn[0])
        else:
            setattr(message, field.name, drawn[0])
    elif field.message_type and field.message_type.GetOptions().map_entry:
        for entry in drawn:
            target = getattr(message, field.name)
            if field.message_type.fields_by_name["value"].message_type:
                target[entry.key].CopyFrom(entry.value)
            else:
                target[entry.key] = entry.value
    else:
        getattr(message, field.name).extend(drawn)


def code_of(client: Client, method: MethodDescriptor, body: bytes) -> grpc.StatusCode:
    """Calls any method with the bytes of one request, and reads to the end."""
    assert method.containing_service
    path = f"/{method.containing_service.full_name}/{method.name}"
    kind = {
        (False, False): client.channel.unary_unary,
        (False, True): client.channel.unary_stream,
        (True, True): client.channel.stream_stream,
    }[method.client_streaming, method.server_streaming]
    request = iter([body]) if method.client_streaming else body
    try:
        answer = cast("Any", kind(path))(request, timeout=TIMEOUT_S)
        if method.server_streaming:
            list(answer)
    except grpc.RpcError as error:
        return cast("grpc.Call", error).code()
    return grpc.StatusCode.OK


every_method = pytest.mark.parametrize("method", METHODS, ids=[method.name for method in METHODS])
quickly = settings(deadline=None, max_examples=80)


@pytest.fixture
def fuzzed(client: Client) -> Iterator[Client]:
    for id_ in IDS:
        with suppress(grpc.RpcError):
            client.talk.CreateConversation(conversation_pb2.CreateConversationRequest(conversation_id=id_))
    yield client
    assert client.is_serving()
    assert client.talk.Respond(conversation_pb2.RespondRequest(message="Hello")).turn.reply


@every_method
def test_any_message_of_the_contract_gets_a_documented_code(fuzzed: Client, method: MethodDescriptor) -> None:
    @quickly
    @given(messages(method.input_type))
    def holds(message: Message) -> None:
        assert code_of(fuzzed, method, message.SerializeToString()) in DOCUMENTED

    holds()


@every_method
def test_any_bytes_get_a_documented_code(fuzzed: Client, method: MethodDescriptor) -> None:
    @quickly
    @given(st.binary(max_size=200))
    def holds(body: bytes) -> None:
        assert code_of(fuzzed, method, body) in DOCUMENTED

    holds()


@every_method
def test_a_damaged_message_gets_a_documented_code(fuzzed: Client, method: MethodDescriptor) -> None:
    @quickly
    @given(messages(method.input_type).map(lambda message: message.SerializeToString()), st.data())
    def holds(body: bytes, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(body)))
        damage = data.draw(st.binary(max_size=3))
        assert code_of(fuzzed, method, body[:place] + damage + body[place + len(damage) :]) in DOCUMENTED

    holds()
