"""What the tests of the server stand on: real servers, in this process and in their own, and real clients."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast
from urllib.request import urlopen

import grpc
import uvloop
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from repartee.v1.conversation_pb2_grpc import ConversationServiceStub
from repartee.v1.operations_pb2_grpc import OperationsServiceStub

from engine import packs
from engine.settings import Settings
from server import app

T = TypeVar("T")
# No call of these tests takes this long; one that hangs fails instead.
TIMEOUT_S = 20.0
REPARTEE = str(Path(sys.executable).with_name("repartee"))
DATABASE = "repartee.sqlite3"


class Loop:
    """One event loop on a thread of its own. All servers of a process share it: grpc.aio has one poller."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="servers", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT_S * 6)

    def call(self, function: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(function)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TIMEOUT_S)
        self._loop.close()


class HealthStub(Protocol):
    """grpc_health's own has no types."""

    def Check(self, request: health_pb2.HealthCheckRequest, timeout: float) -> Any: ...
    def Watch(self, request: health_pb2.HealthCheckRequest, timeout: float) -> Any: ...


class Client:
    """A channel, and the stubs of all services on it."""

    def __init__(self, port: int) -> None:
        # A channel of its own: by default all channels of a process to one address share a connection.
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])
        self.talk = ConversationServiceStub(self.channel)
        self.operations = OperationsServiceStub(self.channel)
        self.health = cast("HealthStub", health_pb2_grpc.HealthStub(self.channel))

    def call(self, method: str, body: bytes) -> bytes:
        """Calls a unary method with raw bytes; "/repartee.v1.ConversationService/Respond"."""
        return cast("bytes", cast("Any", self.channel.unary_unary(method))(body, timeout=TIMEOUT_S))

    def is_serving(self, service: str = "") -> bool:
        answer = self.health.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_S)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@dataclass
class Server:
    """A server that runs in this process."""

    loop: Loop
    app: app.App
    settings: Settings
    clients: list[Client] = field(default_factory=list)
    stopped: bool = False

    def client(self) -> Client:
        self.clients.append(Client(self.app.port))
        return self.clients[-1]

    def metrics(self) -> str:
        return scrape(self.app.metrics_port)

    def stop(self, grace_s: float = 5.0) -> None:
        if not self.stopped:
            self.stopped = True
            self.loop.run(self.app.stop(grace_s))
        for client in self.clients:
            client.channel.close()


def eventually(holds: Callable[[], T]) -> T:
    """Waits until something holds that nothing reports; what it then is."""
    end_s = time.monotonic() + TIMEOUT_S
    while not (held := holds()):
        assert time.monotonic() < end_s, "it never came to be"
        time.sleep(0.002)
    return held


def scrape(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=TIMEOUT_S) as page:
        return str(page.read().decode())


def small_packs(directory: Path) -> Path:
    """A directory whose packs are all small: its own "sales" stands before the large one that is built in."""
    for name in packs.available():
        copy = shutil.copytree(packs.BUILT_IN / "support", directory / name)
        about = (copy / "pack.toml").read_text()
        (copy / "pack.toml").write_text(about.replace('id = "support"', f'id = "{name}"', 1))
    return directory


@contextmanager
def full_stop_at_the_disk(data_dir: Path) -> Iterator[None]:
    """Nothing that the server on this directory commits gets through meanwhile; at most 5 s, then it gives up."""
    other = sqlite3.connect(data_dir / DATABASE, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


# -- what went wrong, as a caller is told


@dataclass(frozen=True)
class Refusal:
    """A call's error, and its decoded details."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    retry_after_ms: int = 0
    resource: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


def refusal(call: Callable[[], object]) -> Refusal:
    """Makes a call that has to fail, a stream to its end; what the caller is told."""
    try:
        answer = call()
        if isinstance(answer, grpc.Call):
            for _ in cast("Iterator[Message]", answer):
                pass
    except grpc.RpcError as error:
        return _decoded(cast("grpc.Call", error))
    raise AssertionError("the call should have failed")


def _decoded(error: grpc.Call) -> Refusal:
    found: dict[str, Any] = {}
    status = rpc_status.from_call(error)
    for packed in status.details if status else ():
        match packed.TypeName():
            case "google.rpc.ErrorInfo":
                info = _unpacked(packed, error_details_pb2.ErrorInfo())
                assert info.domain == "repartee"
                found |= {"reason": info.reason, "metadata": dict(info.metadata)}
            case "google.rpc.BadRequest":
                violations = _unpacked(packed, error_details_pb2.BadRequest()).field_violations
                found["fields"] = {violation.field: violation.description for violation in violations}
            case "google.rpc.RetryInfo":
                found["retry_after_ms"] = _unpacked(packed, error_details_pb2.RetryInfo()).retry_delay.ToMilliseconds()
            case "google.rpc.ResourceInfo":
                found["resource"] = _unpacked(packed, error_details_pb2.ResourceInfo()).resource_name
            case other:
                raise AssertionError(f"a detail that nobody documents: {other}")
    if status:
        assert code_pb2.Code.Name(status.code) == error.code().name
    return Refusal(error.code(), error.details() or "", **found)


def _unpacked(packed: Any, into: Any) -> Any:
    assert packed.Unpack(into)
    return into


# -- the command line


def environment(**more: str) -> dict[str, str]:
    """This process's environment without any setting of Repartee's."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REPARTEE_")}
    return clean | {"NO_COLOR": "1", "COLUMNS": "100"} | more


def repartee(*arguments: str, input: str = "", cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    return subprocess.run(
        [REPARTEE, *arguments],
        input=input,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S * 2,
        check=False,
        cwd=cwd,
        env=environment(**env),
    )


class Process:
    """`repartee serve` in a process of its own, on free ports; logs as JSON, debug and up."""

    def __init__(self, data_dir: Path, cache_dir: Path, domains_dir: Path, **env: str) -> None:
        settings = {
            "data-dir": data_dir,
            "cache-dir": cache_dir,
            "domains-dir": domains_dir,
            "domain": "support",
            "grpc-address": "127.0.0.1:0",
            "log-format": "json",
            "log-level": "debug",
        }
        metrics = {"REPARTEE_METRICS_ADDRESS": "127.0.0.1:0"}
        self._process = subprocess.Popen(
            [REPARTEE, "serve", *(f"--{name}={value}" for name, value in settings.items())],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env=environment(**{**metrics, **env}),
        )
        self.lines: list[str] = []
        self._new: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        serving = self.wait_for("serving")
        self.port, self.metrics_port = int(serving["grpc_port"]), int(serving["metrics_port"])

    def _read(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            self.lines.append(line)
            self._new.put(line)
        self._new.put(None)

    def wait_for(self, event: str) -> dict[str, Any]:
        """The next log line of this event."""
        while (line := self._new.get(timeout=TIMEOUT_S * 4)) is not None:
            entry = json.loads(line) if line.startswith("{") else {}
            if entry.get("event") == event:
                return cast("dict[str, Any]", entry)
        raise AssertionError(f"the server ended without {event!r}: {''.join(self.lines)}")

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Waits for the end; the exit code."""
        code = self._process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        if self._process.stderr:
            self._process.stderr.close()
        return code

    def kill(self) -> None:
        self._process.kill()
        self.ended()
