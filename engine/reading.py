"""Reads what a text says in figures, dates and names, and types it: "fifty grand" is 50,000 of the pack's currency.

One reader for all who need it: capture by patterns, the answers of remote models, and the
values that callers give. Everything keeps its place in the text, character by character.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

from engine.conversation import Amount, Period, SlotValue
from engine.domain import SPANS, Domain, Slot, SlotType, per_pack
from engine.figures import Figure, Kind, figures
from engine.periods import periods

# The private-use characters by which capture masks what was read; no text can bring them along.
FIRST_MASK, LAST_MASK = 0xE000, 0xF8FF
_TYPED = {
    SlotType.MONEY: ("money", "number"),
    SlotType.QUANTITY: ("quantity", "number"),
    SlotType.MEASURE: ("money", "percent", "quantity", "measure", "number"),
    SlotType.PERIOD: ("period",),
    SlotType.PRODUCT: ("product",),
}
_SAMPLES = {
    SlotType.MONEY: '"$5,000"',
    SlotType.QUANTITY: '"50 users"',
    SlotType.MEASURE: '"3 hours a week"',
    SlotType.PERIOD: '"next quarter"',
    SlotType.PRODUCT: "the name of a product of the catalog",
}
# Counts of these are a length of time or a size: never how many the buyer wants.
_MEASURES = frozenset(
    "second minute min hour hr day week month quarter year yr mile km kilometer kilometre meter metre cm mm inch "
    "inches foot feet ft yard lb lbs pound kg kilo ton gb tb mb mph watt volt sq square degree time bedroom bed bath bathroom "
    "business working calendar".split()
)
# Nor of these: steps and rounds, what is said and shown, who is at home.
_NO_GOODS = frozenset(
    "quote bid offer proposal reference signature approval vote vendor supplier question answer reason thing option "
    "step stage round phase level way time star review photo picture email message call meeting demo visit "
    "hand floor stair flight kid child daughter son twin percent".split()
)
# No nouns at all: "12k last year", "fifteen grand set aside".
_UNCOUNTED = frozenset(
    {"last", "next", "set", "put", "worth", "approved", "allocated", "available", "saved", "earmarked", "budgeted"}
)
# A telephone number, unless both parts are round: "800-1000" is a range.
_PHONE = re.compile(
    r"(?<![\w$€£.,-])(?:\+\d{1,3}[ .-]?)?(?:\(?\d{3}\)?[ .-]{1,2}\d{3}[ .-]\d{4}|\d{3}[.-](?=0|\d{3}[1-9]|\d\d[1-9]\d)\d{4}|"
    r"\d{3} 0\d{3})(?![\w$€£%]|[.,]\d)"
)
# Up to it, a number in words is how many: "I'll take two" offers no two dollars.
_SMALL = 12
# Where a name may start.
_WORD = re.compile(r"(?<![\w-])(?:\w+|[^\w\s])")
# Character by character, so that every offset stays: the letters that ignoring case takes for an i or an s are made
# one (a dotted capital I would even grow in lower case), and nobody can write a mask.
_PLAIN = str.maketrans(
    {"\u0130": "I", "\u0131": "i", "\u017f": "s"}
    | dict.fromkeys("\u2019\u2018\u02bc\u00b4`", "'")
    | dict.fromkeys(map(chr, range(FIRST_MASK, LAST_MASK + 1)), "\ufffd")
)


@dataclass(frozen=True, slots=True)
class Span:
    """A typed span of the message, in code points [start, end)."""

    kind: str
    start: int
    end: int
    text: str
    typed: Amount | Period | None = None


class Reader:
    """Reads texts in the words of one pack: its currency, its products, its lexicons."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self._slots = domain.slots_by_name
        self._currency = domain.home.products[0].currency
        self._lexicons = {
            name: {_form(form): canonical for canonical, forms in entries.items() for form in (canonical, *forms)}
            for name, entries in domain.lexicons.items()
        }
        self._lexicons["product"] = {
            _form(form): product.id
            for catalog in reversed(domain.catalogs)
            for product in catalog.products
            for form in (product.name, *product.aliases)
        }
        self._names = _by_first_word(self._lexicons)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of spans that there can be."""
        return (*SPANS, *(name for name in self._lexicons if name not in SPANS))

    def given(self, name: str, text: str, today: date) -> SlotValue:
        """A value that a caller gives for a slot, read as the buyer's own words would be.

        Raises:
            ValueError: if the text does not say what the slot's type holds; says what would.
        """
        slot = self._slots[name]
        spans = sorted(self.spans(plain(text), today), key=lambda span: span.start)
        if slot.type is SlotType.ENUM:
            wanted = "_".join(text.casefold().split())
            if wanted not in slot.values:
                raise ValueError(f"not one of {', '.join(slot.values)}")
            return SlotValue(wanted, text)
        if kinds := _TYPED.get(slot.type):
            span = next((span for span in spans if span.kind in kinds), None)
            if span is None:
                raise ValueError(f"says no {slot.type.value}; expected one like {_SAMPLES[slot.type]}")
            return self.typed(slot, span, text, 0, 1.0, 0)
        named = next((span for span in spans if span.text and span.kind not in SPANS[:-1]), None)
        return SlotValue(named.text if named and slot.type is not SlotType.TEXT else " ".join(text.split()), text)

    def typed(self, slot: Slot, span: Span, quote: str, quote_start: int, confidence: float, turn: int) -> SlotValue:
        """The value that a span is for a slot; a bare number of money is of the pack's currency."""
        typed, text = span.typed, span.text
        if slot.type is SlotType.MONEY and isinstance(typed, Amount) and not typed.unit:
            typed = replace(typed, unit=self._currency)
            text = amount_text(typed)
        return SlotValue(text, quote, quote_start, confidence, turn, typed)

    def spans(self, message: str, today: date) -> Iterator[Span]:
        """The typed spans of a text that was made plain, in no order; they may overlap."""
        for period in periods(message, today):
            yield Span("period", period.start, period.end, period.text, period.period)
        phones = [match.span() for match in _PHONE.finditer(message)]
        for figure in figures(message):
            if any(start < figure.end and figure.start < end for start, end in phones):
                continue
            # In "this one" nothing is counted.
            if figure.digits or figure.kind is not Kind.NUMBER or figure.max > 1:
                yield _span_of(_without_noun(figure, message))
        lower = message.lower()
        for word in _WORD.finditer(lower):
            for name, pattern in self._names.get(word[0], ()):
                if match := pattern.match(lower, word.start()):
                    canonical = self._lexicons[name][" ".join(match[0].split())]
                    yield Span(name, match.start(), match.end(), canonical)


@per_pack
def reader(domain: Domain) -> Reader:
    """The reader of a pack; made once, as it goes through all names of the pack."""
    return Reader(domain)


def plain(text: str) -> str:
    """A text in which quotation marks are straight and every letter has one form; as long as before."""
    return text.translate(_PLAIN)


def _by_first_word(lexicons: dict[str, dict[str, str]]) -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """The forms of every lexicon under the word that they start with: most words of a message start none."""
    forms: dict[str, dict[str, list[str]]] = {}
    for name, entries in lexicons.items():
        for form in sorted(entries, key=len, reverse=True):
            if first := _WORD.match(form):
                forms.setdefault(first[0], {}).setdefault(name, []).append(form)
    return {
        first: [(name, re.compile(rf"(?:{'|'.join(map(_spaced, same))})(?![\w-])")) for name, same in by_name.items()]
        for first, by_name in forms.items()
    }


def _form(name: str) -> str:
    """A name as it is looked for in a message that was made plain."""
    return " ".join(name.translate(_PLAIN).lower().split())


def _spaced(form: str) -> str:
    return re.escape(form).replace(r"\ ", r"\s+")


def _without_noun(figure: Figure, message: str) -> Figure:
    """A bare number where what seems counted is no noun."""
    if figure.kind is not Kind.COUNT or figure.unit not in _UNCOUNTED:
        return figure
    number = message[figure.start : figure.end - len(figure.unit)].rstrip()
    return replace(figure, kind=Kind.NUMBER, unit="", end=figure.start + len(number))


def _span_of(figure: Figure) -> Span:
    kind = {Kind.MONEY: "money", Kind.PERCENT: "percent", Kind.COUNT: "quantity", Kind.NUMBER: "number"}[figure.kind]
    units = {figure.unit, *(unit.removesuffix("s") for unit in figure.unit.split())}
    if kind == "quantity" and not (_MEASURES | _NO_GOODS).isdisjoint(units):
        kind = "measure"
    if kind == "number" and not figure.digits and figure.max <= _SMALL:
        kind = "quantity"
    amount = Amount(figure.min, figure.max, figure.unit, figure.per)
    return Span(kind, figure.start, figure.end, amount_text(amount), amount)


def amount_text(amount: Amount) -> str:
    """An amount as it is stored for reading: "50000 USD", "300-400 USD per month", "50 seats"."""
    figure = f"{amount.min:.15g}" if amount.min == amount.max else f"{amount.min:.15g}-{amount.max:.15g}"
    unit = f" {amount.unit}" if amount.unit else ""
    return figure + unit + "".join(f" per {part}" for part in amount.per.split("/") if part)
