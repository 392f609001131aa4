"""One reader of figures for both ends: what counts as a figure, of which kind, and where it stands."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import figures as reader
from engine.figures import Figure, Kind, could_grow, digit_runs, figures

MONEY, PERCENT, COUNT, NUMBER = Kind.MONEY, Kind.PERCENT, Kind.COUNT, Kind.NUMBER

Expected = tuple[str, Kind, float, float, str, str]


def read(text: str) -> list[Expected]:
    return [
        (text[found.start : found.end], found.kind, found.min, found.max, found.unit, found.per)
        for found in figures(text)
    ]


def one(text: str) -> Figure:
    (found,) = figures(text)
    return found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        (".5", 0.5),
        ("49.99", 49.99),
        ("1,200", 1200),
        ("1,234,567.89", 1_234_567.89),
        ("12,34,567", 1_234_567),
        ("1.200,50", 1200.5),
        ("3,5", 3.5),
        ("1.2k", 1200),
        ("3 million", 3_000_000),
        ("2 dozen", 24),
        ("5 lakh", 500_000),
        ("30+", 30),
        ("１２", 12),
        ("zero", 0),
        ("seven", 7),
        ("forty two", 42),
        ("forty-two", 42),
        ("a hundred", 100),
        ("a dozen", 12),
        ("half a million", 500_000),
        ("a couple hundred", 200),
        ("couple of thousand", 2000),
        ("fifty grand", 50_000),
        ("two and a half thousand", 2500),
        ("two thousand five hundred", 2500),
        ("one hundred and twenty", 120),
        ("one hundred and five", 105),
        ("twenty five hundred", 2500),
        ("three hundred and forty two thousand and six", 342_006),
    ],
)
def test_numbers_are_read_in_digits_and_in_words(text: str, value: float) -> None:
    assert read(text) == [(text, NUMBER, value, value, "", "")]


@pytest.mark.parametrize("text", ["half a", "a couple", "a few hundred", "and", "hundred", "a half"])
def test_words_that_are_no_number_by_themselves_are_none(text: str) -> None:
    assert figures(text) == []


@pytest.mark.parametrize(
    ("text", "value", "currency"),
    [
        ("$5", 5, "USD"),
        ("$.50", 0.5, "USD"),
        ("US$5", 5, "USD"),
        ("$5 USD", 5, "USD"),
        ("5 bucks", 5, "USD"),
        ("5-dollar", 5, "USD"),
        ("50 cents", 0.5, "USD"),
        ("$2m", 2_000_000, "USD"),
        ("£5", 5, "GBP"),
        ("twenty quid", 20, "GBP"),
        ("5 €", 5, "EUR"),
        ("1.200,50 €", 1200.5, "EUR"),
        ("chf 12", 12, "CHF"),
        ("Rs. 500", 500, "INR"),
        ("Rs.500", 500, "INR"),
        ("¥900", 900, "JPY"),
        ("fifty thousand dollars", 50_000, "USD"),
        ("$ fifty", 50, "USD"),
    ],
)
def test_money_has_its_currency_before_or_after(text: str, value: float, currency: str) -> None:
    assert read(text) == [(text, MONEY, value, value, currency, "")]


@pytest.mark.parametrize("text", ["5 %", "5%", "5 percent", "five pct", "5 per cent", "5-percent"])
def test_percentages(text: str) -> None:
    assert read(text) == [(text, PERCENT, 5, 5, "%", "")]


@pytest.mark.parametrize(
    ("text", "quote", "unit"),
    [
        ("we are 50 people now", "50 people", "people"),
        ("a 12-seat plan", "12-seat", "seat"),
        ("3 sales reps here", "3 sales reps", "sales reps"),
        ("two business days", "two business days", "business days"),
        ("4 support agents", "4 support agents", "support agents"),
        ("4 users always", "4 users", "users"),
        ("4  users", "4", ""),
        ("4 in stock", "4", ""),
        ("4 a", "4", ""),
        ("4 we're", "4", ""),
        ("4 seven", "4", ""),
    ],
)
def test_what_is_counted_is_the_noun_that_follows(text: str, quote: str, unit: str) -> None:
    found = figures(text)[0]
    assert (text[found.start : found.end], found.unit) == (quote, unit)
    assert found.kind is (COUNT if unit else NUMBER)


@pytest.mark.parametrize(
    ("text", "per"),
    [
        ("$49 per user per month", "seat/month"),
        ("$49/mo", "month"),
        ("£5 a head", "seat"),
        ("$49 each", "unit"),
        ("$49 for each user", "seat"),
        ("$49 apiece monthly", "unit/month"),
        ("$49 every year", "year"),
        ("$49 per month a month", "month"),
        ("$49 per moon", ""),
        ("$49 for eachother", ""),
    ],
)
def test_a_rate_is_read_with_its_figure(text: str, per: str) -> None:
    assert figures(text)[0].per == per
    assert (one(text).end == len(text)) is bool(per)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$300-400", [("$300-400", MONEY, 300, 400, "USD", "")]),
        ("300 to 400 dollars", [("300 to 400 dollars", MONEY, 300, 400, "USD", "")]),
        ("between $300 and $400", [("$300 and $400", MONEY, 300, 400, "USD", "")]),
        ("5 or 6 users", [("5 or 6 users", COUNT, 5, 6, "users", "")]),
        ("5 to 10 % a year", [("5 to 10 % a year", PERCENT, 5, 10, "%", "year")]),
        ("2 to 3 thousand", [("2 to 3 thousand", NUMBER, 2000, 3000, "", "")]),
        ("300 to 2k", [("300 to 2k", NUMBER, 300, 2000, "", "")]),
        ("$2-$3k", [("$2-$3k", MONEY, 2000, 3000, "USD", "")]),
        ("$300 to €400", [("$300", MONEY, 300, 300, "USD", ""), ("€400", MONEY, 400, 400, "EUR", "")]),
        ("400 to 300", [("400", NUMBER, 400, 400, "", ""), ("300", NUMBER, 300, 300, "", "")]),
        ("5 and 6", [("5", NUMBER, 5, 5, "", ""), ("6", NUMBER, 6, 6, "", "")]),
        ("fifty and six", [("fifty", NUMBER, 50, 50, "", ""), ("six", NUMBER, 6, 6, "", "")]),
        ("a hundred and counting", [("a hundred", NUMBER, 100, 100, "", "")]),
        ("5 to go", [("5", NUMBER, 5, 5, "", "")]),
        ("between you and 5", [("5", NUMBER, 5, 5, "", "")]),
    ],
)
def test_ranges_have_two_ends_of_one_kind(text: str, expected: list[Expected]) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "at 9:30 or 9.30.15",
        "at 5pm",
        "at 5 pm",
        "the 3rd",
        "1/2/2027",
        "MP3",
        "GPT-4",
        "#12",
        "1..2",
        "9" * 14,
        "$1" + "0" * 400,
        "hundred " * 3,
        "one " + "hundred " * 200,
    ],
)
def test_clock_times_dates_ordinals_names_and_what_nobody_means_are_no_figures(text: str) -> None:
    assert figures(text) == []


def test_a_size_that_follows_a_number_and_a_dash_is_still_counted() -> None:
    assert [found.max for found in figures("10k-12k")] == [12_000]
    assert [found.max for found in figures("K-12")] == []


def test_digits_and_words_are_told_apart() -> None:
    assert one("5 users").digits
    assert not one("five users").digits
    assert one("five to 6 users").digits


_TOKENS = st.sampled_from(
    "$ 49 1,200 .5 1.2k , . - – / # % us$ rs . euros cents fifty forty hundred thousand million a an and half couple of "
    "between to or per for each user month seats people business days am th ’ one zero".split()
)
_TEXTS = st.one_of(
    st.text(max_size=80),
    st.lists(st.tuples(_TOKENS, st.sampled_from([" ", "", "\n", "  "])), max_size=20).map(
        lambda parts: "".join(token + gap for token, gap in parts)
    ),
)


@given(_TEXTS)
@settings(deadline=None)
def test_figures_stand_in_order_never_overlap_and_have_finite_ends(text: str) -> None:
    at = 0
    for found in figures(text):
        assert at <= found.start < found.end <= len(text)
        assert text[found.start : found.end].strip() == text[found.start : found.end]
        assert 0 <= found.min <= found.max < 1e13
        assert (found.kind is NUMBER) == (not found.unit)
        at = found.end


@given(_TEXTS)
@settings(deadline=None)
def test_every_digit_is_in_a_run_of_digits_and_runs_are_digits_at_both_ends(text: str) -> None:
    runs = digit_runs(text)
    inside = {place for start, end in runs for place in range(start, end)}
    assert all(place in inside for place, char in enumerate(text) if char.isdecimal())
    assert all(text[start].isdecimal() and text[end - 1].isdecimal() for start, end in runs)


@given(_TEXTS, _TEXTS)
@settings(deadline=None)
def test_what_could_not_grow_reads_the_same_whatever_follows(text: str, more: str) -> None:
    settled = could_grow(text)
    assert 0 <= settled <= len(text)
    before = [(found.start, found.min, found.max) for found in figures(text[:settled])]
    after = [(found.start, found.min, found.max) for found in figures(text + more) if found.start < settled]
    assert before == after


@pytest.mark.parametrize(
    "unit",
    ["a ", "1 ", "$", "- ", "one hundred ", "hundred and a half ", "5 to ", "between ", "half a ", "1,", "#1-", ". "],
)
def test_the_parser_looks_at_a_hostile_text_in_linear_time(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    class Counting(reader._Parser):
        def word(self, at: int) -> str:
            nonlocal looks
            looks += 1
            return super().word(at)

    monkeypatch.setattr(reader, "_Parser", Counting)
    text = unit * (8000 // len(unit))
    figures(text)
    assert looks <= 60 * len(text)
