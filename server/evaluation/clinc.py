"""CLINC150 (Larson et al., EMNLP 2019): whether the detector abstains where nothing fits.

Queries to a personal assistant, out of the scope of its 150 intents or within it. To a sales
agent both are off topic, but for some intents that any talk has ("yes", "hello", "are you a
bot"); they stay in, and the breakdown shows where they went.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.progress import Progress

from server.evaluation.figures import Figure, Section, ranking
from server.evaluation.scores import share
from server.evaluation.service import Service, each

FILE = Path("clinc150", "data_full.json")
ABSTAINS = frozenset({"no_match", "adversarial_or_off_topic"})
OUT_OF_SCOPE, IN_SCOPE = 1000, 500
_SEED = 0


def read(data: Path) -> tuple[list[str], list[str]]:
    """A sample with a fixed seed: queries out of scope and in scope, both of the test part."""
    whole = json.loads((data / FILE).read_text())
    random = np.random.default_rng(_SEED)

    def drawn(part: str, size: int) -> list[str]:
        queries = [str(query) for query, _ in whole[part]]
        return [queries[place] for place in np.sort(random.permutation(len(queries))[:size])]

    return drawn("oos_test", OUT_OF_SCOPE), drawn("test", IN_SCOPE)


async def evaluate(
    service: Service, queries: tuple[Sequence[str], Sequence[str]], domain: str, progress: Progress
) -> Section:
    """The share of queries, out of scope and in scope, that end in a situation that abstains."""

    async def place(query: str) -> str:
        answer = await service.analyze(query, domain=domain)
        return answer.situation.id if answer else "(failed)"

    out, within = queries
    placed = await each([*out, *within], place, progress, "CLINC150")
    beyond, inside = Counter(placed[: len(out)]), Counter(placed[len(out) :])
    return Section(
        "Abstention: CLINC150",
        f"{len(out)} queries out of scope and {len(within)} in scope, each alone through Analyze; "
        f"abstaining is {' or '.join(sorted(ABSTAINS))}",
        (
            Figure("failed calls", service.errors.total(), 0, at_most=True),
            Figure("out of scope: abstains", _abstained(beyond)),
            Figure("in scope: abstains", _abstained(inside)),
        ),
        (
            ranking("Out of scope, placed in", "situation", beyond),
            ranking("In scope, placed in", "situation", inside),
        ),
    )


def _abstained(placed: Counter[str]) -> float:
    return share(sum(placed[name] for name in ABSTAINS), placed.total())
