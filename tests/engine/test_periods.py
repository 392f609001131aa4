"""Dates and periods in what buyers write, understood from the day on which they write it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import periods as reader
from engine.days import READERS
from engine.periods import periods

# A Wednesday.
TODAY = date(2027, 3, 17)
SATURDAY = date(2026, 11, 21)


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


@pytest.mark.parametrize(
    ("text", "quote", "name", "first", "last"),
    [
        # A month with a preposition leaves its day alone.
        ("a table for March 2nd", "March 2nd", "2027-03-02", "2027-03-02", "2027-03-02"),
        ("for March 9th 2028", "March 9th 2028", "2028-03-09", "2028-03-09", "2028-03-09"),
        ("for March 2028", "March 2028", "2028-03", "2028-03-01", "2028-03-31"),
        ("put it in for March", "for March", "2027-03", "2027-03-01", "2027-03-31"),
        ("for one at 18:00 of March 9th.", "March 9th", "2027-03-09", "2027-03-09", "2027-03-09"),
        ("on April 15, 1919", "April 15, 1919", "1919-04-15", "1919-04-15", "1919-04-15"),
        # Days of a month.
        ("on the 8th of this month", "the 8th of this month", "2026-11-08", "2026-11-08", "2026-11-08"),
        ("8th of next month", "8th of next month", "2026-12-08", "2026-12-08", "2026-12-08"),
        ("by the first of the month", "by the first of the month", "by 2026-12-01", "", "2026-12-01"),
        ("the first of March", "the first of March", "2027-03-01", "2027-03-01", "2027-03-01"),
        ("the twenty-first of May", "the twenty-first of May", "2027-05-21", "2027-05-21", "2027-05-21"),
        ("since the 5th", "since the 5th", "from 2026-11-05", "2026-11-05", ""),
        ("on the 31st", "the 31st", "2026-12-31", "2026-12-31", "2026-12-31"),
        ("Friday, December 4th", "Friday, December 4th", "2026-12-04", "2026-12-04", "2026-12-04"),
        ("until Monday the 14th", "until Monday the 14th", "by 2026-12-14", "", "2026-12-14"),
        # Days of a week.
        ("Wednesday next week", "Wednesday next week", "2026-11-25", "2026-11-25", "2026-11-25"),
        ("next week Wednesday", "next week Wednesday", "2026-11-25", "2026-11-25", "2026-11-25"),
        ("next week on Wednesday", "next week on Wednesday", "2026-11-25", "2026-11-25", "2026-11-25"),
        ("Friday of next week", "Friday of next week", "2026-11-27", "2026-11-27", "2026-11-27"),
        ("Saturday this week", "Saturday this week", "2026-11-21", "2026-11-21", "2026-11-21"),
        ("Friday the week after next", "Friday the week after next", "2026-12-04", "2026-12-04", "2026-12-04"),
        ("from Monday next week", "from Monday next week", "from 2026-11-23", "2026-11-23", ""),
        ("this coming Friday", "this coming Friday", "2026-11-27", "2026-11-27", "2026-11-27"),
        ("a week from Monday", "a week from Monday", "2026-11-30", "2026-11-30", "2026-11-30"),
        ("15 days from today", "15 days from today", "2026-12-06", "2026-12-06", "2026-12-06"),
        ("a car for two weeks from Monday", "from Monday", "from 2026-11-23", "2026-11-23", ""),
        ("the day after tomorrow", "the day after tomorrow", "2026-11-23", "2026-11-23", "2026-11-23"),
        ("this evening", "this evening", "2026-11-21", "2026-11-21", "2026-11-21"),
        ("by Monday morning", "by Monday morning", "by 2026-11-23", "", "2026-11-23"),
        ("by EOD Friday", "by EOD Friday", "by 2026-11-27", "", "2026-11-27"),
        ("by end of day", "by end of day", "by 2026-11-21", "", "2026-11-21"),
        # Parts.
        ("the first week of May", "the first week of May", "2027-05-01/2027-05-07", "2027-05-01", "2027-05-07"),
        (
            "the last week of the month",
            "the last week of the month",
            "2026-11-24/2026-11-30",
            "2026-11-24",
            "2026-11-30",
        ),
        ("first week of the month", "first week of the month", "2026-12-01/2026-12-07", "2026-12-01", "2026-12-07"),
        ("second half of May", "second half of May", "2027-05-16/2027-05-31", "2027-05-16", "2027-05-31"),
        ("first week in May 2028", "first week in May 2028", "2028-05-01/2028-05-07", "2028-05-01", "2028-05-07"),
        ("first Monday of next month", "first Monday of next month", "2026-12-07", "2026-12-07", "2026-12-07"),
        ("last Friday of May", "last Friday of May", "2027-05-28", "2027-05-28", "2027-05-28"),
        ("the week of the 14th", "the week of the 14th", "2026-12-14/2026-12-20", "2026-12-14", "2026-12-20"),
        ("end of next month", "end of next month", "2026-12-21/2026-12-31", "2026-12-21", "2026-12-31"),
        ("by the end of next month", "by the end of next month", "by 2026-12-31", "", "2026-12-31"),
        ("by end of month", "by end of month", "by 2026-11-30", "", "2026-11-30"),
        ("until mid May", "until mid May", "by 2027-05-21", "", "2027-05-21"),
        ("before early May", "before early May", "by 2027-04-30", "", "2027-04-30"),
        ("from late May", "from late May", "from 2027-05-21", "2027-05-21", ""),
        ("middle of May", "middle of May", "2027-05-11/2027-05-21", "2027-05-11", "2027-05-21"),
        ("later this month", "later this month", "2026-11-21/2026-11-30", "2026-11-21", "2026-11-30"),
        ("later this week", "later this week", "2026-11-21/2026-11-22", "2026-11-21", "2026-11-22"),
        ("later today", "later today", "2026-11-21", "2026-11-21", "2026-11-21"),
        ("over the weekend", "over the weekend", "2026-11-21/2026-11-22", "2026-11-21", "2026-11-22"),
        ("the week after next", "the week after next", "2026-11-30/2026-12-06", "2026-11-30", "2026-12-06"),
    ],
)
def test_what_belongs_to_a_date_is_read_with_it(text: str, quote: str, name: str, first: str, last: str) -> None:
    (found,) = periods(text, SATURDAY)
    assert (text[found.start : found.end], found.text) == (quote, name)
    assert (found.period.first_day, found.period.last_day) == (first, last)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("from Monday to Friday", "2026-11-23", "2026-11-27"),
        ("from Friday to Monday", "2026-11-27", "2026-11-30"),
        ("from Monday until Friday", "2026-11-23", "2026-11-27"),
        ("Monday-Friday", "2026-11-23", "2026-11-27"),
        ("Monday to Friday next week", "2026-11-23", "2026-11-27"),
        ("between Monday and Friday", "2026-11-23", "2026-11-27"),
        ("the 5th to the 8th", "2026-12-05", "2026-12-08"),
        ("the 5th to 8th", "2026-12-05", "2026-12-08"),
        ("the 12th and 13th", "2026-12-12", "2026-12-13"),
        ("from the 28th to the 3rd", "2026-11-28", "2026-12-03"),
        ("the 10th to the 12th of this month", "2026-11-10", "2026-11-12"),
        ("from the 10th of this month till the 11th", "2026-11-10", "2026-11-11"),
        ("from Tuesday next week till March 11th", "2026-11-24", "2027-03-11"),
        ("March 2nd to 5th", "2027-03-02", "2027-03-05"),
        ("March 2nd and 3rd", "2027-03-02", "2027-03-03"),
        ("March 2 and 3", "2027-03-02", "2027-03-03"),
        ("March 2-5, 2028", "2028-03-02", "2028-03-05"),
        ("2–5 March", "2027-03-02", "2027-03-05"),
        ("the 5th to the 8th of March", "2027-03-05", "2027-03-08"),
        ("from Dec 20 to Jan 5", "2026-12-20", "2027-01-05"),
        ("Dec 20 to Jan 5, 2028", "2027-12-20", "2028-01-05"),
        ("2027-03-02 - 2027-03-05", "2027-03-02", "2027-03-05"),
        ("3/2-3/5", "2027-03-02", "2027-03-05"),
        ("from January to end of March", "2027-01-01", "2027-03-31"),
        ("from mid-March to early May", "2027-03-11", "2027-05-11"),
        ("from April to May", "2027-04-01", "2027-05-31"),
        ("March to May", "2027-03-01", "2027-05-31"),
        ("Sep-Dec", "2027-09-01", "2027-12-31"),
        ("Q1 to Q2 2028", "2028-01-01", "2028-06-30"),
        ("between Christmas and New Year", "2026-12-25", "2027-01-01"),
    ],
)
def test_from_one_date_to_another_is_one_period(text: str, first: str, last: str) -> None:
    (found,) = periods(f"yes, {text}.", SATURDAY)
    assert (found.start, found.end) == (5, 5 + len(text))
    assert (found.period.first_day, found.period.last_day) == (first, last)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("March 2nd or 9th", [("March 2nd", "2027-03-02"), ("9th", "2027-03-09")]),
        ("March 2nd and 3rd of April", [("March 2nd", "2027-03-02"), ("3rd of April", "2027-04-03")]),
        ("Monday or Tuesday", [("Monday", "2026-11-23"), ("Tuesday", "2026-11-24")]),
        ("move it from Monday to Friday", [("from Monday", "from 2026-11-23"), ("Friday", "2026-11-27")]),
        ("change the 5th to the 8th", [("the 5th", "2026-12-05"), ("8th", "2026-12-08")]),
        ("March 30th to 2nd", [("March 30th", "2027-03-30")]),
        ("March 2 to 5 people", [("March 2", "2027-03-02")]),
        ("by the 5th to Friday", [("by the 5th", "by 2026-12-05"), ("Friday", "2026-11-27")]),
        ("between Monday and whenever", [("Monday", "2026-11-23")]),
        ("2028 to Friday", [("2028", "2028"), ("Friday", "2026-11-27")]),
        ("the 5th and 6th floor", [("the 5th", "2026-12-05")]),
        ("10 to 15 may be enough", []),
        ("may to mar", []),
        ("the month to the year", []),
        ("this week to the year", [("this week", "2026-11-16/2026-11-22")]),
        ("the 5th -6 March", [("the 5th", "2026-12-05")]),
        ("5 -6 March", []),
        ("Q3-2028", [("Q3-2028", "2028-Q3")]),
        ("Mar-2028", [("Mar-2028", "2028-03")]),
        ("March 5-2028", [("March 5", "2027-03-05")]),
        ("from March 2nd to February 30th", [("from March 2nd", "from 2027-03-02")]),
        ("at the end of the day it is fine", []),
        ("from 5 to 8", []),
        ("the third half of May", []),
    ],
)
def test_what_is_no_range_is_not_read_as_one(text: str, expected: list[tuple[str, str]]) -> None:
    assert read(text, SATURDAY) == expected


@pytest.mark.parametrize(
    ("today", "text", "names"),
    [
        # Monday: what "this week" says is not the week before, nor the one after.
        (date(2026, 11, 16), "Wednesday to Friday next week", ["2026-11-25/2026-11-27"]),
        (date(2026, 11, 16), "next week Wednesday or Thursday", ["2026-11-25", "2026-11-26"]),
        (date(2026, 11, 16), "since the weekend", ["from 2026-11-14"]),
        (date(2026, 11, 16), "since christmas", ["from 2025-12-25"]),
        (date(2026, 11, 16), "since the 20th", ["from 2026-10-20"]),
    ],
)
def test_other_days_see_other_dates(today: date, text: str, names: list[str]) -> None:
    assert [name for _, name in read(text, today)] == names


@pytest.mark.parametrize("unit", ["to 5 to 5 ", "the 1st the 1st ", "March 2nd to ", "the 5th to the ", "monday-"])
def test_what_is_read_grows_with_the_text_and_no_faster(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = reader._closed
    times = 0

    def counted(*args: Any) -> Any:
        nonlocal times
        times += 1
        return closed(*args)

    monkeypatch.setattr(reader, "_closed", counted)
    repeated = 8000 // len(unit)
    periods(unit * repeated, TODAY)
    # Of a pair that is none each is read again by itself, and so is the next one's.
    assert times <= 2 * 4 * repeated


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
    "winter christmas the first half of second quarter 4th th . , - / İ ı ſ 3 ٣ to and or between 2nd 8th – later "
    "monday tomorrow weekend last after since 1st May".split()
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
    kinds = set(reader._PERIOD.groupindex) - {"bound", "part"}
    assert kinds == set(READERS)
