"""What every call goes through: error details, request ids, limits, logs; and what is not served yet."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from repartee.v1 import conversation_pb2 as pb
from repartee.v1 import operations_pb2 as ops

from server import app
from tests.server.harness import TIMEOUT_S, Client, eventually, refusal
from tests.server.scripted import Scripted

RESPOND = "/repartee.v1.ConversationService/Respond"
STREAM = "/repartee.v1.ConversationService/StreamRespond"
STATS = "/repartee.v1.OperationsService/GetLatencyStats"


def calls_of(logged: list[Any], request_id: str) -> list[Any]:
    """The log entries of one call, once it has ended."""
    return eventually(lambda: [entry for entry in logged if entry.get("request_id") == request_id])


# -- what is not served yet


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.talk.Converse(iter([pb.ConverseRequest(message=pb.RespondRequest(message="Hello"))])),
        lambda client: client.talk.Converse(iter([])),
        lambda client: client.operations.GetCacheStats(ops.GetCacheStatsRequest()),
        lambda client: client.operations.InvalidateCache(ops.InvalidateCacheRequest()),
    ],
    ids=["Converse", "Converse without a message", "GetCacheStats", "InvalidateCache"],
)
def test_what_comes_later_says_so(client: Client, call: Callable[[Client], object]) -> None:
    told = refusal(lambda: call(client))
    assert told.code is grpc.StatusCode.UNIMPLEMENTED
    assert told.message


@pytest.mark.parametrize(
    "method", ["/repartee.v1.JobService/CreateJob", "/repartee.v1.ConversationService/Nope", "/nope", "/a/b/c"]
)
def test_what_nobody_knows_is_unimplemented(client: Client, method: str) -> None:
    assert refusal(lambda: client.call(method, b"")).code is grpc.StatusCode.UNIMPLEMENTED


# -- requests that cannot be read, or are too large


@pytest.mark.parametrize(
    ("method", "body"),
    [
        (RESPOND, b"\xff\xff\xff"),
        (RESPOND, b"\x12\x05hi"),
        (RESPOND, b"\x12\x02\xff\xfe"),
        (RESPOND, b"\x12"),
        (STATS, b"\xff\xff\xff"),
        (STATS, b"\x00"),
    ],
)
def test_bytes_that_are_no_message_are_the_callers_mistake(client: Client, method: str, body: bytes) -> None:
    told = refusal(lambda: client.call(method, body))
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert list(told.fields) == ["request"]


@pytest.mark.parametrize(
    "method", [STREAM, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"], ids=["stream", "reflection"]
)
def test_bytes_that_are_no_message_are_so_on_streams_too(client: Client, method: str) -> None:
    channel: Any = client.channel
    if method == STREAM:
        told = refusal(lambda: list(channel.unary_stream(method)(b"\xff\xff", timeout=TIMEOUT_S)))
    else:
        told = refusal(lambda: list(channel.stream_stream(method)(iter([b"\xff\xff"]), timeout=TIMEOUT_S)))
    assert (told.code, list(told.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["request"])


def test_the_health_service_is_held_to_the_same(client: Client) -> None:
    told = refusal(lambda: client.call("/grpc.health.v1.Health/Check", b"\xff\xff"))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_message_that_is_too_large_is_refused_and_the_server_stays_up(client: Client) -> None:
    for _ in range(3):
        told = refusal(lambda: client.call(RESPOND, pb.RespondRequest(message="x" * (1 << 20)).SerializeToString()))
        assert told.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert client.is_serving()
    assert client.talk.Respond(pb.RespondRequest(message="Hello")).turn.reply


def test_metadata_that_is_too_large_is_refused_and_the_server_stays_up(client: Client) -> None:
    told = refusal(
        lambda: client.talk.Respond(pb.RespondRequest(message="Hello"), metadata=(("x-large", "x" * (64 << 10)),))
    )
    assert told.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert client.is_serving()


def test_a_long_history_is_not_too_large(client: Client) -> None:
    history = [pb.Turn(message="m" * 4000, reply="r" * 4000)] * 100
    assert client.talk.CreateConversation(pb.CreateConversationRequest(history=history)).name


def test_the_biggest_page_of_the_longest_turns_still_comes_through(client: Client) -> None:
    """A server must be able to send what it has taken."""
    name = client.talk.CreateConversation(pb.CreateConversationRequest()).name
    for _ in range(3):
        record = pb.RecordTurnRequest(parent=name, message="🙂" * 8000, reply="🙂" * 8000)
        client.talk.RecordTurn(record)
    assert len(client.talk.ListTurns(pb.ListTurnsRequest(parent=name, page_size=1000)).turns) == 3


# -- faults of ours


def test_a_fault_tells_the_caller_nothing_and_the_log_where_it_happened(
    start_scripted: Callable[..., Scripted], logged: list[Any]
) -> None:
    scripted = start_scripted()
    scripted.provider.capture_fails = RuntimeError("CANARY-in-an-exception")
    client = scripted.client()
    metadata = (("x-request-id", "the-fault"),)
    told = refusal(lambda: client.talk.Respond(pb.RespondRequest(message="CANARY-in-a-message"), metadata=metadata))
    assert (told.code, told.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    entries = calls_of(logged, "the-fault")
    fault = next(entry for entry in entries if entry["event"] == "fault")
    assert fault["kind"] == "RuntimeError"
    assert any(place.startswith("fakes.py:") for place in fault["at"])
    assert "CANARY" not in json.dumps(entries) + str(told)
    # It was this turn's fault only.
    scripted.provider.capture_fails = None
    scripted.say_all()
    assert client.talk.Respond(pb.RespondRequest(message="Hello")).turn.reply


# -- request ids and the log


def test_a_call_is_logged_under_the_callers_request_id(client: Client, logged: list[Any]) -> None:
    metadata = (("x-request-id", "call:42.a-b"),)
    client.talk.Respond(pb.RespondRequest(message="Hello"), metadata=metadata)
    (entry,) = calls_of(logged, "call:42.a-b")
    assert (entry["event"], entry["code"], entry["method"]) == ("call", "OK", RESPOND)
    assert entry["duration_ms"] > 0


@pytest.mark.parametrize("given", ["", "with space", "x" * 65, 'quote"', "semi;colon"])
def test_a_request_id_that_may_do_harm_is_replaced(client: Client, logged: list[Any], given: str) -> None:
    before = len(logged)
    client.talk.Respond(pb.RespondRequest(message="Hello"), metadata=(("x-request-id", given),))
    entry = eventually(lambda: next((entry for entry in logged[before:] if entry.get("method") == RESPOND), None))
    assert entry
    assert entry["request_id"] != given
    assert len(entry["request_id"]) == 32


@pytest.mark.parametrize(
    ("request_id", "code", "call"),
    [
        ("invalid", "INVALID_ARGUMENT", lambda c, **m: c.talk.Respond(pb.RespondRequest(), **m)),
        ("missing", "NOT_FOUND", lambda c, **m: c.talk.GetConversation(pb.GetConversationRequest(name="conversations/no"), **m)),
        ("later", "UNIMPLEMENTED", lambda c, **m: c.operations.GetCacheStats(ops.GetCacheStatsRequest(), **m)),
        ("health", "NOT_FOUND", lambda c, **m: c.health.Check(health_pb2.HealthCheckRequest(service="no"), timeout=TIMEOUT_S, **m)),
        ("garbage", "INVALID_ARGUMENT", lambda c, **m: c.channel.unary_unary(RESPOND)(b"\xff", **m)),
    ],
)  # fmt: skip
def test_a_call_that_fails_is_logged_with_its_code(
    client: Client, logged: list[Any], request_id: str, code: str, call: Callable[..., object]
) -> None:
    told = refusal(lambda: call(client, metadata=(("x-request-id", request_id),)))
    assert told.code.name == code
    assert [entry["code"] for entry in calls_of(logged, request_id)] == [code]


# -- reflection and settings of the transport


def test_the_services_can_be_discovered(client: Client) -> None:
    database = ProtoReflectionDescriptorDatabase(client.channel)
    assert set(database.get_services()) == {
        "repartee.v1.ConversationService",
        "repartee.v1.OperationsService",
        "grpc.health.v1.Health",
    }
    file = database.FindFileContainingSymbol("repartee.v1.ConversationService")
    methods = {method.name for service in file.service for method in service.method}
    assert methods == set(pb.DESCRIPTOR.services_by_name["ConversationService"].methods_by_name)


def test_pings_are_rare_enough_and_soon_enough() -> None:
    options: dict[str, int] = dict(app._OPTIONS)
    assert options["grpc.keepalive_time_ms"] + options["grpc.keepalive_timeout_ms"] <= 60_000
    # Our own pings have to be welcome at a peer with the same rules, and at gRPC's default one with calls in flight.
    assert options["grpc.http2.min_ping_interval_without_data_ms"] <= options["grpc.keepalive_time_ms"]
    assert options["grpc.so_reuseport"] == 0
