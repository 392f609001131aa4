"""The arithmetic of an evaluation. Pure: predictions and truths in, figures out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Tally:
    """How many were right of those that were found, and of those that there were to find."""

    right: int = 0
    found: int = 0
    expected: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.right + other.right, self.found + other.found, self.expected + other.expected)

    @property
    def precision(self) -> float:
        return share(self.right, self.found)

    @property
    def recall(self) -> float:
        return share(self.right, self.expected)

    @property
    def f1(self) -> float:
        """The harmonic mean of both; 0 where there was nothing to find and nothing was found."""
        return share(2 * self.right, self.found + self.expected)


@dataclass(frozen=True, slots=True)
class Cut:
    """What is left if answers under a confidence are withheld."""

    threshold: float
    # The share of cases that are still answered, and how many of these are right.
    coverage: float
    accuracy: float


def share(part: float, whole: float) -> float:
    """`part` of `whole`; 0 of nothing, so that what was never measured reaches no aim."""
    return part / whole if whole else 0.0


def tallies(truths: Sequence[str], predictions: Sequence[str]) -> dict[str, Tally]:
    """A tally for each class that is true or predicted somewhere."""
    return {
        name: Tally(
            sum(truth == prediction == name for truth, prediction in zip(truths, predictions, strict=True)),
            predictions.count(name),
            truths.count(name),
        )
        for name in sorted({*truths, *predictions})
    }


def macro_f1(truths: Sequence[str], predictions: Sequence[str]) -> float:
    """The mean F1 over the classes that are true somewhere, each counting the same."""
    scores = [tally.f1 for tally in tallies(truths, predictions).values() if tally.expected]
    return share(sum(scores), len(scores))


def calibration_error(confidences: ArrayLike, right: ArrayLike, bins: int = 15) -> float:
    """The expected calibration error (Guo et al., ICML 2017), in [0, 1].

    Cases are put into bins of equal width by their confidence; the error is how far the mean
    confidence of a bin is from its accuracy, averaged over the bins by their numbers of cases.
    """
    sure, hit = np.asarray(confidences, np.float64), np.asarray(right, np.float64)
    places = np.minimum((sure * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(places, hit - sure, bins) if sure.size else np.zeros(bins)
    return share(float(np.abs(gaps).sum()), sure.size)


def cut_at(confidences: ArrayLike, right: ArrayLike, threshold: float) -> Cut:
    """What is left if only answers of at least this confidence are given."""
    sure, hit = np.asarray(confidences, np.float64), np.asarray(right, np.float64)
    kept = sure >= threshold
    answered = int(kept.sum())
    return Cut(threshold, share(answered, sure.size), share(float(hit[kept].sum()), answered))


def widest_cut(confidences: ArrayLike, right: ArrayLike, accuracy_min: float) -> Cut:
    """The largest coverage at which answers are right often enough; nothing is covered where none is.

    The threshold is chosen on the very cases that it is reported for, so it flatters a little.
    """
    thresholds: NDArray[np.float64] = np.unique(np.asarray(confidences, np.float64))
    cuts = (cut_at(confidences, right, float(threshold)) for threshold in thresholds)
    return next((cut for cut in cuts if cut.accuracy >= accuracy_min), Cut(1.0, 0.0, 0.0))


def overlap(start: int, end: int, other_start: int, other_end: int) -> bool:
    """Whether [start, end) and [other_start, other_end) have a character in common."""
    return max(start, other_start) < min(end, other_end)


def occurrences(part: str, text: str) -> list[tuple[int, int]]:
    """Where a text holds a part of it: all spans [start, end), which may overlap."""
    starts = (at for at in range(len(text) - len(part) + 1) if text.startswith(part, at))
    return [(at, at + len(part)) for at in starts] if part else []


def is_verbatim(message: str, quote: str, start: int) -> bool:
    """Whether a quote stands in its message, word for word, where it says it does."""
    return bool(quote) and message[start : start + len(quote)] == quote


def quantiles(values: Iterable[float], at: Sequence[float] = (0.5, 0.95, 0.99)) -> tuple[float, ...]:
    """The values' quantiles; zeros where there are none."""
    measured = list(values)
    return tuple(float(value) for value in np.quantile(measured, at)) if measured else (0.0,) * len(at)


def plain(message: str) -> str:
    """A message's words alone: two that differ in case and punctuation only are the same."""
    return " ".join(re.findall(r"\w+", message.casefold())) or message
