"""No figure reaches a buyer that is not known to be true.

Every number in a reply must stand in the catalog or the policy, be among the buyer's own
words, or be computed from these: a count times a price, over a year, less a discount that
the policy knows, or the difference of two sums that the reply has stated. "50 seats at
$49" passes with its right total and fails with a wrong one, whoever said the wrong one
first: what is introduced as a total must be the total of what the reply has stated.

The guard works on a stream. What could still turn into another figure ("$49" into
"$49.50", "fifty" into "fifty thousand") is held back until it cannot, so nothing
unverified is ever let through. Small counts in words ("two options") are prose; digits,
money, percentages and lengths of time are all checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from itertools import combinations, product

from engine.errors import EngineError
from engine.figures import Figure, Kind, could_grow, digit_runs, figures

_PROSE_COUNT_MAX = 12
_TIMES = re.compile(r"(?:day|week|month|quarter|year|hour|minute|night)s?\b")
_TOTAL_WORDS = re.compile(
    r"\b(?:comes? to|total\w*|altogether|in all|makes?|adds? up to|equals|works out (?:at|to))\b|=", re.IGNORECASE
)
_MONTHS = (1, 12)


class UnverifiedFigure(EngineError):
    """A reply states a figure that nothing vouches for; the message does not repeat it."""

    reason = "UNVERIFIED_FIGURE"

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        super().__init__(f"the reply states a figure ({kind.value}) that is neither known nor computed from what is")


@dataclass(frozen=True, slots=True)
class Known:
    """Figures that may be stated, in cents or hundredths where they have a fraction."""

    money: frozenset[float] = frozenset()
    percents: frozenset[float] = frozenset()
    counts: frozenset[float] = frozenset()
    # Runs of digits as they stand in the sources: "27001", "24/7".
    verbatim: frozenset[str] = frozenset()

    def __or__(self, other: Known) -> Known:
        return Known(
            self.money | other.money,
            self.percents | other.percents,
            self.counts | other.counts,
            self.verbatim | other.verbatim,
        )


def known_in(texts: Iterable[str], prices: Iterable[float] = ()) -> Known:
    """All figures of some texts, and prices that stand in no text. A bare number may be money."""
    money, percents, counts, verbatim = set(map(_cents, prices)), set[float](), set[float](), set[str]()
    for text in texts:
        verbatim |= {text[start:end] for start, end in digit_runs(text)}
        for figure in figures(text):
            if figure.kind is Kind.PERCENT:
                percents |= _ends(figure)
            elif figure.kind is Kind.MONEY:
                money |= _ends(figure)
            else:
                counts |= _ends(figure)
                money |= _ends(figure) if figure.kind is Kind.NUMBER else set()
    return Known(frozenset(money), frozenset(percents), frozenset(counts), frozenset(verbatim))


@dataclass(slots=True)
class PriceGuard:
    """Checks one reply while it is written.

    Args:
        facts: what the catalog and the policy say.
        buyer: what the buyer has said.
    """

    facts: Known
    buyer: Known
    _pending: str = field(default="", init=False)
    _stated: list[Figure] = field(default_factory=list, init=False)
    # What was said since the last figure.
    _since: str = field(default="", init=False)

    def feed(self, text: str) -> str:
        """Takes the next piece; returns what may be sent now.

        Raises:
            UnverifiedFigure: and nothing of what is pending may be sent.
        """
        self._pending += text
        return self._release(could_grow(self._pending))

    def finish(self) -> str:
        """The rest, once no more text will come. Raises as `feed` does."""
        return self._release(len(self._pending))

    def _release(self, end: int) -> str:
        text = self._pending[:end]
        found = figures(text)
        for start, stop in digit_runs(text):
            if not any(figure.start <= start < figure.end for figure in found):
                self._check_verbatim(text[start:stop])
        at = 0
        for figure in found:
            self._since += text[at : figure.start]
            self._check(figure)
            self._stated.append(figure)
            self._since, at = "", figure.end
        self._since += text[at:]
        self._pending = self._pending[end:]
        return text

    def _check_verbatim(self, digits: str) -> None:
        """Digits that are no figure (a clock time, the number of a norm) must be quoted as they are."""
        if digits not in self.facts.verbatim | self.buyer.verbatim:
            raise UnverifiedFigure(Kind.NUMBER)

    def _check(self, figure: Figure) -> None:
        known = self.facts | self.buyer
        if figure.kind is Kind.MONEY:
            fine = self._money_is_known(figure, known)
        elif figure.kind is Kind.PERCENT:
            fine = known.percents >= _ends(figure)
        else:
            prose = not figure.digits and figure.max <= _PROSE_COUNT_MAX and not _TIMES.match(figure.unit)
            fine = prose or known.counts | known.money >= _ends(figure)
        if not fine:
            raise UnverifiedFigure(figure.kind)

    def _money_is_known(self, figure: Figure, known: Known) -> bool:
        counts = {value for other in self._stated if other.kind in {Kind.COUNT, Kind.NUMBER} for value in _ends(other)}
        prices = {value for other in self._stated if other.kind is Kind.MONEY for value in _ends(other)}
        differences = {_cents(abs(one - other)) for one, other in combinations(prices, 2)}
        if counts and prices and not figure.per and _TOTAL_WORDS.search(self._since):
            return set(_totals(counts, prices, known.percents)) | differences >= _ends(figure)
        computed = _totals(counts | self.buyer.counts | {1.0}, prices | self.facts.money, known.percents)
        return known.money | differences | set(computed) >= _ends(figure)


def _totals(counts: Set[float], prices: Set[float], percents: Set[float]) -> Iterator[float]:
    """Counts times prices, for a month or a year, whole or less a discount, and the discount itself."""
    shares = {1.0} | {1 - percent / 100 for percent in percents} | {percent / 100 for percent in percents}
    for count, price, months, share in product(counts, prices, _MONTHS, shares):
        yield _cents(count * price * months * share)


def _ends(figure: Figure) -> set[float]:
    return {_cents(figure.min), _cents(figure.max)}


def _cents(value: float) -> float:
    return round(value, 2)
