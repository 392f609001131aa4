"""No message can stall the readers of text: what they do is bounded by its length, in operations that are counted.

A regular expression's own steps cannot be counted from outside, so their shape is checked
instead: no repetition within a repetition unless each round of the outer one has to start
with a character that the inner one cannot take, and in what is looked for everywhere in a
message, no repetition without a bound that could run on over blanks.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from datetime import date
from functools import cache
from typing import Any

import pytest

from engine import figures, packs, periods, reading
from engine.local import capture
from engine.local.capture import Capture
from engine.reading import Reader
from engine.stages import CaptureInput

TODAY = date(2027, 3, 17)
CHARS = 8000
_parser: Any = importlib.import_module("re._parser")
_codes: Any = importlib.import_module("re._constants")
_REPEATS = {_codes.MAX_REPEAT, _codes.MIN_REPEAT, _codes.POSSESSIVE_REPEAT}
# Repetitions up to here are taken for bounded.
_BOUND = 200
_SAMPLE = [chr(code) for code in range(128)] + ["é", "\ue000"]


@cache
def reader(name: str) -> Capture:
    return Capture(Reader(packs.load(packs.BUILT_IN / name)))


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    yield "periods", periods._PERIOD
    yield "figures", figures._TOKEN
    yield "negation", capture._NEGATED
    yield "words", reading._WORD
    for name in packs.available():
        for cue in reader(name)._cues:
            yield f"{name} {cue.slot.name}", cue.pattern
            if cue.unless:
                yield f"{name} {cue.slot.name} unless", cue.unless


def inner(op: Any, arg: Any) -> list[Any]:
    """The sequences within one element of a parsed pattern."""
    if op in _REPEATS:
        return [arg[2]]
    if op is _codes.SUBPATTERN:
        return [arg[3]]
    if op is _codes.BRANCH:
        return list(arg[1])
    return [arg[1]] if op in {_codes.ASSERT, _codes.ASSERT_NOT} else []


def first_chars(sequence: Any) -> set[str]:
    """Of the sample, what a sequence can start with; all of it where that is not plain to see."""
    if not len(sequence):
        return set(_SAMPLE)
    op, arg = sequence[0]
    if op is _codes.BRANCH:
        return set().union(*map(first_chars, arg[1]))
    if op is _codes.SUBPATTERN:
        return first_chars(arg[3])
    if op in _REPEATS and arg[0] > 0:
        return first_chars(arg[2])
    return chars_of(op, arg)


def chars_of(op: Any, arg: Any) -> set[str]:
    if op is _codes.LITERAL:
        return {char for char in _SAMPLE if char.lower() == chr(arg).lower()}
    if op is not _codes.IN:
        return set(_SAMPLE)
    taken: set[str] = set()
    for kind, value in arg:
        if kind is _codes.RANGE:
            taken |= {char for char in _SAMPLE if value[0] <= ord(char) <= value[1]}
        elif kind is _codes.CATEGORY:
            letter = {"WORD": r"\w", "SPACE": r"\s", "DIGIT": r"\d"}.get(str(value).rsplit("_", maxsplit=1)[-1], ".")
            negated = "_NOT_" in str(value)
            taken |= {char for char in _SAMPLE if bool(re.match(letter, char)) is not negated}
        elif kind is _codes.LITERAL:
            taken.add(chr(value))
    return set(_SAMPLE) - taken if arg[0][0] is _codes.NEGATE else taken


def unbounded(sequence: Any, within: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The bodies of repetitions without a bound, each with those of the same kind around it."""
    for op, arg in sequence:
        without = op in _REPEATS and (arg[1] is _codes.MAXREPEAT or arg[1] > _BOUND)
        if without:
            yield arg[2], within
        for body in inner(op, arg):
            yield from unbounded(body, (*within, arg[2]) if without else within)


def runs_on(body: Any) -> bool:
    """Whether a repetition takes blanks and any word; a few words that are listed are few in a message."""
    classes, literals = set[str](), set[str]()
    parts = list(body)
    while parts:
        op, arg = parts.pop()
        if op is _codes.LITERAL:
            literals.add(chr(arg))
        elif op in {_codes.IN, _codes.ANY, _codes.NOT_LITERAL}:
            classes |= chars_of(op, arg)
        else:
            parts += [part for sequence in inner(op, arg) for part in sequence]
    return "q" in classes and " " in classes | literals


def test_no_repetition_in_a_repetition_can_share_a_text_in_many_ways() -> None:
    for where, pattern in patterns():
        for body, around in unbounded(_parser.parse(pattern.pattern, pattern.flags)):
            assert all(first_chars(outer).isdisjoint(first_chars(body)) for outer in around), (where, pattern.pattern)


def test_what_is_looked_for_everywhere_runs_on_over_blanks_for_a_bounded_length_only() -> None:
    for where, pattern in patterns():
        if where.endswith("unless"):
            continue  # looked for in a window of a bounded length
        for body, _ in unbounded(_parser.parse(pattern.pattern, pattern.flags)):
            assert not runs_on(body), (where, pattern.pattern)


def test_the_check_of_shapes_sees_what_it_is_made_for() -> None:
    def nested(pattern: str) -> bool:
        return any(
            first_chars(outer) & first_chars(body)
            for body, around in unbounded(_parser.parse(pattern))
            for outer in around
        )

    assert nested(r"(?:a+)+")
    assert nested(r"(?:\w+\s?)*")
    assert nested(r"(?:a|(?:b?a)*)*")
    assert not nested(r"(?:\s\w+)*")
    assert not nested(r"\w+(?:_[a-z]+)*")
    endless = {pattern: runs_on(_parser.parse(pattern)) for pattern in (r"\s\w", r"\S+ ", r"[^.]", r"the |a ", r"\w")}
    assert [pattern for pattern, found in endless.items() if found] == [r"\s\w", r"\S+ ", r"[^.]"]


_HOSTILE = [
    "a ",
    "$",
    "$ ",
    "not ",
    "1 ",
    "1",
    "1,",
    "1/",
    "$1 or ",
    "by ",
    "by the end of ",
    "in a couple of ",
    "the next ",
    "would you take ",
    "would you take 5 ",
    "my budget is ",
    "we keep losing ",
    "tired of ",
    "too expensive ",
    "too expensive. ",
    "looking at A ",
    "A ",
    "Aa",
    "really ",
    " ",
    "\n",
    "\t ",
    "'",
    "’s ",
    "(",
    "one hundred ",
    "may ",
    "\ue000",
    "😀",
    "İ",
]


@pytest.mark.parametrize("unit", _HOSTILE)
def test_what_capture_does_is_bounded_by_the_length_of_the_message(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at, searched = 0, 0
    message = unit * (CHARS // len(unit))
    reading = reader("sales")
    finding, sentence = Capture._finding, capture._Masked.sentence

    def counted(self: Capture, *args: Any) -> Any:
        nonlocal looked_at
        looked_at += 1
        return finding(self, *args)

    def bounds(self: capture._Masked, start: int, end: int) -> tuple[int, int]:
        nonlocal searched
        first, last = sentence(self, start, end)
        searched += last - first - (end - start)
        return first, last

    monkeypatch.setattr(Capture, "_finding", counted)
    monkeypatch.setattr(capture._Masked, "sentence", bounds)
    found = reading(CaptureInput(packs.load(packs.BUILT_IN / "support"), message, {}, TODAY, 1)).findings
    # Matches of one cue never overlap; of all cues, few look at the same words.
    assert looked_at <= 2 * CHARS
    assert searched <= looked_at * 2 * capture._CONTEXT_CHARS_MAX
    for one in found:
        assert one.value is not None
        assert message[one.value.quote_start :].startswith(one.value.quote)
