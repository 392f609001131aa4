"""The whole evaluation: what is measured, in order; tables as they come, all figures as JSON at the end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from engine import packs
from engine.domain import Domain
from engine.embed.minilm import EmbedderUnavailable, MiniLM
from engine.errors import EngineError
from engine.settings import Settings
from server import app, logs
from server.evaluation import clinc, craigslist, figures, golden, persuasion, sgd, slots
from server.evaluation.figures import Section
from server.evaluation.service import serving

# The public conversations are negotiations: they say something of this pack only.
SALES = "sales"
_FILES = (craigslist.FILE, sgd.FILE, persuasion.FILE, clinc.FILE)


async def evaluate_all(settings: Settings, data: Path | None, out: Path) -> None:
    """Measures the pack `settings.domain`: prints every figure beside its aim, and writes them to `out`.

    Args:
        settings: the pack, and where packs and trained models are; the rest is as served by default.
        data: the directory of public conversations; without it only the pack's held-out cases are used.
        out: a JSON file; its directory is made.

    Raises:
        SystemExit: something that it needs is not there; says what.
    """
    logs.configure(settings.log_format, "warning")
    console = Console(highlight=False)
    sections: list[Section] = []
    try:
        _check(settings, data)
        domain = packs.load(packs.available(settings.domains_dir)[settings.domain])
        columns = (*Progress.get_default_columns(), TimeElapsedColumn(), TextColumn("{task.completed}/{task.total}"))
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            async for section in _sections(settings, domain, data, progress):
                sections.append(section)
                for table in figures.tables(section):
                    console.print(table)
    except (EngineError, EmbedderUnavailable) as error:
        raise SystemExit(str(error)) from None
    aims = [figure.reached for section in sections for figure in section.figures if figure.reached is not None]
    console.print(f"{sum(aims)} of {len(aims)} aims reached; all figures: {out}")
    _write(out, domain, sections)


def _check(settings: Settings, data: Path | None) -> None:
    """Says what is missing before minutes of work, not after them."""
    if settings.domain not in packs.available(settings.domains_dir):
        raise SystemExit(f"domain = {settings.domain!r}: no such pack")
    if data is None:
        return
    if settings.domain != SALES:
        raise SystemExit(f"--data holds negotiations: it evaluates the pack {SALES!r} only, not {settings.domain!r}")
    if missing := [str(data / file) for file in _FILES if not (data / file).is_file()]:
        raise SystemExit(f"--data lacks {', '.join(missing)}")
    if not (sgd.PACKS / sgd.DOMAIN).is_dir():
        raise SystemExit(f"{sgd.PACKS / sgd.DOMAIN}: not there; --data needs the repository, not only the package")


async def _sections(
    settings: Settings, domain: Domain, data: Path | None, progress: Progress
) -> AsyncIterator[Section]:
    async for section in _held_out(settings, domain, progress):
        yield section
    if data is None:
        return
    # Each has a server of its own: the statistics of one say nothing of another.
    async with serving(settings) as service:
        yield await craigslist.evaluate(service, craigslist.read(data), domain.id, progress)
    async with serving(settings.model_copy(update={"domains_dir": sgd.PACKS, "domain": sgd.DOMAIN})) as service:
        yield await sgd.evaluate(service, sgd.read(data), progress)
    async with serving(settings) as service:
        yield await persuasion.evaluate(service, persuasion.read(data), domain.id, progress)
    async with serving(settings) as service:
        yield await clinc.evaluate(service, clinc.read(data), domain.id, progress)


async def _held_out(settings: Settings, domain: Domain, progress: Progress) -> AsyncIterator[Section]:
    """What needs no server: the pack's own cases."""
    pack = packs.available(settings.domains_dir)[settings.domain]
    task = progress.add_task("Held-out cases, and a learning curve", total=None)
    embedder = MiniLM(settings.cache_dir)
    try:
        provider = app.train({domain.id: domain}, embedder, settings)
        if cases := golden.read(pack):
            yield await golden.evaluate(provider, domain, cases, embedder.encode)
        if (wanted := slots.read(pack)).case:
            yield await slots.evaluate(provider, domain, wanted)
    finally:
        progress.remove_task(task)


def _write(out: Path, domain: Domain, sections: list[Section]) -> None:
    report = {
        "domain": domain.id,
        "pack_version": domain.version,
        "sections": [figures.as_json(section) for section in sections],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
