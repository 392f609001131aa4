r"""Capture by patterns and lexicons: what a message says under the names of the pack's slots.

Typed spans are recognised first: periods, figures, names from the pack's lexicons. Each
is then replaced by a single character of the Unicode private-use area, one per kind, so
that a cue of the pack is a short regular expression over what is left ("would you take
{money}" becomes "would you take \ue000"). A map of offsets leads back from the masked text
to the message, so that every quote is the buyer's own words at the right place.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

from engine.conversation import Amount, Finding, Period, Slots, SlotValue
from engine.domain import SPANS, Cue, Domain, Slot, SlotType
from engine.figures import Figure, Kind, figures
from engine.local.periods import periods
from engine.stages import CaptureInput, CaptureOutput

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
# A number: the flag's own arithmetic takes longer than many a search.
_IGNORES_CASE = int(re.IGNORECASE)
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
_FIRST_MASK, _LAST_MASK = 0xE000, 0xF8FF
_CLAUSE = r"[^.!?;\n]{1,160}?"
_CLAUSE_END = r"\s*(?:[.!?;\n]|,?\s(?:but|so|and\sthen|though|which)\b|$)"
# Bounded: else every word of a text in capitals would start a name that runs to its end.
_NAME = r"(?-i:(?!I\b)[A-Z][\w&'-]{0,40}(?:\s(?:[A-Z][\w&'-]{0,40}|of|&)){0,5})"
# Not the P of "(?P<", nor the classes that a backslash makes.
_CAPITAL = re.compile(r"(?<![\\?])[A-Z]")
_PLACEHOLDER = re.compile(r"\{([a-z_|]+)\}")
# A negation shortly before a cue, in the same clause, turns it round; "no I can do 80" answers something.
_NEGATED = re.compile(
    r"\b(?:not|never|no(?!\s(?:i|we|but)\b)|isn'?t|aren'?t|wasn'?t|don'?t|doesn'?t|didn'?t|can'?t|cannot|won'?t|wouldn'?t|"
    r"couldn'?t|without|nor|neither)\b(?:(?!\b(?:but|and|so|because|since|then|if)\b)[^,.;:!?\n]){0,24}$",
    re.IGNORECASE,
)
_NEGATION_CHARS_MAX = 34
# How far from a cue its sentence is looked at.
_CONTEXT_CHARS_MAX = 160
# Where a name may start.
_WORD = re.compile(r"(?<![\w-])(?:\w+|[^\w\s])")
_SENTENCE = re.compile(r"(?<=[.!?\n])\s+")
# Cues are written with straight apostrophes and single blanks.
_BLANKS = re.compile(r"[^\S\n]{2,}|[^\S\n ]")
# Character by character, so that every offset stays: the letters that ignoring case takes for an i or an s are made
# one (a dotted capital I would even grow in lower case), and nobody can write a mask.
_PLAIN = str.maketrans(
    {"\u0130": "I", "\u0131": "i", "\u017f": "s"}
    | dict.fromkeys("\u2019\u2018\u02bc\u00b4`", "'")
    | dict.fromkeys(map(chr, range(_FIRST_MASK, _LAST_MASK + 1)), "\ufffd")
)


@dataclass(frozen=True, slots=True)
class _Span:
    """A typed span of the message, in code points [start, end)."""

    kind: str
    start: int
    end: int
    text: str
    typed: Amount | Period | None = None


@dataclass(frozen=True, slots=True)
class _CompiledCue:
    slot: Slot
    cue: Cue
    pattern: re.Pattern[str]
    unless: re.Pattern[str] | None
    # The masks of its span, where it has a typed one: without any of them it cannot match.
    masks: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Masked:
    """A message with its typed spans masked, and the way back."""

    message: str
    # As it stands there, and in lower case; both of the same length.
    cased: str
    text: str
    # Of every masked character, where it starts in the message; one more for the end.
    starts: tuple[int, ...]
    spans: dict[int, _Span]
    # Where the sentences of the masked text start.
    sentences: tuple[int, ...]

    def read_by(self, pattern: re.Pattern[str]) -> str:
        return self.cased if pattern.flags & _IGNORES_CASE else self.text

    def sentence(self, start: int, end: int) -> tuple[int, int]:
        """The bounds of the sentence around [start, end) of the masked text, no further than is looked at."""
        first = bisect_right(self.sentences, start) - 1
        after = bisect_left(self.sentences, end, first + 1)
        last = self.sentences[after] if after < len(self.sentences) else len(self.text)
        return max(self.sentences[first], start - _CONTEXT_CHARS_MAX), min(last, end + _CONTEXT_CHARS_MAX)

    def quote(self, start: int, end: int) -> tuple[int, str]:
        """The message's own words under [start, end) of the masked text, and where they start."""
        first, last = self.starts[start], self.starts[end]
        words = self.message[first:last]
        stripped = words.strip(" \t\r\n,;:\"'()-")
        return first + words.find(stripped), stripped


class Capture:
    """Reads messages with one pack's cues."""

    def __init__(self, domain: Domain) -> None:
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
        kinds = [*SPANS, *(name for name in self._lexicons if name not in SPANS)]
        self._masks = {kind: chr(_FIRST_MASK + number) for number, kind in enumerate(kinds)}
        self._cues = [self._compiled(slot, cue) for slot in domain.slots for cue in slot.cues]

    def __call__(self, value: CaptureInput) -> CaptureOutput:
        """What the message says, in the order in which it stands there."""
        masked = self._mask(value.message, value.today)
        present = {masked.text[at] for at in masked.spans}
        taken = {name: bytearray(len(masked.text)) for name in self._slots}
        found: list[tuple[int, Finding]] = []
        for compiled in self._cues:
            if compiled.masks and compiled.masks.isdisjoint(present):
                continue
            taken_here = taken[compiled.slot.name]
            for match in compiled.pattern.finditer(masked.read_by(compiled.pattern)):
                start, end = _place(match)
                if any(taken_here[start:end]):
                    continue
                finding = self._finding(compiled, masked, match, value)
                if finding is not None:
                    taken_here[start:end] = b"\1" * (end - start)
                    found.append((match.start(), finding))
        found.sort(key=lambda item: item[0])
        return CaptureOutput(tuple(finding for _, finding in found))

    def given(self, name: str, text: str, today: date) -> SlotValue:
        """A value that a caller gives for a slot, read as the buyer's own words would be.

        Raises:
            ValueError: if the text does not say what the slot's type holds; says what would.
        """
        slot = self._slots[name]
        spans = sorted(self._spans(text.translate(_PLAIN), today), key=lambda span: span.start)
        if slot.type is SlotType.ENUM:
            wanted = "_".join(text.casefold().split())
            if wanted not in slot.values:
                raise ValueError(f"not one of {', '.join(slot.values)}")
            return SlotValue(wanted, text)
        if kinds := _TYPED.get(slot.type):
            span = next((span for span in spans if span.kind in kinds), None)
            if span is None:
                raise ValueError(f"says no {slot.type.value}; expected one like {_SAMPLES[slot.type]}")
            return self._value(slot, span, text, 0, 1.0, 0)
        named = next((span for span in spans if span.text and span.kind not in SPANS[:-1]), None)
        return SlotValue(named.text if named and slot.type is not SlotType.TEXT else " ".join(text.split()), text)

    def _value(self, slot: Slot, span: _Span, quote: str, quote_start: int, confidence: float, turn: int) -> SlotValue:
        typed, text = span.typed, span.text
        if slot.type is SlotType.MONEY and isinstance(typed, Amount) and not typed.unit:
            typed = replace(typed, unit=self._currency)
            text = amount_text(typed)
        return SlotValue(text, quote, quote_start, confidence, turn, typed)

    # -- masking

    def _mask(self, message: str, today: date) -> _Masked:
        plain = message.translate(_PLAIN)
        spans = sorted(self._spans(plain, today), key=lambda span: (span.start, -span.end))
        text: list[str] = []
        starts: list[int] = []
        masked: dict[int, _Span] = {}
        at = 0
        for span in spans:
            if span.start < at:
                continue
            _copy(plain, at, span.start, text, starts)
            masked[len(starts)] = span
            text.append(self._masks[span.kind])
            starts.append(span.start)
            at = span.end
        _copy(plain, at, len(plain), text, starts)
        starts.append(len(message))
        whole = "".join(text)
        sentences = (0, *(match.end() for match in _SENTENCE.finditer(whole)))
        return _Masked(message, whole, whole.lower(), tuple(starts), masked, sentences)

    def _spans(self, message: str, today: date) -> Iterator[_Span]:
        for period in periods(message, today):
            yield _Span("period", period.start, period.end, period.text, period.period)
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
                    yield _Span(name, match.start(), match.end(), canonical)

    def _compiled(self, slot: Slot, cue: Cue) -> _CompiledCue:
        span = None if cue.value else _span_placeholder(cue.pattern)
        masks = (
            frozenset(self._masks.get(kind, "") for kind in span[1].split("|"))
            if span and not cue.retract
            else frozenset()
        )
        pattern = self._compile(cue.pattern, span.start() if span else -1)
        unless = self._compile(cue.unless, -1) if cue.unless else None
        return _CompiledCue(slot, cue, pattern, unless, masks if "" not in masks else frozenset())

    def _compile(self, pattern: str, span_at: int) -> re.Pattern[str]:
        """The pattern with its placeholders filled in; the one at `span_at` is captured."""

        def expand(match: re.Match[str]) -> str:
            kinds = match[1].split("|")
            group = "(?P<span>" if match.start() == span_at else "(?:"
            if kinds == ["clause"]:
                return f"{group}{_CLAUSE})(?={_CLAUSE_END})"
            options = "".join(self._masks[kind] for kind in kinds if kind != "name")
            return group + "|".join([f"[{options}]"] * bool(options) + [_NAME] * ("name" in kinds)) + ")"

        whole = rf"(?<!\w)(?=[\w{chr(_FIRST_MASK)}-{chr(_LAST_MASK)}])(?:{_PLACEHOLDER.sub(expand, pattern)})(?!\w)"
        # Without capitals it runs on the lower-cased text: a third of the time that ignoring case takes.
        return re.compile(whole, re.IGNORECASE if _CAPITAL.search(whole) else re.NOFLAG)

    # -- from a match to a finding

    def _finding(
        self, compiled: _CompiledCue, masked: _Masked, match: re.Match[str], value: CaptureInput
    ) -> Finding | None:
        cue, slot = compiled.cue, compiled.slot
        sentence_start, sentence_end = masked.sentence(match.start(), match.end())
        if compiled.unless and compiled.unless.search(masked.read_by(compiled.unless), sentence_start, sentence_end):
            return None
        start, end = _place(match)
        span = masked.spans.get(start) if end == start + 1 else None
        if cue.retract:
            named = span.text if span else masked.quote(start, end)[1] if match.groupdict().get("span") else ""
            return self._retraction(slot, cue.value or named, value.known)
        negated_from = max(sentence_start, match.start() - _NEGATION_CHARS_MAX)
        negated = bool(_NEGATED.search(masked.text, negated_from, match.start()))
        quote_start, quote = masked.quote(start, end)
        if not quote:
            return None
        if span and not cue.value:
            slot_value = self._value(slot, span, quote, quote_start, cue.confidence, value.turn)
        else:
            text = cue.value or " ".join(quote.split())
            slot_value = SlotValue(text, quote, quote_start, cue.confidence, value.turn)
        if negated:
            # "Price is not the issue": said of something that was known, it takes it back.
            known = slot.type is SlotType.ENUM and any(
                slot_value.same_as(old) for old in value.known.get(slot.name, ())
            )
            return Finding(slot.name, slot_value, retracted=True) if known else None
        return Finding(slot.name, slot_value)

    @staticmethod
    def _retraction(slot: Slot, text: str, known: Slots) -> Finding | None:
        if slot.name not in known:
            return None
        return Finding(slot.name, SlotValue(text) if text else None, retracted=True)


def _span_placeholder(pattern: str) -> re.Match[str] | None:
    """The placeholder whose span is the quote: the clause, or the first one."""
    if "(?P<span>" in pattern:
        return None
    found = list(_PLACEHOLDER.finditer(pattern))
    return next((match for match in found if match[1] == "clause"), found[0] if found else None)


def _place(match: re.Match[str]) -> tuple[int, int]:
    """Where the captured span stands in the masked text, or the whole match without one."""
    return match.span("span") if match.groupdict().get("span") is not None else match.span()


def _copy(message: str, start: int, end: int, text: list[str], starts: list[int]) -> None:
    """Appends [start, end) of a message and where each character stands, runs of blanks as one."""
    for blank in _BLANKS.finditer(message, start, end):
        text += [message[start : blank.start()], " "]
        starts += range(start, blank.start() + 1)
        start = blank.end()
    text.append(message[start:end])
    starts += range(start, end)


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


def _span_of(figure: Figure) -> _Span:
    kind = {Kind.MONEY: "money", Kind.PERCENT: "percent", Kind.COUNT: "quantity", Kind.NUMBER: "number"}[figure.kind]
    units = {figure.unit, *(unit.removesuffix("s") for unit in figure.unit.split())}
    if kind == "quantity" and not (_MEASURES | _NO_GOODS).isdisjoint(units):
        kind = "measure"
    if kind == "number" and not figure.digits and figure.max <= _SMALL:
        kind = "quantity"
    amount = Amount(figure.min, figure.max, figure.unit, figure.per)
    return _Span(kind, figure.start, figure.end, amount_text(amount), amount)


def amount_text(amount: Amount) -> str:
    """An amount as it is stored for reading: "50000 USD", "300-400 USD per month", "50 seats"."""
    figure = f"{amount.min:.15g}" if amount.min == amount.max else f"{amount.min:.15g}-{amount.max:.15g}"
    unit = f" {amount.unit}" if amount.unit else ""
    return figure + unit + "".join(f" per {part}" for part in amount.per.split("/") if part)
