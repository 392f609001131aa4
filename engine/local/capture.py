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
from dataclasses import dataclass
from datetime import date

from engine import reading
from engine.conversation import Finding, Slots, SlotValue
from engine.domain import Cue, Slot, SlotType
from engine.reading import FIRST_MASK, LAST_MASK, Reader, Span
from engine.stages import CaptureInput, CaptureOutput

# A number: the flag's own arithmetic takes longer than many a search.
_IGNORES_CASE = int(re.IGNORECASE)
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
_SENTENCE = re.compile(r"(?<=[.!?\n])\s+")
# Cues are written with straight apostrophes and single blanks.
_BLANKS = re.compile(r"[^\S\n]{2,}|[^\S\n ]")


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
    spans: dict[int, Span]
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

    def __init__(self, reader: Reader) -> None:
        domain = reader.domain
        self._slots = domain.slots_by_name
        self._reader = reader
        self._masks = {kind: chr(FIRST_MASK + number) for number, kind in enumerate(self._reader.kinds)}
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

    # -- masking

    def _mask(self, message: str, today: date) -> _Masked:
        plain = reading.plain(message)
        spans = sorted(self._reader.spans(plain, today), key=lambda span: (span.start, -span.end))
        text: list[str] = []
        starts: list[int] = []
        masked: dict[int, Span] = {}
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

        whole = rf"(?<!\w)(?=[\w{chr(FIRST_MASK)}-{chr(LAST_MASK)}])(?:{_PLACEHOLDER.sub(expand, pattern)})(?!\w)"
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
            slot_value = self._reader.typed(slot, span, quote, quote_start, cue.confidence, value.turn)
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
