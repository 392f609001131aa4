"""Dates and periods in what buyers write, understood from the day on which they write it."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.local import periods as reader
from engine.local.periods import periods

# A Wednesday.
TODAY = date(2027, 3, 17)


def read(text: str, today: date = TODAY) -> list[tuple[str, str]]:
    return [(text[found.start : found.end], found.text) for found in periods(text, today)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("2027-05-04", "2027-05-04"),
        ("5/4", "2027-05-04"),
        ("5/4/28", "2028-05-04"),
        ("25/12/2027", "2027-12-25"),
        ("4.5.2028", "2028-05-04"),
        ("4.5.", "2027-05-04"),
        ("May 4th", "2027-05-04"),
        ("May 4, 2028", "2028-05-04"),
        ("march 1st", "2028-03-01"),
        ("the 4th of May", "2027-05-04"),
        ("4 may 2028", "2028-05-04"),
        ("May 2028", "2028-05"),
        ("May next year", "2028-05"),
        ("sept this year", "2027-09"),
        ("the 20th", "2027-03-20"),
        ("the 2nd", "2027-04-02"),
        ("Q3", "2027-Q3"),
        ("q1", "2027-Q1"),
        ("Q1 2029", "2029-Q1"),
        ("q2 next year", "2028-Q2"),
        ("the third quarter of 2028", "2028-Q3"),
        ("the last quarter", "2027-Q4"),
        ("H2", "2027-07-01/2027-12-31"),
        ("h1 2028", "2028-01-01/2028-06-30"),
        ("the second half of the year", "2027-07-01/2027-12-31"),
        ("the first half of next year", "2028-01-01/2028-06-30"),
        ("EOY", "2027-12-31"),
        ("eom", "2027-03-31"),
        ("eoq", "2027-03-31"),
        ("year-end", "2027-12-31"),
        ("this month end", "2027-03-31"),
        ("eow", "2027-03-21"),
        ("eod", "2027-03-17"),
        ("this week", "2027-03-15/2027-03-21"),
        ("next week", "2027-03-22/2027-03-28"),
        ("this weekend", "2027-03-20/2027-03-21"),
        ("next weekend", "2027-03-27/2027-03-28"),
        ("this month", "2027-03"),
        ("next month", "2027-04"),
        ("next quarter", "2027-Q2"),
        ("next year", "2028"),
        ("next summer", "2027-06-01/2027-08-31"),
        ("this winter", "2027-12-01/2028-02-29"),
        ("on friday", "2027-03-19"),
        ("next friday", "2027-03-26"),
        ("next monday", "2027-03-22"),
        ("on wednesday", "2027-03-24"),
        ("Thursday", "2027-03-18"),
        ("in May", "2027-05"),
        ("in february", "2028-02"),
        ("November", "2027-11"),
        ("in two weeks", "2027-03-31"),
        ("in 10 days", "2027-03-27"),
        ("in a couple of months", "2027-05-17"),
        ("in about three years", "2030-03-17"),
        ("within a quarter", "2027-03-17/2027-06-17"),
        ("over the next few weeks", "2027-03-17/2027-04-07"),
        ("the next two months", "2027-03-17/2027-05-17"),
        ("a year from now", "2028-03-17"),
        ("today", "2027-03-17"),
        ("tomorrow", "2027-03-18"),
        ("day after tomorrow", "2027-03-19"),
        ("asap", "2027-03-17"),
        ("2029", "2029"),
    ],
)
def test_dates_and_periods_are_understood_and_lie_ahead(text: str, name: str) -> None:
    assert read(text) == [(text, name)]


@pytest.mark.parametrize(
    ("text", "name", "first", "last"),
    [
        ("by friday", "by 2027-03-19", "", "2027-03-19"),
        ("until the end of May", "by 2027-05-31", "", "2027-05-31"),
        ("by the end of May", "by 2027-05-31", "", "2027-05-31"),
        ("no later than May 4th", "by 2027-05-04", "", "2027-05-04"),
        ("before May 4th", "by 2027-05-03", "", "2027-05-03"),
        ("after May 4th", "from 2027-05-05", "2027-05-05", ""),
        ("from May 4th", "from 2027-05-04", "2027-05-04", ""),
        ("since friday", "from 2027-03-12", "2027-03-12", ""),
        ("since May 4th", "from 2026-05-04", "2026-05-04", ""),
        ("since March 3rd 2027", "from 2027-03-03", "2027-03-03", ""),
        ("starting in June", "from 2027-06-01", "2027-06-01", ""),
        ("at the end of June", "2027-06-21/2027-06-30", "2027-06-21", "2027-06-30"),
        ("late June", "2027-06-21/2027-06-30", "2027-06-21", "2027-06-30"),
        ("early in June", "2027-06-01/2027-06-10", "2027-06-01", "2027-06-10"),
        ("the beginning of June", "2027-06-01/2027-06-10", "2027-06-01", "2027-06-10"),
        ("mid-June", "2027-06-10/2027-06-21", "2027-06-10", "2027-06-21"),
        ("during the summer", "2027-06-01/2027-08-31", "2027-06-01", "2027-08-31"),
        ("before christmas", "by 2027-12-24", "", "2027-12-24"),
        ("by the end of the month", "by 2027-03-31", "", "2027-03-31"),
    ],
)
def test_an_edge_opens_or_narrows_a_period(text: str, name: str, first: str, last: str) -> None:
    (found,) = periods(text, TODAY)
    assert (found.text, found.period.first_day, found.period.last_day) == (name, first, last)


@pytest.mark.parametrize(
    "text",
    [
        "we may buy, it may be",
        "mar the table",
        "the sun",
        "the year",
        "in the year",
        "spring",
        "24/7",
        "32/1",
        "31/31",
        "5/4/1",
        "1/2/3/4",
        "Feb 30",
        "30.2.2027",
        "the 45th",
        "Q5",
        "0000-00-00",
        "10000-01-01",
        "May 5 %",
        "$2029",
        "version-2029",
        "the 2nd best option",
        "before 0001-01-01",
        "after 9999-12-31",
        "in 999 yearss",
    ],
)
def test_what_is_no_date_or_cannot_be_one_is_left_alone(text: str) -> None:
    assert read(text) == []


def test_several_periods_are_found_in_their_order() -> None:
    assert [name for _, name in read("Either Q3 or by friday, else next year.")] == ["2027-Q3", "by 2027-03-19", "2028"]


@pytest.mark.parametrize(
    ("today", "text", "name"),
    [
        (date(2027, 12, 31), "tomorrow", "2028-01-01"),
        (date(2027, 12, 15), "next month", "2028-01"),
        (date(2027, 11, 15), "next quarter", "2028-Q1"),
        (date(2027, 1, 31), "in a month", "2027-02-28"),
        (date(2028, 2, 29), "in a year", "2029-02-28"),
        (date(2027, 12, 25), "by christmas", "by 2027-12-25"),
        (date(2027, 12, 26), "by christmas", "by 2028-12-25"),
        (date(2027, 3, 21), "next sunday", "2027-03-28"),
        (date(2027, 3, 21), "next week", "2027-03-22/2027-03-28"),
        (date(2027, 12, 31), "the 1st", "2028-01-01"),
        (date(9999, 12, 31), "tomorrow", None),
    ],
)
def test_periods_run_over_the_ends_of_months_and_years(today: date, text: str, name: str | None) -> None:
    assert [found for _, found in read(text, today)] == ([name] if name else [])


@pytest.mark.parametrize("text", ["by frİday", "on ſunday", "in fİve weeks", "by chrıstmas", "in aprıl", "thİs week"])
def test_letters_that_only_ignoring_case_takes_for_latin_ones_are_read_like_them(text: str) -> None:
    plain = text.translate(str.maketrans("İıſ", "iis"))
    assert read(text) == [(text, name) for _, name in read(plain)] != []


_WORDS = st.sampled_from(
    "by before the end of until after from in mid early late next this coming few couple a 1 2 31 45 999 2027 2028 1/2 "
    "13/12 1.2. 2027-02-30 q1 Q4 h2 eoy may march friday sun week month quarter year days weeks from now today spring "
    "winter christmas the first half of second quarter 4th th . , - / İ ı ſ 3 ٣".split()
)
_TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(st.tuples(_WORDS, st.sampled_from([" ", " ", "", "\u2003"])), max_size=12).map(
        lambda parts: "".join(word + gap for word, gap in parts)
    ),
)


@given(_TEXTS, st.dates())
@settings(deadline=None)
def test_any_text_on_any_day_gives_sound_periods_in_their_order(text: str, today: date) -> None:
    at = 0
    for found in periods(text, today):
        assert at <= found.start < found.end <= len(text)
        at = found.end
        first, last = found.period.first_day, found.period.last_day
        assert first or last
        assert not (first and last) or date.fromisoformat(first) <= date.fromisoformat(last)
        assert found.text


def test_every_way_of_saying_it_has_its_reader() -> None:
    kinds = set(reader._PERIOD.groupindex) - {"edge"}
    assert kinds == set(reader._READERS)
