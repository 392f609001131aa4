"""Situations on the golden set: messages of the pack that no detector is trained on.

The built-in provider is asked directly, for the first detection of a conversation's first
message: no server, no slots, no second pass.
"""

from __future__ import annotations

import math
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.deadline import Deadline
from engine.domain import Domain, Example
from engine.local.detect import Detector
from engine.local.provider import LocalProvider
from engine.local.training import fit
from engine.reconcile import Detection
from engine.stages import DetectInput, Vector
from engine.steps import DETECT
from server.evaluation import scores
from server.evaluation.figures import Cell, Figure, Grid, Section

ACCURACY_AIM, DIRECT_AIM, CALIBRATION_AIM = 0.70, 0.85, 0.05
# Where answers are right this often, they should cover that much.
SURE_ACCURACY, COVERAGE_AIM = 0.85, 0.5
_THRESHOLDS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_SEED = 0
_PAIRS_MAX = 12

Encode = Callable[[str], Vector]


@dataclass(frozen=True, slots=True)
class Case:
    """A message, the situation that it belongs to, and how plainly it says so."""

    message: str
    situation: str
    directness: str


def read(pack: Path) -> list[Case]:
    """The golden set of a pack's directory; empty where it has none."""
    file = pack / "golden.toml"
    return [Case(**case) for case in tomllib.loads(file.read_text())["case"]] if file.is_file() else []


async def evaluate(provider: LocalProvider, domain: Domain, cases: Sequence[Case], encode: Encode) -> Section:
    """All figures of the golden set, the learning curve among them (it trains several detectors)."""
    answers = [await provider.answer(DETECT, _asked(domain, case, encode), Deadline(math.inf)) for case in cases]
    curve = learning_curve(domain, cases, encode)
    curve.append((_most(domain), scores.share(sum(_right(cases, answers)), len(cases))))
    return Section(
        f"Situations: golden set of {domain.id}",
        f"{len(cases)} held-out messages, first detection; a neighbour is one that the pack documents",
        (*_figures(cases, answers), _leaked(domain, cases)),
        (
            _by_directness(domain, cases, answers),
            _by_threshold(cases, answers),
            Grid("Learning curve", ("examples a situation, at most", "top-1"), tuple(curve)),
            _confusions(domain, cases, answers),
        ),
    )


def learning_curve(domain: Domain, cases: Sequence[Case], encode: Encode) -> list[tuple[Cell, ...]]:
    """Top-1 accuracy with 2, 4, 8, … examples a situation, short of all of them.

    The examples of a smaller step are among those of every larger one; which come first is
    drawn with a fixed seed, so that no author and no wish of the pack's order decides.
    """
    seen: dict[str, Vector] = {}

    def remembered(message: str) -> Vector:
        if message not in seen:
            seen[message] = encode(message)
        return seen[message]

    curve: list[tuple[Cell, ...]] = []
    size = 2
    # The step before all would train on nearly all of them: the slowest, and the least to learn from.
    while size * 2 <= _most(domain):
        part = domain.model_copy(update={"examples": sample(domain.examples, size)})
        detect = Detector(fit(part, remembered), domain)
        answers = [detect(_asked(domain, case, remembered)) for case in cases]
        curve.append((size, scores.share(sum(_right(cases, answers)), len(cases))))
        size *= 2
    return curve


def sample(examples: Sequence[Example], size: int) -> tuple[Example, ...]:
    """At most `size` examples of each situation, drawn with a fixed seed, situation by situation."""
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.situation, []).append(example)
    random = np.random.default_rng(_SEED)
    orders = {situation: random.permutation(len(groups[situation]))[:size] for situation in sorted(groups)}
    return tuple(groups[situation][place] for situation, order in orders.items() for place in order)


def _most(domain: Domain) -> int:
    """How many examples the situation with the most of them has."""
    return max(Counter(example.situation for example in domain.examples).values())


def _asked(domain: Domain, case: Case, encode: Encode) -> DetectInput:
    return DetectInput(domain, case.message, encode(case.message), {}, "", ())


def _right(cases: Sequence[Case], answers: Sequence[Detection]) -> list[bool]:
    return [answer.situation == case.situation for case, answer in zip(cases, answers, strict=True)]


def _near(domain: Domain, cases: Sequence[Case], answers: Sequence[Detection]) -> list[bool]:
    """Right, or a documented neighbour of what is right."""
    neighbours: Mapping[str, tuple[str, ...]] = {
        situation.id: (situation.id, *situation.neighbours) for situation in domain.situations
    }
    return [answer.situation in neighbours[case.situation] for case, answer in zip(cases, answers, strict=True)]


def _figures(cases: Sequence[Case], answers: Sequence[Detection]) -> tuple[Figure, ...]:
    right, confidences = _right(cases, answers), [answer.confidence for answer in answers]
    direct = [hit for case, hit in zip(cases, right, strict=True) if case.directness == "direct"]
    truths, predictions = [case.situation for case in cases], [answer.situation for answer in answers]
    widest = scores.widest_cut(confidences, right, SURE_ACCURACY)
    return (
        Figure("top-1 accuracy", scores.share(sum(right), len(right)), ACCURACY_AIM),
        Figure("top-1 accuracy, direct", scores.share(sum(direct), len(direct)), DIRECT_AIM),
        Figure("mean confidence", scores.share(sum(confidences), len(confidences))),
        Figure("macro-F1", scores.macro_f1(truths, predictions)),
        Figure(
            "expected calibration error, 15 bins",
            scores.calibration_error(confidences, right),
            CALIBRATION_AIM,
            at_most=True,
        ),
        Figure(f"coverage where right in ≥ {SURE_ACCURACY}", widest.coverage, COVERAGE_AIM),
        Figure(f"confidence from which it is right in ≥ {SURE_ACCURACY}", widest.threshold),
    )


def _leaked(domain: Domain, cases: Sequence[Case]) -> Figure:
    """How many messages are not held out at all: an example says the same, case and punctuation aside."""
    taught = {scores.plain(example.message) for example in domain.examples}
    leaked = sum(scores.plain(case.message) in taught for case in cases)
    return Figure("messages that are among the examples", leaked, 0, at_most=True)


def _by_directness(domain: Domain, cases: Sequence[Case], answers: Sequence[Detection]) -> Grid:
    near, right = _near(domain, cases, answers), _right(cases, answers)
    rows: list[tuple[Cell, ...]] = []
    for kind in ("all", *dict.fromkeys(case.directness for case in cases)):
        chosen = [place for place, case in enumerate(cases) if kind in {"all", case.directness}]
        exact, allowed = sum(right[place] for place in chosen), sum(near[place] for place in chosen)
        rows.append((kind, len(chosen), scores.share(exact, len(chosen)), scores.share(allowed, len(chosen))))
    return Grid("By directness", ("directness", "messages", "top-1", "or a neighbour"), tuple(rows))


def _by_threshold(cases: Sequence[Case], answers: Sequence[Detection]) -> Grid:
    right, confidences = _right(cases, answers), [answer.confidence for answer in answers]
    cuts = (scores.cut_at(confidences, right, threshold) for threshold in _THRESHOLDS)
    rows = tuple((cut.threshold, cut.coverage, cut.accuracy) for cut in cuts)
    return Grid("Accuracy against coverage", ("confidence at least", "coverage", "top-1"), rows)


def _confusions(domain: Domain, cases: Sequence[Case], answers: Sequence[Detection]) -> Grid:
    wrong = Counter(
        (case.situation, answer.situation)
        for case, answer in zip(cases, answers, strict=True)
        if case.situation != answer.situation
    )
    rows = tuple(
        (truth, said, count, "yes" if said in domain.situations_by_id[truth].neighbours else "")
        for (truth, said), count in sorted(wrong.items(), key=lambda item: (-item[1], item[0]))[:_PAIRS_MAX]
    )
    return Grid("Most confused", ("is", "was taken for", "times", "neighbours"), rows)
