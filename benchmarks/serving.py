"""Runs what a benchmark measures, each in a process of its own: the server, and the providers' simulator."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import ssl
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx2
import platformdirs
import uvloop

from benchmarks.simulator import Rule, Simulator, SimulatorSettings
from benchmarks.simulator.__main__ import built_in
from benchmarks.simulator.answers import Answerer, Scripted
from benchmarks.simulator.latency import preset
from engine.settings import Settings
from server import app, logs

_ANSWERERS: dict[str, Callable[[], Answerer]] = {
    "built-in": built_in,
    "scripted": Scripted,
    "long": lambda: Scripted("word " * 2000),
}
_spawn = multiprocessing.get_context("spawn")


@dataclass(slots=True)
class Providers:
    """A simulator in a process, as two providers: one by name, one by number, so that they share no connection."""

    of: str
    seed: int
    answers: str
    scratch: Path
    port: int = 0
    process: Any = None

    @property
    def ca_file(self) -> Path:
        return self.scratch / "ca.pem"

    def start(self) -> None:
        """Starts it; a second time on the same port, with the same authority."""
        here, there = _spawn.Pipe()
        arguments = (self.of, self.seed, self.answers, self.scratch, self.port, there)
        self.process = _spawn.Process(target=_simulate, args=arguments, daemon=True)
        self.process.start()
        self.port = here.recv()

    def stop(self) -> None:
        """As a crash would."""
        self.process.kill()
        self.process.join()

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def settings(self, *names: str) -> dict[str, Any]:
        """Those of the server's settings that make it call the simulator."""
        prices = {"input": 1.0, "output": 5.0, "cached_input": 0.1}
        of_all = {
            "anthropic": {"kind": "anthropic", "base_url": f"https://localhost:{self.port}", "fast": "claude-haiku-5-5",
                          "powerful": "claude-sonnet-5-5"},
            "openai": {"kind": "openai", "base_url": f"https://127.0.0.1:{self.port}/v1", "fast": "gpt-6-luna",
                       "powerful": "gpt-6.2-sol"},
        }  # fmt: skip
        return {
            name: {**one, "api_keys": ["simulated"], "prices": {one["fast"]: prices, one["powerful"]: prices}}
            for name, one in of_all.items()
            if name in (names or of_all)
        }

    def misbehave(self, *rules: Rule) -> None:
        with self._client() as client:
            body = json.dumps([rule.model_dump() for rule in rules])
            client.put(f"https://localhost:{self.port}/_sim/faults", content=body).raise_for_status()

    def stats(self) -> dict[str, Any]:
        with self._client() as client:
            seen: dict[str, Any] = client.get(f"https://localhost:{self.port}/_sim/stats").json()
        return seen

    def _client(self) -> httpx2.Client:
        return httpx2.Client(verify=ssl.create_default_context(cafile=str(self.ca_file)), trust_env=False)


def _simulate(of: str, seed: int, answers: str, scratch: Path, port: int, ready: Connection) -> None:
    async def main() -> None:
        settings = SimulatorSettings(port=port, shape=preset(of), seed=seed, ca_dir=scratch)
        async with Simulator(settings, _ANSWERERS[answers]()) as simulator:
            ready.send(simulator.port)
            await asyncio.Event().wait()

    logs.configure("json", "warning")
    uvloop.run(main())


@contextmanager
def providers(of: str, *, seed: int = 0, answers: str = "built-in") -> Iterator[Providers]:
    """The simulator with a preset's latencies."""
    with tempfile.TemporaryDirectory() as scratch:
        simulated = Providers(of, seed, answers, Path(scratch))
        simulated.start()
        try:
            yield simulated
        finally:
            simulated.stop()


def _serve(changed: dict[str, Any], ca_file: str, ready: Connection) -> None:
    """Runs a server until it is terminated; tells its ports first."""

    async def main() -> None:
        running = await app.start(Settings.model_validate(changed))
        ready.send((running.port, running.metrics_port, os.getpid()))
        await running.server.wait_for_termination()

    if ca_file:
        os.environ["SSL_CERT_FILE"] = ca_file
    logs.configure("json", os.environ.get("BENCH_LOG", "error"))
    uvloop.run(main())


@dataclass(frozen=True, slots=True)
class Served:
    """A server that runs."""

    port: int
    metrics_port: int
    pid: int

    @property
    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    @property
    def rss_mb(self) -> float:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def server(ca_file: Path | None = None, **changed: object) -> Iterator[Served]:
    """A server on free ports with a fresh data directory."""
    here, there = _spawn.Pipe()
    with tempfile.TemporaryDirectory() as data_dir:
        settings = {
            "grpc_address": "127.0.0.1:0",
            "metrics_address": "127.0.0.1:0",
            "data_dir": data_dir,
            "cache_dir": platformdirs.user_cache_path("repartee"),
            **changed,
        }
        process = _spawn.Process(target=_serve, args=(settings, str(ca_file or ""), there), daemon=True)
        process.start()
        try:
            yield Served(*here.recv())
        finally:
            process.terminate()
            process.join()


def quantiles(values: Sequence[float]) -> list[str]:
    """p50, p95 and p99, for a table."""
    ordered = sorted(values)
    return [f"{ordered[min(len(ordered) - 1, int(share * len(ordered)))]:.0f}" for share in (0.5, 0.95, 0.99)]
