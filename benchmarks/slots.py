"""Capture on its development cases, author by author, beside the held-out ones of the pack.

    .venv/bin/python -m benchmarks.slots

Cues are written against the cases in benchmarks/slot_cases/, which may be read. The cases of
the pack itself (slot_cases.toml) are by yet another author and held out: what they say is
what to expect of strangers, and the gap between the two is how much was learned by heart.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import platformdirs
from rich.console import Console
from rich.table import Table

from engine import packs
from engine.embed.minilm import MiniLM
from engine.settings import Settings
from server.app import train
from server.evaluation import slots

_CASES = Path(__file__).parent / "slot_cases"
_SHOWN = ("micro precision", "micro recall", "micro F1", "messages with nothing to find, left alone")


async def main() -> None:
    cache_dir = platformdirs.user_cache_path("repartee")
    pack = packs.BUILT_IN / "sales"
    domain = packs.load(pack)
    provider = train({domain.id: domain}, MiniLM(cache_dir), Settings(cache_dir=cache_dir))
    files = {path.stem: path for path in sorted(_CASES.glob("*.toml"))} | {"held out": pack / "slot_cases.toml"}
    table = Table("cases", "messages", "precision", "recall", "F1", "left alone")
    for name, path in files.items():
        cases = slots.read_file(path)
        figures = {figure.name: figure.value for figure in (await slots.evaluate(provider, domain, cases)).figures}
        table.add_row(name, str(len(cases.case)), *(f"{figures[shown]:.3f}" for shown in _SHOWN))
    Console().print(table)


if __name__ == "__main__":
    asyncio.run(main())
