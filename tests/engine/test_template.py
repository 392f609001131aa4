"""The lines of a pack: what they need, how they are filled, and how a broken one is refused."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.template import TemplateError, parse

LINE = "[For {quantity}, ]{product} is {price}.[ That comes to {total}.]"


@pytest.mark.parametrize(
    ("values", "rendered"),
    [
        ({"product": "Wren", "price": "$5"}, "Wren is $5."),
        ({"product": "Wren", "price": "$5", "quantity": "two"}, "For two, Wren is $5."),
        (
            {"product": "Wren", "price": "$5", "quantity": "two", "total": "$10"},
            "For two, Wren is $5. That comes to $10.",
        ),
        ({"product": "Wren", "total": "$10"}, None),
        ({}, None),
    ],
)
def test_a_line_is_filled_and_what_is_optional_goes_if_it_cannot_be(
    values: dict[str, str], rendered: str | None
) -> None:
    assert parse(LINE).render(values) == rendered


def test_a_line_knows_what_it_needs_and_what_it_may_use() -> None:
    assert parse(LINE).required == {"product", "price"}
    assert parse(LINE).names == {"product", "price", "quantity", "total"}


@pytest.mark.parametrize(
    ("line", "rendered"),
    [
        ("{{a}} [[b]]", "{a} [b]"),
        ("{{{name}}}", "{Ann}"),
        ("[[[{name}]]]", "[Ann]"),
        ("{name}{name}", "AnnAnn"),
        (" plain ", "plain"),
        ("[only this]", "only this"),
        ("[{missing}]", ""),
        ("[]x", "x"),
        ("", ""),
    ],
)
def test_brackets_written_twice_stand_for_themselves(line: str, rendered: str) -> None:
    assert parse(line).render({"name": "Ann"}) == rendered


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("a { b", "at 2"),
        ("a } b", "at 2"),
        ("{Name}", "at 0"),
        ("{}", "at 0"),
        ("[a [b] c]", "at 3"),
        ("a] b", "at 1"),
        ("[a", "never closed"),
    ],
)
def test_a_broken_line_is_refused_with_the_place(line: str, place: str) -> None:
    with pytest.raises(TemplateError, match=place):
        parse(line)


_NAMES = st.sampled_from(["product", "price", "vendor.name", "a1"])
_PIECES = st.one_of(
    st.text(max_size=8).map(lambda text: ("text", text)),
    _NAMES.map(lambda name: ("name", name)),
    st.tuples(st.text(max_size=4), _NAMES).map(lambda part: ("optional", part)),
)


def escaped(text: str) -> str:
    for bracket in "{}[]":
        text = text.replace(bracket, bracket * 2)
    return text


@given(st.lists(_PIECES, max_size=6), st.dictionaries(_NAMES, st.text(max_size=6)))
@settings(deadline=None)
def test_a_line_renders_exactly_its_parts(pieces: list[tuple[str, object]], values: dict[str, str]) -> None:
    line, expected = "", ""
    missing = False
    for kind, part in pieces:
        if isinstance(part, tuple):
            text, name = part
            line += f"[{escaped(text)}{{{name}}}]" if text else f"[{{{name}}}]"
            expected += text + values[name] if name in values else ""
        elif kind == "name":
            line += f"{{{part}}}"
            missing = missing or part not in values
            expected += values.get(str(part), "")
        else:
            # Of three brackets the first two stand for themselves: a part cannot be closed by the first.
            assume(not (line.endswith("]") and str(part).startswith("]")))
            line += escaped(str(part))
            expected += str(part)
    assert parse(line).render(values) == (None if missing else expected.strip())


@given(st.text(alphabet="{}[]a ", max_size=20))
@settings(deadline=None)
def test_any_line_is_parsed_or_refused(line: str) -> None:
    try:
        template = parse(line)
    except TemplateError:
        return
    assert template.render(dict.fromkeys(template.names, "x")) is not None
