"""Scores the catalogs' answers on buyers' questions, at several thresholds, and prints the tables.

    .venv/bin/python -m benchmarks.answers [--misses 0.6]

The engine answers with the closest ask of the catalog, if it is close enough. A question counts as right if it gets an
answer that fits, or none where none does; as wrong if it gets another one; as unknown if it has one and gets none.
A wrong answer costs three times an unknown one, and the cheapest threshold is the one to ship.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
from rich.console import Console
from rich.table import Table

from engine import packs
from engine.domain import Catalog
from engine.embed.minilm import MiniLM
from engine.stages import Vector

QUESTIONS = Path(__file__).with_suffix(".toml")
THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7)
# The misses among the questions that were held back are not to be looked at: see answers.toml.
PARTS = ("seen", "unseen")
WRONG_COST = 3


@dataclass(frozen=True, slots=True)
class Scored:
    """One question, the answers that fit, and the answer that is closest."""

    catalog: str
    part: str
    message: str
    fitting: tuple[str, ...]
    closest: str
    ask: str
    cosine: float

    def is_right(self, threshold: float) -> bool:
        return self.closest in self.fitting if self.cosine >= threshold else not self.fitting

    def is_wrong(self, threshold: float) -> bool:
        return self.cosine >= threshold and self.closest not in self.fitting


def score(catalog: Catalog, parts: dict[str, list[list[str]]], encode: Callable[[str], Vector]) -> list[Scored]:
    """Every question of a catalog.

    Raises:
        SystemExit: if a question expects an answer that the catalog does not have,.
    """
    asks = [(answer.id, ask) for answer in catalog.answers for ask in answer.asks]
    vectors = np.stack([encode(ask) for _, ask in asks])
    ids, copied = {id_ for id_, _ in asks}, {ask.casefold().strip(" ?.!") for _, ask in asks}
    scored = []
    for part in PARTS:
        for message, *fitting in parts[part]:
            if unknown := set(fitting) - ids:
                raise SystemExit(f"{catalog.id}: {message!r} expects {', '.join(sorted(unknown))}: no such answer")
            if message.casefold().strip(" ?.!") in copied:
                raise SystemExit(f"{catalog.id}: {message!r} is one of the asks: it measures nothing")
            cosines = vectors @ encode(message)
            best = int(cosines.argmax())
            scored.append(Scored(catalog.id, part, message, tuple(fitting), *asks[best], float(cosines[best])))
    return scored


def table(title: str, scored: Sequence[Scored]) -> Table:
    """What comes of the questions at each threshold."""
    shown = Table(title=f"{title}: {len(scored)} questions", title_justify="left")
    for name in ("threshold", "accuracy", "wrong", "unknown", "of none, answered", "cost"):
        shown.add_column(name, justify="right")
    for threshold in THRESHOLDS:
        right = sum(one.is_right(threshold) for one in scored)
        wrong = sum(one.is_wrong(threshold) for one in scored)
        none = [one for one in scored if not one.fitting]
        answered = sum(one.is_wrong(threshold) for one in none)
        unknown = len(scored) - right - wrong
        cells = (f"{threshold:.2f}", f"{right / len(scored):.3f}", f"{wrong}", f"{unknown}")
        shown.add_row(*cells, f"{answered} of {len(none)}", f"{WRONG_COST * wrong + unknown}")
    return shown


def print_misses(scored: Sequence[Scored], threshold: float) -> None:
    for one in scored:
        if one.part == "seen" and not one.is_right(threshold):
            fitting = " or ".join(one.fitting) or "none"
            print(f"{one.cosine:.2f}  {one.message!r}: {one.closest} ({one.ask!r}); expected {fitting}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Scores the answers of the sales pack's catalogs.")
    parser.add_argument("--misses", type=float, metavar="T", help="also print the misses among `seen` at a threshold")
    arguments = parser.parse_args()
    domain = packs.load(packs.BUILT_IN / "sales")
    questions = tomllib.loads(QUESTIONS.read_text())
    embedder = MiniLM(platformdirs.user_cache_path("repartee"))
    scored = [one for catalog in domain.catalogs for one in score(catalog, questions[catalog.id], embedder.encode)]
    console = Console()
    for catalog in domain.catalogs:
        console.print(table(catalog.id, [one for one in scored if one.catalog == catalog.id]))
    for part in PARTS:
        console.print(table(f"both, {part}", [one for one in scored if one.part == part]))
    console.print(table("both", scored))
    if arguments.misses is not None:
        print_misses(scored, arguments.misses)


if __name__ == "__main__":
    main()
