"""Turns on remote models, through the whole server: real gRPC, the real SDKs, real TLS and HTTP/2, and every fault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from repartee.v1 import conversation_pb2 as pb
from repartee.v1 import operations_pb2 as ops

from benchmarks.simulator import Fault, Rule, Simulator, SimulatorSettings
from benchmarks.simulator.server import CA_FILE
from tests.server.conftest import StartServer
from tests.server.harness import Client, Loop, eventually, scrape

TEXT = "Happy to help. What would you like to know first?"


@pytest.fixture(scope="module")
def simulator(loop: Loop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    ca_dir = tmp_path_factory.mktemp("ca")
    stack = AsyncExitStack()
    running = loop.run(stack.enter_async_context(Simulator(SimulatorSettings(ca_dir=ca_dir))))
    yield running
    loop.run(stack.aclose())


@pytest.fixture
def client(simulator: Simulator, start_server: StartServer, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Of a server with both providers, each of them the simulator, under a name of its own: they share no connection."""
    served: Client = serve_models(simulator, start_server, monkeypatch).client()
    return served


def serve_models(
    simulator: Simulator, start_server: StartServer, monkeypatch: pytest.MonkeyPatch, **changed: object
) -> Any:
    assert simulator._settings.ca_dir
    monkeypatch.setenv("SSL_CERT_FILE", str(simulator._settings.ca_dir / CA_FILE))
    simulator.misbehave()
    price = {"input": 1.0, "output": 5.0}
    named = {"fast": "fast-1", "powerful": "powerful-1", "prices": {"fast-1": price, "powerful-1": price}}
    providers = {
        "anthropic": {"kind": "anthropic", "api_keys": ["k"], "base_url": simulator.url, **named},
        "openai": {"kind": "openai", "api_keys": ["k"], "base_url": f"https://127.0.0.1:{simulator.port}/v1", **named},
    }
    return start_server(providers=providers, **{"routing": "race", "first_text_timeout_ms": 1_000, **changed})


def asks(message: str = "My site is down!", **options: Any) -> pb.RespondRequest:
    return pb.RespondRequest(message=message, options=pb.TurnOptions(**options))


def by_step(turn: pb.Turn) -> dict[str, pb.StageTrace]:
    return {stage.step: stage for stage in turn.trace.stages if stage.step}


def test_a_turn_is_raced_and_says_who_won_and_what_it_cost(client: Client) -> None:
    turn = client.talk.Respond(asks()).turn
    assert turn.reply == TEXT
    assert not turn.trace.degraded
    for step in ("capture", "detect", "generate"):
        stage = by_step(turn)[step]
        assert stage.provider in {"anthropic", "openai"}
        assert stage.model == "fast-1"
        assert stage.calls == 2
    usage = turn.trace.usage
    assert usage.input_tokens > 500
    assert 0 < usage.wasted_cost_usd < usage.cost_usd


def test_what_is_kept_says_so_too(client: Client) -> None:
    answer = client.talk.Respond(asks())
    (kept,) = client.talk.ListTurns(pb.ListTurnsRequest(parent=answer.conversation.name)).turns
    assert kept.trace.usage.cost_usd > 0
    assert by_step(kept)["generate"].provider == by_step(answer.turn)["generate"].provider


@pytest.mark.parametrize(
    ("routing", "calls"),
    [(pb.ROUTING_SINGLE, 1), (pb.ROUTING_FAILOVER, 1), (pb.ROUTING_HEDGE, 1), (pb.ROUTING_RACE, 2)],
)
def test_a_request_may_choose_its_routing(client: Client, routing: pb.Routing, calls: int) -> None:
    assert by_step(client.talk.Respond(asks(routing=routing)).turn)["generate"].calls == calls


def test_a_request_may_choose_its_tier(client: Client, simulator: Simulator) -> None:
    assert by_step(client.talk.Respond(asks(tier=pb.MODEL_TIER_POWERFUL)).turn)["detect"].model == "powerful-1"
    before = simulator.stats.requests
    local = client.talk.Respond(asks(tier=pb.MODEL_TIER_LOCAL)).turn
    assert {stage.provider for stage in by_step(local).values()} == {"local"}
    assert simulator.stats.requests == before
    assert not local.trace.degraded


def test_a_stream_is_heard_as_the_model_writes_it(client: Client) -> None:
    events = list(client.talk.StreamRespond(pb.StreamRespondRequest(request=asks())))
    pieces = [event.text for event in events if event.text]
    assert len(pieces) > 1
    assert "".join(pieces) == events[-1].done.turn.reply == TEXT


@pytest.mark.parametrize(
    "fault",
    [
        Fault.ERROR,
        Fault.OVERLOADED,
        Fault.UNAUTHORIZED,
        Fault.RATE_LIMITED,
        Fault.KILL,
        Fault.HANG,
        Fault.FREEZE,
        Fault.STALL,
        Fault.TRUNCATE_CLEAN,
        Fault.TRUNCATE_RESET,
        Fault.SSE_ERROR,
        Fault.MALFORMED,
        Fault.WRONG_SCHEMA,
        Fault.GOAWAY,
        Fault.GOAWAY_ABRUPT,
    ],
)
@pytest.mark.parametrize("routing", [pb.ROUTING_RACE, pb.ROUTING_FAILOVER])
def test_no_turn_fails_while_one_provider_answers(
    client: Client, simulator: Simulator, fault: Fault, routing: pb.Routing
) -> None:
    simulator.misbehave(Rule(fault=fault, provider="anthropic"))
    turn = client.talk.Respond(asks(routing=routing), timeout=20).turn
    assert turn.reply.startswith(TEXT[:14])
    assert not turn.trace.degraded


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.UNAUTHORIZED, Fault.KILL, Fault.MALFORMED])
def test_when_all_providers_fail_the_built_in_engine_answers(
    client: Client, simulator: Simulator, fault: Fault
) -> None:
    simulator.misbehave(Rule(fault=fault))
    turn = client.talk.Respond(asks()).turn
    assert turn.trace.degraded
    assert by_step(turn)["detect"].provider == "local"
    assert turn.reply


def test_before_the_deadline_the_built_in_engine_takes_over(client: Client, simulator: Simulator) -> None:
    simulator.misbehave(Rule(fault=Fault.HANG))
    turn = client.talk.Respond(asks(), timeout=0.9).turn
    assert turn.trace.degraded
    assert by_step(turn)["capture"].provider == "local"
    assert eventually(lambda: simulator.stats.open_streams == 0), "what hung was cancelled on the wire"


def test_a_reply_that_breaks_off_everywhere_is_closed_with_a_line_of_the_pack(
    client: Client, simulator: Simulator
) -> None:
    simulator.misbehave(Rule(fault=Fault.TRUNCATE_RESET, only="stream"))
    events = list(client.talk.StreamRespond(pb.StreamRespondRequest(request=asks())))
    done = events[-1].done.turn
    assert "".join(event.text for event in events) == done.reply
    assert done.reply.startswith("Happy")
    assert done.trace.degraded


def test_a_caller_who_leaves_cancels_the_models(client: Client, simulator: Simulator) -> None:
    simulator.misbehave(Rule(fault=Fault.HANG))
    before = simulator.stats.requests
    call = client.talk.Respond.future(asks())
    assert eventually(lambda: simulator.stats.requests >= before + 4)
    call.cancel()
    assert eventually(lambda: simulator.stats.open_streams == 0)


def test_what_policy_obliges_to_say_no_model_words(
    simulator: Simulator, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client: Client = serve_models(simulator, start_server, monkeypatch).client()
    turn = client.talk.Respond(asks("Are you a bot?")).turn
    assert "an AI assistant of" in turn.reply
    assert by_step(turn)["generate"].provider == "local"
    assert not turn.trace.degraded


def test_statistics_and_metrics_add_up(
    simulator: Simulator, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve_models(simulator, start_server, monkeypatch, metrics_address="127.0.0.1:0")
    client = server.client()
    for _ in range(3):
        client.talk.Respond(asks())
    simulator.misbehave(Rule(fault=Fault.ERROR, provider="openai"))
    client.talk.Respond(asks())
    found = client.operations.GetProviderStats(ops.GetProviderStatsRequest()).providers
    stats = {(one.provider, one.model): one for one in found}
    assert set(stats) == {
        (provider, f"{tier}-1") for provider in ("anthropic", "openai") for tier in ("fast", "powerful")
    }
    both = [stats["anthropic", "fast-1"], stats["openai", "fast-1"]]
    assert sum(one.wins for one in both) == 12
    for one in both:
        assert one.calls == one.wins + one.cancelled + one.errors
        assert one.breaker in {"closed", "open"}
    assert stats["openai", "fast-1"].errors_by_kind["overloaded"] > 0
    assert stats["anthropic", "powerful-1"].calls == 0
    shown = scrape(server.app.metrics_port)
    for line in (
        'repartee_model_calls_total{model="fast-1",outcome="won",provider="anthropic"}',
        "repartee_hedge_budget",
    ):
        assert line in shown


def test_without_models_their_options_are_refused(start_server: StartServer) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        start_server().client().talk.Respond(asks(routing=pb.ROUTING_RACE))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
