"""OperationsService and /metrics: what the service has been doing, and nothing of what was said."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import grpc
from prometheus_client.parser import text_string_to_metric_families
from repartee.v1 import conversation_pb2 as pb
from repartee.v1 import operations_pb2 as ops

from tests.server.conftest import StartServer
from tests.server.harness import Client, eventually, refusal

CANARY = "canary-7f3a"
OUTAGE = "My website is down since 2 November, error 502."
OURS = {
    "repartee_turn_duration_seconds",
    "repartee_first_text_seconds",
    "repartee_stage_duration_seconds",
    "repartee_turns_in_flight",
    "repartee_turns",
    "repartee_reconcile_triggers",
    "repartee_figures_withheld",
    "repartee_latency_quantile_seconds",
    "grpc_server_handled",
    "grpc_server_handling_seconds",
}
STAGES = {"queue", "lookup", "capture", "detect", "select", "generate", "commit"}


def samples(page: str) -> dict[str, float]:
    """Every sample by its name and labels, as in "name{a=1,b=2}"."""
    found = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def stream(client: Client, message: str) -> pb.RespondResponse:
    request = pb.StreamRespondRequest(request=pb.RespondRequest(message=message))
    return list(client.talk.StreamRespond(request))[-1].done


def test_latencies_cover_whole_turns_and_every_stage(start_server: StartServer) -> None:
    client = start_server().client()
    empty = client.operations.GetLatencyStats(ops.GetLatencyStatsRequest())
    assert set(empty.stages) == STAGES
    assert {quantiles.count for quantiles in [empty.turn, empty.first_text, *empty.stages.values()]} == {0}
    for _ in range(3):
        client.talk.Respond(pb.RespondRequest(message=OUTAGE))
    stream(client, OUTAGE)
    stats = client.operations.GetLatencyStats(ops.GetLatencyStatsRequest())
    assert (stats.turn.count, stats.first_text.count) == (4, 1)
    assert {stats.stages[stage].count for stage in STAGES} == {4}
    for quantiles in [stats.turn, stats.first_text, *stats.stages.values()]:
        p50, p95, p99 = (span.ToNanoseconds() for span in (quantiles.p50, quantiles.p95, quantiles.p99))
        assert 0 < p50 <= p95 <= p99 < 20e9
    assert stats.stages["lookup"].p50.ToNanoseconds() < stats.turn.p99.ToNanoseconds()
    assert stats.window.replica
    assert stats.window.since.ToSeconds() > 0


def test_reconciling_is_counted_by_trigger(start_server: StartServer) -> None:
    client = start_server().client()
    assert client.operations.GetReconcileStats(ops.GetReconcileStatsRequest()).reconcile_rate == 0
    # A critical slot is set in the second one.
    for message in (OUTAGE, "Please refund me $15."):
        client.talk.Respond(pb.RespondRequest(message=message))
    stats = client.operations.GetReconcileStats(ops.GetReconcileStatsRequest())
    assert stats.turns == 2
    assert set(stats.triggers) == {"low_confidence", "critical_slot", "context_change"}
    assert stats.triggers["critical_slot"].fired == 1
    for counts in stats.triggers.values():
        assert counts.changed <= counts.reran <= counts.fired <= 2
    assert stats.reconcile_rate == stats.reconciled / 2


def test_turns_and_calls_are_counted_by_how_they_ended(start_server: StartServer) -> None:
    server = start_server(metrics_address="127.0.0.1:0")
    client = server.client()
    name = client.talk.Respond(pb.RespondRequest(message=OUTAGE)).conversation.name
    stream(client, OUTAGE)
    refusal(lambda: client.talk.Respond(pb.RespondRequest()))
    stale = pb.RespondRequest(conversation=name, message=OUTAGE, options=pb.TurnOptions(if_etag="x"))
    refusal(lambda: client.talk.Respond(stale))
    refusal(lambda: client.operations.GetCacheStats(ops.GetCacheStatsRequest()))
    now = samples(server.metrics())
    assert now["repartee_turns_total{outcome=committed}"] == 2
    assert now["repartee_turns_total{outcome=ETAG_MISMATCH}"] == 1
    assert now["repartee_turns_in_flight{}"] == 0
    assert now["repartee_turn_duration_seconds_count{}"] == 2
    assert now["repartee_first_text_seconds_count{}"] == 1
    assert now["repartee_stage_duration_seconds_count{provider=local,stage=generate}"] == 2
    service = "grpc_service=repartee.v1.ConversationService"
    handled = {code: now.get(f"grpc_server_handled_total{{grpc_code={code},grpc_method=Respond,{service}}}") for code in
               ("OK", "INVALID_ARGUMENT", "ABORTED")}  # fmt: skip
    assert handled == {"OK": 1, "INVALID_ARGUMENT": 1, "ABORTED": 1}
    later = "grpc_method=GetCacheStats,grpc_service=repartee.v1.OperationsService"
    assert now[f"grpc_server_handled_total{{grpc_code=UNIMPLEMENTED,{later}}}"] == 1


def test_quantiles_of_the_window_are_exported(start_server: StartServer) -> None:
    server = start_server(metrics_address="127.0.0.1:0")
    stream(server.client(), OUTAGE)
    shown = {key for key in samples(server.metrics()) if key.startswith("repartee_latency_quantile_seconds")}
    assert shown == {
        f"repartee_latency_quantile_seconds{{of={of},quantile={quantile}}}"
        for of in {"turn", "first_text", *STAGES}
        for quantile in (0.5, 0.95, 0.99)
    }


def test_the_metrics_have_the_names_that_dashboards_know(start_server: StartServer) -> None:
    server = start_server(metrics_address="127.0.0.1:0")
    stream(server.client(), OUTAGE)
    names = {family.name for family in text_string_to_metric_families(server.metrics())}
    assert names >= OURS
    assert all(re.match(r"(process|python|repartee|grpc_server)_", name) for name in names)


def test_callers_cannot_make_series(start_server: StartServer) -> None:
    """Neither methods, ids, names nor texts of theirs become label values."""
    server = start_server(metrics_address="127.0.0.1:0")
    client = server.client()
    metadata = (("x-request-id", CANARY),)
    for n in range(5):
        refusal(lambda n=n: client.call(f"/{CANARY}/{n}", b""))  # type: ignore[misc]
        refusal(lambda n=n: client.call(f"/repartee.v1.ConversationService/{CANARY}{n}", b""))  # type: ignore[misc]
        name = f"{CANARY}{n}"
        client.talk.CreateConversation(pb.CreateConversationRequest(conversation_id=name), metadata=metadata)
        client.talk.Respond(pb.RespondRequest(conversation=f"conversations/{name}", message=name, request_id=name))
        client.talk.RecordTurn(pb.RecordTurnRequest(parent=f"conversations/{name}", reply=name, author=name))
        refusal(lambda: client.talk.CreateConversation(pb.CreateConversationRequest(domain=CANARY)))
    page = server.metrics()
    assert CANARY not in page
    values = defaultdict(set)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            for label, value in sample.labels.items():
                values[label].add(value)
    assert values["grpc_service"] <= {"repartee.v1.ConversationService", "repartee.v1.OperationsService"}
    assert values["grpc_code"] <= {code.name for code in grpc.StatusCode}
    assert values["stage"] <= STAGES
    assert values["provider"] <= {"", "local"}
    known = {"le", "quantile", "of", "outcome", "trigger", "event", "kind", "stage", "provider"}
    known |= {"grpc_service", "grpc_method", "grpc_code", "generation"}
    assert {label for label in values if label not in known} <= {
        "implementation",
        "major",
        "minor",
        "patchlevel",
        "version",
    }


def test_nothing_of_what_was_said_stands_in_the_log(start_server: StartServer, logged: list[Any]) -> None:
    server = start_server()
    client = server.client()
    before = len(logged)
    answer = stream(client, f"My website is down, error 502, says {CANARY}. Please refund me $4711.")
    name = answer.conversation.name
    client.talk.RecordTurn(pb.RecordTurnRequest(parent=name, message=CANARY, reply=CANARY, author=CANARY))
    refusal(lambda: client.talk.Respond(pb.RespondRequest(conversation=name, message=CANARY * 1000)))
    refusal(lambda: client.talk.CreateConversation(pb.CreateConversationRequest(slots={"refund_amount": CANARY})))
    client.talk.DeleteConversation(pb.DeleteConversationRequest(name=name))
    entries = eventually(lambda: logged[before:] if len(logged) >= before + 5 else None)
    said = [CANARY, "4711", answer.turn.reply, *answer.turn.reply.split(". ")]
    assert entries
    assert [text for text in said if text in repr(entries)] == []


def test_nothing_of_what_was_said_stands_in_an_error(client: Client) -> None:
    secret = "s3cret-words"
    for call in (
        lambda: client.talk.Respond(pb.RespondRequest(message=secret * 1000)),
        lambda: client.talk.CreateConversation(pb.CreateConversationRequest(slots={"refund_amount": secret})),
        lambda: client.talk.CreateConversation(pb.CreateConversationRequest(slots={"error_code": secret * 200})),
        lambda: client.talk.RecordTurn(pb.RecordTurnRequest(parent="conversations/none", message=secret, reply=secret)),
    ):
        assert secret not in str(refusal(call))
