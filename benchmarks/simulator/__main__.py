"""The simulator as a program of its own: python -m benchmarks.simulator --help."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path

import platformdirs
import uvloop

from benchmarks.simulator.answers import Answerer, BuiltIn, Scripted
from benchmarks.simulator.latency import preset, presets
from benchmarks.simulator.server import CA_FILE, Simulator, SimulatorSettings
from engine import packs
from engine.embed.minilm import MiniLM
from engine.settings import Settings
from server.app import train


def built_in(pack: str = "sales") -> Answerer:
    """The built-in engine behind the prompts of Repartee's steps."""
    cache_dir = platformdirs.user_cache_path("repartee")
    domain, embedder = packs.load(packs.BUILT_IN / pack), MiniLM(cache_dir)
    provider = train({domain.id: domain}, embedder, Settings(cache_dir=cache_dir))
    return BuiltIn(domain, provider.trained[domain.id], embedder.encode)


async def serve(arguments: argparse.Namespace) -> None:
    ca_dir = arguments.ca_dir or Path(tempfile.gettempdir(), "repartee-simulator")
    settings = SimulatorSettings(
        port=arguments.port,
        shape=preset(arguments.preset),
        seed=arguments.seed,
        streams_max=arguments.streams_max,
        ca_dir=ca_dir,
        keys=frozenset(arguments.key),
    )
    async with Simulator(settings, built_in() if arguments.answers == "built-in" else Scripted()) as simulator:
        print(f"export SSL_CERT_FILE={ca_dir / CA_FILE}")
        print(f"export ANTHROPIC_BASE_URL={simulator.url} ANTHROPIC_API_KEY=simulated")
        print(f"export OPENAI_BASE_URL={simulator.url}/v1 OPENAI_API_KEY=simulated", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8443, help="0 takes a free one (default: 8443)")
    parser.add_argument("--preset", default="realistic", help=f"{', '.join(presets())}, or a file (default: realistic)")
    parser.add_argument("--seed", type=int, default=0, help="of latencies and faults (default: 0)")
    parser.add_argument("--answers", choices=["built-in", "scripted"], default="built-in", help="who answers")
    parser.add_argument(
        "--streams-max", type=int, default=100, help="streams that a connection may have (default: 100)"
    )
    parser.add_argument("--ca-dir", type=Path, help="where its authority is kept; ca.pem in it is for SSL_CERT_FILE")
    parser.add_argument("--key", action="append", default=[], help="an API key that is valid; without any, all are")
    with suppress(KeyboardInterrupt):
        uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
