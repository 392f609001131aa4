"""Finds the figures in a text: money, percentages, counts and bare numbers.

Both ends of the service read numbers here: capture, to learn what the buyer has said,
and the price guard, to check what the agent is about to say. A figure that one of them
sees and the other does not would be a hole, so there is one reader.

Understood are digits ("1,200", "49.99", "1.2k", "3 million"), words ("fifty grand",
"two and a half thousand", "a couple hundred"), currencies before or after, ranges
("between 300 and 400", "300-400", "5 to 10 %") and rates ("$49 per user per month",
"£5/mo"). Not figures are clock times, dates, ordinals, and digits inside a word ("MP3").

The text is cut into tokens, and a small recursive-descent parser walks over them once:

    figure  = ["between"] bound [("-" | "to" | "or" | "and") bound] {rate}
    bound   = [currency] scalar [currency | percent | noun]
    scalar  = digits [scale] | words
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum


class Kind(StrEnum):
    """What a figure counts."""

    MONEY = "money"
    PERCENT = "percent"
    COUNT = "count"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number or a range as it stands in a text, in code points [start, end)."""

    start: int
    end: int
    kind: Kind
    min: float
    max: float
    # ISO 4217 for money, "%" for percentages, the counted noun for counts, else "".
    unit: str = ""
    # "month", "year", "seat" …, joined by "/" where there are several.
    per: str = ""
    # False where the number was written out in words.
    digits: bool = True


_ONES = {
    word: float(value)
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen".split()
    )
}
_TENS = {
    word: 10.0 * (index + 2)
    for index, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split())
}
_SCALES = {
    "hundred": 1e2, "hundreds": 1e2, "dozen": 12.0, "grand": 1e3, "thousand": 1e3, "thousands": 1e3,
    "lakh": 1e5, "lakhs": 1e5, "mil": 1e6, "million": 1e6, "millions": 1e6, "crore": 1e7, "crores": 1e7,
    "billion": 1e9,
}  # fmt: skip
# Scales only where they touch the digits: "1.2k".
_GLUED_SCALES = {"k": 1e3, "m": 1e6, "mn": 1e6, "mm": 1e6, "bn": 1e9}
_CURRENCIES = {
    "$": "USD", "us$": "USD", "usd": "USD", "dollar": "USD", "dollars": "USD", "buck": "USD", "bucks": "USD",
    "€": "EUR", "eur": "EUR", "euro": "EUR", "euros": "EUR",
    "£": "GBP", "gbp": "GBP", "pound": "GBP", "pounds": "GBP", "quid": "GBP",
    "¥": "JPY", "jpy": "JPY", "yen": "JPY", "chf": "CHF", "francs": "CHF",
    "₹": "INR", "inr": "INR", "rs": "INR", "rupee": "INR", "rupees": "INR",
}  # fmt: skip
_CENTS = frozenset({"cent", "cents", "¢"})
_BEFORE = frozenset({"$", "us$", "usd", "€", "eur", "£", "gbp", "¥", "jpy", "chf", "₹", "inr", "rs"})
_PERCENT = frozenset({"%", "percent", "pct"})
_RATES = {
    "mo": "month", "mth": "month", "month": "month", "yr": "year", "year": "year", "annum": "year",
    "week": "week", "wk": "week", "day": "day", "hour": "hour", "hr": "hour", "night": "night",
    "user": "seat", "seat": "seat", "head": "seat", "person": "seat", "agent": "seat", "employee": "seat",
    "licence": "seat", "license": "seat", "unit": "unit", "piece": "unit", "item": "unit",
}  # fmt: skip
_RATE_ADVERBS = {
    "each": "unit", "apiece": "unit", "monthly": "month", "yearly": "year", "annually": "year", "weekly": "week",
}  # fmt: skip
# Words that may follow a number without being what it counts.
_NOT_COUNTED = frozenset(
    "a about above after again ago all also always am an and any anyway are around as at away back be because been "
    "before being below but by can cash come could did do does down each else even ever extra final firm flat for free "
    "from get gets go going good got had has have he her here hers him his how however i if in instead into is it its "
    "just let like ll made make max maximum may maybe me might min minimum more most much must my nice no nor not now "
    "of off ok okay on only or otherwise our out over per please plus quite rather re really right s seems she should "
    "so some still sure take than thanks that the their them then there these they this those though til till to "
    "today together tomorrow tonight too total tops under until up upfront us ve very was way we well were what when "
    "where which while who why will with within without works would yes yet you your sounds pm oclock since monthly "
    "yearly annually apiece whatever also asap because considering deal delivered delivery either fair fine great "
    "here immediately including included instead lol negotiable obo perfect picked pickup pick plz pls reasonable seem "
    "sharp shipped sir sound then though tops unless versus vs work worth haha hmm bro man thanks thank "
    "definitely left otherwise perhaps probably looks feels too".split()
)
_ORDINAL = frozenset({"st", "nd", "rd", "th"})
_CLOCK = frozenset({"am", "pm", "o'clock", "oclock"})

# What holds a figure together, besides numbers and units.
_JOINTS = frozenset("a an and half third quarter ½ couple between from to or of per - – — /".split())
_STARTS = frozenset({*_ONES, *_TENS, *_BEFORE, "a", "an", "half", "couple", "between"})

_TOKEN = re.compile(
    r"(?P<digits>\d(?:[\d.,:/]*\d)?|(?<!\w)\.\d+)|(?P<word>us\$|[^\W\d_][^\W_]*(?:['’][^\W\d_]+)?)|(?P<symbol>[^\w\s])",
    re.IGNORECASE,
)
# Beyond it a float no longer tells cents apart, and nobody means it.
_LARGEST = 1e13
_PLAIN = re.compile(r"\d*\.?\d+")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_INDIAN = re.compile(r"\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?")
_CONTINENTAL = re.compile(r"\d{1,3}(?:\.\d{3})+,\d{1,2}|\d+,\d{1,2}")


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    start: int
    end: int
    digits: bool


@dataclass(frozen=True, slots=True)
class _Scalar:
    value: float
    next: int
    digits: bool
    scale: float = 1.0


def figures(text: str) -> list[Figure]:
    """The figures of a text, in their order, never overlapping."""
    return _Parser(text).figures()


def digit_runs(text: str) -> list[tuple[int, int]]:
    """Where digits stand in a text, figures or not, as [start, end) in code points."""
    return [match.span() for match in re.finditer(r"\d(?:[\d.,:/]*\d)?", text)]


def could_grow(text: str) -> int:
    """From which offset on a longer text might read as another figure than it does now.

    For readers of a stream: what stands before the offset is settled.
    """
    parser = _Parser(text)
    tokens = parser.tokens
    at = len(tokens)
    while at and _may_belong(tokens[at - 1]):
        at -= 1
    # One word more: it may be a noun, a rate or a scale that the next piece completes.
    for _ in range(2):
        if at and not _ends_sentence(text, tokens[:at]):
            at -= 1
            while at and _may_belong(tokens[at - 1]):
                at -= 1
    offset = _word_start(text, tokens[at].start if at < len(tokens) else len(text))
    # A figure of several words ("two business days") is not cut between them.
    for figure in reversed(parser.figures()):
        if figure.start < offset < figure.end:
            offset = _word_start(text, figure.start)
    return offset


def _word_start(text: str, offset: int) -> int:
    """The offset, or where what it would cut in two starts: "K49.99" is one."""
    while offset and not text[offset - 1].isspace():
        offset -= 1
    return offset


def _ends_sentence(text: str, tokens: list[_Token]) -> bool:
    token = tokens[-1]
    abbreviated = len(tokens) > 1 and tokens[-2].text in _BEFORE
    return token.text in ".!?" and text[token.end : token.end + 1].isspace() and not abbreviated


def _may_belong(token: _Token) -> bool:
    word = token.text
    return (
        token.digits
        or word in _ONES
        or word in _TENS
        or word in _SCALES
        or word in _CURRENCIES
        or word in _PERCENT
        or word in _RATES
        or word in _JOINTS
    )


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = [
            _Token(match[0].lower(), match.start(), match.end(), match.lastgroup == "digits")
            for match in _TOKEN.finditer(text)
        ]

    def figures(self) -> list[Figure]:
        found: list[Figure] = []
        at = 0
        while at < len(self.tokens):
            token = self.tokens[at]
            parsed = self.figure(at) if token.digits or token.text in _STARTS else None
            if parsed is None:
                at += 1
            else:
                figure, at = parsed
                found.append(figure)
        return found

    # -- the grammar: each returns what it read and the index of the next token

    def figure(self, at: int) -> tuple[Figure, int] | None:
        between = self.word(at) == "between"
        first = self.bound(at + between)
        if first is None:
            return None
        low, after = first
        figure, after = self.range(low, after, between=between)
        rates = []
        while rate := self.rate(after):
            name, after = rate
            rates.append(name)
        end = self.tokens[after - 1].end
        return replace(figure, end=end, per="/".join(dict.fromkeys(rates))), after

    def range(self, low: Figure, after: int, *, between: bool) -> tuple[Figure, int]:
        joint = self.word(after)
        if joint not in ({"and", "to", "-", "–", "—"} if between else {"to", "or", "-", "–", "—"}):
            return low, after
        second = self.bound(after + 1)
        if second is None:
            return low, after
        high, end = second
        if low.kind is Kind.MONEY and high.kind is Kind.NUMBER:
            high = replace(high, kind=low.kind, unit=low.unit)
        if low.kind is not Kind.NUMBER and (high.kind, high.unit) != (low.kind, low.unit):
            return low, after
        # "2 to 3 thousand" means the thousand for both; "300 to 2k" does not.
        scale = self._scale(after + 1)
        start = low.min * scale if low.min < high.max / scale else low.min
        if start >= high.max:
            return low, after
        return replace(high, start=low.start, min=start, digits=low.digits or high.digits), end

    def bound(self, at: int) -> tuple[Figure, int] | None:
        currency = _CURRENCIES[self.word(at)] if self.word(at) in _BEFORE else ""
        first = at + bool(currency)
        if currency and self.word(first) == "." and self.glued(first):
            first += 1
        scalar = self.scalar(first, money=bool(currency))
        if scalar is None:
            return None
        start = self.tokens[at if currency else first].start
        figure = Figure(start, 0, Kind.NUMBER, scalar.value, scalar.value, digits=scalar.digits)
        after = scalar.next
        if self.word(after) == "+" and self.glued(after):
            after += 1
        if currency:
            figure = replace(figure, kind=Kind.MONEY, unit=currency)
            after += _CURRENCIES.get(self.word(after)) == currency
        else:
            figure, after = self.unit(figure, after)
        return replace(figure, end=self.tokens[after - 1].end), after

    def unit(self, figure: Figure, after: int) -> tuple[Figure, int]:
        dash = self.word(after) == "-" and self.glued(after) and self.glued(after + 1)
        word = self.word(after + dash)
        if word in _CURRENCIES and not (word in _BEFORE and self._starts_scalar(after + 1)):
            return replace(figure, kind=Kind.MONEY, unit=_CURRENCIES[word]), after + dash + 1
        if word in _CENTS:
            value = figure.min / 100
            return replace(figure, kind=Kind.MONEY, unit="USD", min=value, max=value), after + 1
        if word in _PERCENT:
            return replace(figure, kind=Kind.PERCENT, unit="%"), after + dash + 1
        if word == "per" and self.word(after + 1) == "cent":
            return replace(figure, kind=Kind.PERCENT, unit="%"), after + 2
        noun, end = self.noun(after + dash)
        if noun:
            return replace(figure, kind=Kind.COUNT, unit=noun), end
        return figure, after

    def noun(self, at: int) -> tuple[str, int]:
        word = self.word(at)
        if len(word) < 2 or not word[0].isalpha() or self._is_number_word(word) or "'" in word or "’" in word:
            return "", at
        if word in _NOT_COUNTED or self._gap(at) > 1:
            return "", at
        following = self.word(at + 1)
        compound = (
            len(following) > 3
            and following.endswith("s")
            and following not in _NOT_COUNTED
            and (word == "sales" or not word.endswith("s") or word.endswith("ss"))
            and self._gap(at + 1) == 1
        )
        return (f"{word} {following}", at + 2) if compound else (word, at + 1)

    def rate(self, at: int) -> tuple[str, int] | None:
        word = self.word(at)
        if word in _RATE_ADVERBS:
            return _RATE_ADVERBS[word], at + 1
        if word == "for" and self.word(at + 1) == "each":
            at += 1
            word = "each"
        if word in {"/", "per", "a", "an", "each", "every"} and self.word(at + 1) in _RATES:
            return _RATES[self.word(at + 1)], at + 2
        return None

    def scalar(self, at: int, *, money: bool = False) -> _Scalar | None:
        if at >= len(self.tokens):
            return None
        found = self._digits(at, money=money) if self.tokens[at].digits else self._words(at)
        return found if found and found.value < _LARGEST else None

    def _digits(self, at: int, *, money: bool) -> _Scalar | None:
        token = self.tokens[at]
        value = _value(token.text)
        if value is None or self._inside_word(at):
            return None
        after = self.word(at + 1)
        if self.glued(at + 1):
            if after in _ORDINAL or after in _CLOCK or (after in {":", "/"} and self._digit_at(at + 2)):
                return None
            if after in _GLUED_SCALES and (after != "m" or money):
                scale = _GLUED_SCALES[after]
                return _Scalar(value * scale, at + 2, digits=True, scale=scale)
        elif after in _CLOCK:
            return None
        if after in _SCALES:
            scale = _SCALES[after]
            return _Scalar(value * scale, at + 2, digits=True, scale=scale)
        return _Scalar(value, at + 1, digits=True)

    def _words(self, at: int) -> _Scalar | None:
        """Number words, by the usual rule: scales multiply what is pending, thousands close it."""
        start, total, pending, last = at, 0.0, 0.0, 1.0
        lead = self._lead(at)
        if lead is not None:
            pending, at = lead
            if self.word(at) not in _SCALES:
                return None
        while total + pending < _LARGEST:
            word = self.word(at)
            if word in _ONES and (pending == 0 or pending % 100 >= 20 or pending % 100 == 0) and pending % 10 == 0:
                pending += _ONES[word]
            elif word in _TENS and pending % 100 == 0:
                pending += _TENS[word]
            elif word in _SCALES and at > start:
                last = _SCALES[word]
                if last >= 1000:
                    total, pending = total + (pending or 1) * last, 0.0
                else:
                    pending = (pending or 1) * last
            elif word == "and" and at > start:
                if self.word(at + 1) == "a" and self.word(at + 2) == "half":
                    pending += 0.5
                    at += 2
                elif last > 1 and (self.word(at + 1) in _ONES or self.word(at + 1) in _TENS):
                    at += 1
                    continue
                else:
                    break
            elif word == "-" and self.glued(at) and (self.word(at + 1) in _ONES) and pending >= 20:
                pass
            else:
                break
            at += 1
        if at == start or (total + pending == 0 and self.word(start) != "zero"):
            return None
        return _Scalar(total + pending, at, digits=False, scale=last)

    def _lead(self, at: int) -> tuple[float, int] | None:
        """What may stand before a scale: "a", "half a", "a couple (of)", "a few" is too vague."""
        word = self.word(at)
        if word == "half" and self.word(at + 1) == "a":
            return 0.5, at + 2
        article = word in {"a", "an"}
        if self.word(at + article) == "couple":
            after = at + article + 1
            return 2.0, after + (self.word(after) == "of")
        return (1.0, at + 1) if article and self.word(at + 1) in _SCALES else None

    # -- looking at tokens

    def word(self, at: int) -> str:
        return self.tokens[at].text if 0 <= at < len(self.tokens) else ""

    def glued(self, at: int) -> bool:
        return 0 < at < len(self.tokens) and self.tokens[at - 1].end == self.tokens[at].start

    def _gap(self, at: int) -> int:
        return self.tokens[at].start - self.tokens[at - 1].end if 0 < at < len(self.tokens) else 9

    def _digit_at(self, at: int) -> bool:
        return 0 <= at < len(self.tokens) and self.tokens[at].digits

    def _starts_scalar(self, at: int) -> bool:
        return self._digit_at(at) or self.word(at) in _ONES or self.word(at) in _TENS

    def _is_number_word(self, word: str) -> bool:
        return word in _ONES or word in _TENS or word in _SCALES

    def _scale(self, at: int) -> float:
        scalar = self.scalar(at + (self.word(at) in _BEFORE), money=self.word(at) in _BEFORE)
        return scalar.scale if scalar else 1.0

    def _inside_word(self, at: int) -> bool:
        """True in "GPT-4" and "#12", where the digits are a name and not a figure."""
        if not self.glued(at):
            return False
        before = self.word(at - 1)
        if before != "-" or not self.glued(at - 1) or not self.word(at - 2)[-1:].isalpha():
            return before == "#"
        return not (self.word(at - 2) in _GLUED_SCALES and self._digit_at(at - 3))


def _value(digits: str) -> float | None:
    if _PLAIN.fullmatch(digits):
        return float(digits)
    if _THOUSANDS.fullmatch(digits) or _INDIAN.fullmatch(digits):
        return float(digits.replace(",", ""))
    if _CONTINENTAL.fullmatch(digits):
        return float(digits.replace(".", "").replace(",", "."))
    return None
