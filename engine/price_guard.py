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
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product

from engine.errors import EngineError
from engine.figures import Figure, Kind, could_grow, digit_runs, figures

_PROSE_COUNT_MAX = 12
_TIMES = re.compile(r"\b(?:day|week|month|quarter|year|hour|minute|night)s?\b")
_TOTAL_WORDS = re.compile(
    r"\b(?:comes? to|total\w*|altogether|in all|makes?|adds? up to|equals|works out (?:at|to))\b|=", re.IGNORECASE
)
_MONTHS = (1, 12)
# Discounts that are said without a figure: "half price", "a third off".
_SHARES = {"half": 50.0, "½": 50.0, "third": 100 / 3, "quarter": 25.0}
_SHARE = re.compile(r"(?<!\w)(half|½|third|quarter)[\s-](?:the\s)?(?:price|off)\b", re.IGNORECASE)
_HALF_A_CENT = 0.005001


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


class PriceGuard:
    """Checks one reply while it is written."""

    def __init__(self, facts: Known, computed: Callable[[], Known], buyer: Callable[[], Known]) -> None:
        """Most replies state no figure that is not in the catalog, so the rest is read when it is needed.

        Args:
            facts: what the catalog and the policy say.
            computed: what the engine has computed from them for this reply.
            buyer: what the buyer has said.
        """
        self._facts = facts
        self._read_computed = computed
        self._read_buyer = buyer
        self._pending = ""
        self._stated: list[Figure] = []
        # What was said since the last figure.
        self._since = ""

    @cached_property
    def _approved(self) -> Known:
        return self._facts | self._read_computed()

    @cached_property
    def _buyer(self) -> Known:
        return self._read_buyer()

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
        for match in _SHARE.finditer(text):
            self._check(Figure(*match.span(), Kind.PERCENT, *(_SHARES[match[1].lower()],) * 2))
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
        if not any(digits in known.verbatim for known in self._sources()):
            raise UnverifiedFigure(Kind.NUMBER)

    def _check(self, figure: Figure) -> None:
        if not any(self._is_known(figure, known) for known in self._sources()):
            raise UnverifiedFigure(figure.kind)

    def _sources(self) -> Iterator[Known]:
        """All that vouches for a figure, more and more of it."""
        yield self._facts
        yield self._approved
        yield self._approved | self._buyer

    def _is_known(self, figure: Figure, known: Known) -> bool:
        if figure.kind is Kind.MONEY:
            return self._money_is_known(figure, known)
        if figure.kind is Kind.PERCENT:
            return known.percents >= _ends(figure)
        prose = not figure.digits and figure.max <= _PROSE_COUNT_MAX and not _TIMES.search(figure.unit)
        return prose or known.counts | known.money >= _ends(figure)

    def _money_is_known(self, figure: Figure, known: Known) -> bool:
        counts = {value for other in self._stated if other.kind in {Kind.COUNT, Kind.NUMBER} for value in _ends(other)}
        prices = {value for other in self._stated if other.kind is Kind.MONEY for value in _ends(other)}
        differences = {_cents(abs(one - other)) for one, other in combinations(prices, 2)}
        obliged = counts and prices and not figure.per and _TOTAL_WORDS.search(self._since)
        unexplained = _ends(figure) - differences - (set() if obliged else known.money)
        if unexplained and not obliged:
            counts, prices = counts | self._buyer.counts | {1.0}, prices | self._approved.money
        # Whatever discount the buyer asks for: only the policy's are given.
        return all(_is_total(value, counts, prices, self._facts.percents) for value in unexplained)


def _is_total(value: float, counts: Set[float], prices: Set[float], percents: Set[float]) -> bool:
    """Whether it is a count times a price, for a month or a year, whole or less a discount, or the discount itself."""
    shares = [1.0, *(1 - percent / 100 for percent in percents), *(percent / 100 for percent in percents)]
    return any(
        abs(count * price * months * share - value) < _HALF_A_CENT
        for share, months, count, price in product(shares, _MONTHS, counts, prices)
    )


def _ends(figure: Figure) -> set[float]:
    return {_cents(figure.min), _cents(figure.max)}


def _cents(value: float) -> float:
    return round(value, 2)
