"""Health by service, and the drain: NOT_SERVING, finish, stop."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2
from repartee.v1 import conversation_pb2 as pb

from tests.server.conftest import StartProcess, StartServer
from tests.server.harness import TIMEOUT_S, Client, full_stop_at_the_disk, refusal

SERVICES = ["", "repartee.v1.ConversationService", "repartee.v1.OperationsService"]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_serving(client: Client, service: str) -> None:
    assert client.is_serving(service)


def test_the_health_of_a_service_that_is_not_there_is_not_found(client: Client) -> None:
    assert refusal(lambda: client.is_serving("repartee.v1.JobService")).code is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("service", SERVICES)
def test_a_watcher_is_told_and_let_go_when_the_server_drains(start_server: StartServer, service: str) -> None:
    """It must not hold the server up for all of the grace period."""
    server = start_server()
    watch = server.client().health.Watch(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_S)
    assert next(watch).status == SERVING
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(server.loop.run, server.app.stop(TIMEOUT_S * 3))
        server.stopped = True
        assert [answer.status for answer in watch] == [NOT_SERVING]
        stopping.result(TIMEOUT_S)


def test_a_watcher_of_a_service_that_is_not_there_yet_is_told_so(client: Client) -> None:
    watch = client.health.Watch(health_pb2.HealthCheckRequest(service="later"), timeout=TIMEOUT_S)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()
    assert client.is_serving()


def test_a_stopped_server_has_let_go_of_its_port_and_its_file(start_server: StartServer) -> None:
    first = start_server()
    name = first.client().talk.Respond(pb.RespondRequest(message="My website is down.")).conversation.name
    first.stop()
    second = start_server(grpc_address=f"127.0.0.1:{first.app.port}", data_dir=first.settings.data_dir)
    assert second.app.port == first.app.port
    assert second.client().talk.GetConversation(pb.GetConversationRequest(name=name)).turn_count == 1


def test_sigterm_lets_calls_in_flight_finish_and_takes_no_new_ones(start_process: StartProcess, tmp_path: Path) -> None:
    process = start_process(tmp_path / "data")
    client, other = Client(process.port), Client(process.port)
    watch = client.health.Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
    assert next(watch).status == SERVING
    other.is_serving()
    with full_stop_at_the_disk(tmp_path / "data"):
        request = pb.StreamRespondRequest(request=pb.RespondRequest(message="My website is down."))
        call = client.talk.StreamRespond(request, timeout=TIMEOUT_S)
        assert any(event.stage_started.stage == pb.STAGE_COMMIT for event in call)
        process.terminate()
        process.wait_for("draining")
        assert [answer.status for answer in watch] == [NOT_SERVING]
        late = refusal(lambda: other.talk.Respond(pb.RespondRequest(message="Hello"), timeout=TIMEOUT_S))
        assert late.code is grpc.StatusCode.UNAVAILABLE
    done = list(call)[-1].done
    assert done.turn.reply
    assert process.ended() == 0
    again = Client(start_process(tmp_path / "data").port)
    kept = again.talk.ListTurns(pb.ListTurnsRequest(parent=done.conversation.name))
    assert [turn.reply for turn in kept.turns] == [done.turn.reply]


def test_a_drain_ends_with_its_grace_though_a_call_goes_on(start_process: StartProcess, tmp_path: Path) -> None:
    process = start_process(tmp_path / "data", REPARTEE_DRAIN_TIMEOUT_MS="200")
    client = Client(process.port)
    with full_stop_at_the_disk(tmp_path / "data"):
        request = pb.StreamRespondRequest(request=pb.RespondRequest(message="My website is down."))
        call = client.talk.StreamRespond(request, timeout=TIMEOUT_S)
        assert any(event.stage_started.stage == pb.STAGE_COMMIT for event in call)
        process.terminate()
        assert refusal(lambda: list(call)).code in {grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE}
    assert process.ended() == 0
