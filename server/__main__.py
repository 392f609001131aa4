"""The command line. The only place where the environment and the settings file are read."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

import platformdirs
import typer
import uvloop

from engine.settings import Settings
from server.config import PREFIX, ConfigError, settings_from

cli = typer.Typer(
    help="A low-latency conversational agent over gRPC.", no_args_is_help=True, pretty_exceptions_enable=False
)

Config = Annotated[Path | None, typer.Option(help=f"A TOML file of settings. [env: {PREFIX}CONFIG]")]
CacheDir = Annotated[Path | None, typer.Option(help="Where built models are kept.")]
DomainsDir = Annotated[Path | None, typer.Option(help="A directory with domain packs of your own.")]
GrpcAddress = Annotated[str | None, typer.Option(help="The server's host:port.")]


@cli.command()
def serve(
    grpc_address: Annotated[str | None, typer.Option(help="Where to serve gRPC, host:port.")] = None,
    metrics_address: Annotated[
        str | None, typer.Option(help="Where Prometheus scrapes, host:port; empty for nowhere.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where conversations are kept.")] = None,
    cache_dir: CacheDir = None,
    domain: Annotated[str | None, typer.Option(help="The pack of conversations that name none.")] = None,
    domains_dir: DomainsDir = None,
    log_format: Annotated[str | None, typer.Option(help="console or json.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    config: Config = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain and stop.

    Every setting can also stand in the file, or in the environment as REPARTEE_<NAME>. A flag
    is stronger than the environment, and the environment is stronger than the file.
    """
    flags = {name: value for name, value in locals().items() if name != "config"}
    settings = _settings(config, flags)
    from server import logs

    logs.configure(settings.log_format, settings.log_level)
    uvloop.run(_serve(settings))


@cli.command()
def chat(
    message: Annotated[str | None, typer.Argument(help="One message; without it, a conversation.")] = None,
    grpc_address: GrpcAddress = None,
    conversation: Annotated[str | None, typer.Option(help="Go on with this one: conversations/ID.")] = None,
    domain: Annotated[str | None, typer.Option(help="The pack of the conversation that is opened.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a turn.")] = False,
    config: Config = None,
) -> None:
    """Talk to a server; under each reply stand its stages, the situation, the play and what was captured."""
    settings = _settings(config, {"grpc_address": grpc_address})
    from server.chat import Chat

    try:
        raise typer.Exit(Chat(settings.grpc_address, conversation or "", domain or "", json).run(message))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@cli.command()
def lint(
    domain: Annotated[str, typer.Argument(help="A pack's id, or a directory that holds one.")],
    domains_dir: DomainsDir = None,
    config: Config = None,
) -> None:
    """Prove a domain pack sound: prints every fault, and exits with 1 if there are any."""
    settings = _settings(config, {"domains_dir": domains_dir})
    from engine import domain_lint, packs
    from engine.errors import PackError

    available = packs.available(settings.domains_dir)
    path = available.get(domain, Path(domain))
    if not path.is_dir():
        _fail(f"{domain}: no such pack, and no directory; there are {', '.join(sorted(available))}")
    try:
        pack = packs.load(path)
    except PackError as error:
        _fail(error.message)
    faults = domain_lint.faults(pack)
    for fault in faults:
        typer.echo(fault)
    typer.echo(f"{pack.id}: {domain_lint.summary(pack)}: {'sound' if not faults else f'{len(faults)} faults'}")
    raise typer.Exit(1 if faults else 0)


@cli.command()
def doctor(
    data_dir: Annotated[Path | None, typer.Option(help="Where conversations are kept.")] = None,
    cache_dir: CacheDir = None,
    domain: Annotated[str | None, typer.Option(help="The pack of conversations that name none.")] = None,
    domains_dir: DomainsDir = None,
    config: Config = None,
) -> None:
    """Look at what a server needs: packs, embedder, store, and each model by one small call. Exits with 1 on a fault."""
    flags = {name: value for name, value in locals().items() if name != "config"}
    settings = _settings(config, flags)
    from server.doctor import examine

    async def examined() -> bool:
        well = True
        async for finding in examine(settings):
            typer.echo(f"{'ok   ' if finding.is_well else 'FAULT'} {finding.name}: {finding.said}")
            if finding.advice:
                typer.echo(f"      {finding.advice}")
            well = well and finding.is_well
        return well

    raise typer.Exit(0 if uvloop.run(examined()) else 1)


@cli.command(name="eval")
def evaluate(
    domain: Annotated[str, typer.Argument(help="The pack to evaluate.")] = "sales",
    data: Annotated[Path | None, typer.Option(help="A directory with public conversations, see the README.")] = None,
    out: Annotated[Path, typer.Option(help="Where the figures go as JSON.")] = Path("reports/eval.json"),
    cache_dir: CacheDir = None,
    domains_dir: DomainsDir = None,
    config: Config = None,
) -> None:
    """Measure a pack on its golden set and, with --data, on real conversations over gRPC."""
    settings = _settings(config, {"domain": domain, "cache_dir": cache_dir, "domains_dir": domains_dir})
    from server.evaluation.report import evaluate_all

    uvloop.run(evaluate_all(settings, data, out))


async def _serve(settings: Settings) -> None:
    import structlog

    from engine.embed.minilm import EmbedderUnavailable
    from engine.errors import EngineError
    from server import app

    log = structlog.get_logger()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    log.info("starting; the first start builds the embedder and trains the detectors, a minute or two")
    try:
        running = await app.start(settings)
    except (EngineError, EmbedderUnavailable) as error:
        _fail(str(error))
    log.info("serving", grpc_port=running.port, metrics_port=running.metrics_port, data_dir=str(settings.data_dir))
    await stop.wait()
    log.info("draining", timeout_ms=settings.drain_timeout_ms)
    await running.stop(settings.drain_timeout_ms / 1e3)
    log.info("stopped")


def _settings(config: Path | None, flags: Mapping[str, Any]) -> Settings:
    environment = dict(os.environ)
    named = environment.pop(f"{PREFIX}CONFIG", None)
    try:
        return settings_from(
            {"cache_dir": platformdirs.user_cache_path("repartee")},
            config or (Path(named) if named else None),
            environment,
            flags,
        )
    except ConfigError as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)


def main() -> None:
    """The entry point of the `repartee` command."""
    cli()


if __name__ == "__main__":
    main()
