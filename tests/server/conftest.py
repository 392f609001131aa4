"""The servers that the tests talk to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import platformdirs
import pytest
import structlog
from structlog.testing import LogCapture

from engine.settings import Settings
from server import app
from tests.server.harness import Client, Loop, Process, Server, small_packs
from tests.server.scripted import Scripted, scripted_server

StartServer = Callable[..., Server]
StartProcess = Callable[..., Process]


@pytest.fixture(scope="session")
def cache_dir() -> Path:
    """Where built models are kept, from one run of the tests to the next."""
    return Path(os.environ.get("REPARTEE_TEST_CACHE") or platformdirs.user_cache_path("repartee"))


@pytest.fixture(scope="session")
def domains_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_packs(tmp_path_factory.mktemp("domains"))


@pytest.fixture(scope="session", autouse=True)
def logged() -> Iterator[list[Any]]:
    """What the servers of this process log, as dictionaries."""
    capture = LogCapture()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture])
    yield capture.entries
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def serve(
    loop: Loop, cache_dir: Path, domains_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Server]:
    def start(**changed: object) -> Server:
        values = {
            "grpc_address": "127.0.0.1:0",
            "metrics_address": "",
            "data_dir": tmp_path_factory.mktemp("data"),
            "cache_dir": cache_dir,
            "domains_dir": domains_dir,
            "domain": "support",
        }
        settings = Settings.model_validate(values | changed)
        return Server(loop, loop.run(app.start(settings)), settings)

    return start


@pytest.fixture(scope="session")
def server(serve: StartServer) -> Iterator[Server]:
    """One server for all tests that leave it as it was."""
    running = serve(metrics_address="127.0.0.1:0")
    yield running
    running.stop()


@pytest.fixture
def start_server(serve: StartServer) -> Iterator[StartServer]:
    """Starts servers with other settings, and stops them after the test."""
    running: list[Server] = []

    def start(**changed: object) -> Server:
        running.append(serve(**changed))
        return running[-1]

    yield start
    for one in running:
        one.stop()


@pytest.fixture
def start_process(cache_dir: Path, domains_dir: Path, tmp_path: Path) -> Iterator[StartProcess]:
    """Starts `repartee serve` as a process; what still runs after the test is killed."""
    running: list[Process] = []

    def start(data_dir: Path | None = None, **env: str) -> Process:
        running.append(Process(data_dir or tmp_path / "data", cache_dir, domains_dir, **env))
        return running[-1]

    yield start
    for one in running:
        one.kill()


@pytest.fixture
def client(server: Server) -> Client:
    return server.client()


@pytest.fixture
def start_scripted(loop: Loop) -> Iterator[Callable[..., Scripted]]:
    """Starts servers whose provider waits for the test's word."""
    running: list[Scripted] = []

    def start(**bounds: Any) -> Scripted:
        running.append(scripted_server(loop, **bounds))
        return running[-1]

    yield start
    for one in running:
        one.stop()
