"""The days that the words for dates and periods mean, seen from a day: one reader for each way of saying it."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from datetime import date, timedelta

Span = tuple[date, date]
MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_name) if name}
MONTHS |= {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name} | {"sept": 9}
DAYS = {name.lower(): number for number, name in enumerate(calendar.day_name)}
DAYS |= {name.lower(): number for number, name in enumerate(calendar.day_abbr)} | {"tues": 1, "thurs": 3}
_SEASONS = {"spring": (3, 5), "summer": (6, 8), "fall": (9, 11), "autumn": (9, 11), "winter": (12, 2)}
_COUNTS = {word: number for number, word in enumerate(
    "zero one two three four five six seven eight nine ten eleven twelve".split()
)} | {"a": 1, "an": 1, "couple": 2, "a couple": 2, "couple of": 2, "a couple of": 2, "a few": 3, "few": 3}  # fmt: skip
_QUARTERS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": 4, "1st": 1, "2nd": 2, "3rd": 3, "4th": 4}
HOLIDAYS = {
    "christmas": (12, 25), "xmas": (12, 25), "new year": (1, 1), "new year's": (1, 1), "new years": (1, 1),
    "thanksgiving": (11, 26), "black friday": (11, 27), "easter": (4, 5), "the holidays": (12, 31),
}  # fmt: skip

ORDINALS = {word: number for number, word in enumerate(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth twentieth".split(), 1
)}  # fmt: skip
ORDINALS |= {f"twenty-{word}": 20 + number for word, number in ORDINALS.items() if number < 10}
ORDINALS |= {"thirtieth": 30, "thirty-first": 31}

PLAIN_DAY = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
COUNT = (
    r"\d{1,3}|a\scouple(?:\sof)?|(?:a\s)?few|couple\sof|an?|one|"
    r"two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
)
FIGURE = re.compile(r"(?<!\d)\d{1,2}(?:st|nd|rd|th)?\b")
NAME_OF_DAY = re.compile(PLAIN_DAY)


# -- spans of days


def month_of(year: int, month: int) -> Span:
    """All days of a month."""
    return date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1])


def quarter_of(year: int, quarter: int) -> Span:
    """All days of a quarter."""
    return date(year, 3 * quarter - 2, 1), month_of(year, 3 * quarter)[1]


def year_of(year: int) -> Span:
    """All days of a year."""
    return date(year, 1, 1), date(year, 12, 31)


def week_of(day: date) -> Span:
    """The week around a day, from Monday."""
    monday = day - timedelta(days=day.weekday())
    return monday, monday + timedelta(days=6)


def moved(day: date, count: int, unit: str) -> date:
    """The day so many days, weeks, months, quarters or years on."""
    if unit == "day":
        return day + timedelta(days=count)
    if unit == "week":
        return day + timedelta(weeks=count)
    months = count * {"month": 1, "quarter": 3, "year": 12}[unit] + day.month - 1
    year, month = day.year + months // 12, months % 12 + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def _ahead(span_in: Callable[[int], Span], today: date) -> Span:
    """The span in this year, or in the next one if it is over."""
    this_year = span_in(today.year)
    return this_year if this_year[1] >= today else span_in(today.year + 1)


def year_in(text: str, today: date) -> int | None:
    """The year that a text says, if it says one."""
    if match := re.search(r"\b((?:19|20)\d\d)\b", text):
        return int(match[1])
    return today.year + ("next year" in text) if "year" in text else None


# -- one reader for each way of saying it


def _read_numbers(text: str, today: date) -> Span:
    """Month first with slashes, day first with dots, and whichever the figures allow."""
    parts = [int(part) for part in re.split(r"[/.]", text) if part]
    month, day = (parts[1], parts[0]) if "." in text or parts[0] > 12 else (parts[0], parts[1])
    if len(parts) == 3:
        year = parts[2] + 2000 if parts[2] < 100 else parts[2]
        return (date(year, month, day),) * 2
    return _ahead(lambda year: (date(year, month, day),) * 2, today)


def _read_iso(text: str, today: date) -> Span:
    return (date.fromisoformat(text),) * 2


def _read_day_of_month(text: str, today: date) -> Span:
    month = next(number for name, number in MONTHS.items() if re.search(rf"\b{name}\b", text))
    day = _day_in(text)
    year = year_in(text, today)
    if year is not None:
        return (date(year, month, day),) * 2
    return _ahead(lambda year: (date(year, month, day),) * 2, today)


def _read_month(text: str, today: date) -> Span:
    month = next(number for name, number in MONTHS.items() if re.search(rf"\b{name}\b", text))
    year = year_in(text, today)
    return month_of(year, month) if year is not None else _ahead(lambda year: month_of(year, month), today)


def _read_dom(text: str, today: date) -> Span:
    day = _day_in(text)
    base = today if day >= today.day else moved(today.replace(day=1), 1, "month")
    if day > month_of(base.year, base.month)[1].day:
        base = moved(base.replace(day=1), 1, "month")
    return (date(base.year, base.month, day),) * 2


def _read_lead(text: str, today: date) -> Span:
    if not text.startswith("the "):
        raise ValueError("a figure")
    return _read_dom(text, today)


def _read_day_of_this_month(text: str, today: date) -> Span:
    if text.endswith("of the month"):
        return _read_dom(text, today)
    base = today if text.endswith("this month") else moved(today.replace(day=1), 1, "month")
    return (date(base.year, base.month, _day_in(text)),) * 2


def _day_in(text: str) -> int:
    if figure := digits(next(iter(FIGURE.findall(text)), "")):
        return int(figure)
    return next(ORDINALS[word] for word in text.split() if word in ORDINALS)


def digits(text: str) -> str:
    """The figure of "5th"."""
    return text.rstrip("stndrh")


def _read_nth(text: str, today: date) -> Span:
    """The first week of May, the last Friday of the month."""
    count, unit, whole = re.sub(r"\s(?:of|in)\s", " ", text.removeprefix("the "), count=1).split(maxsplit=2)
    named = next((number for name, number in MONTHS.items() if re.search(rf"\b{name}\b", whole)), None)
    if named is not None:
        year = year_in(whole, today)
        if year is not None:
            return _nth_of(count, unit, month_of(year, named))
        return _ahead(lambda year: _nth_of(count, unit, month_of(year, named)), today)
    span = _nth_of(count, unit, _read_relative(whole, today))
    if whole.startswith("the") and span[1] < today:
        return _nth_of(count, unit, _read_relative(whole.replace("the", "next"), today))
    return span


def _nth_of(count: str, unit: str, span: Span) -> Span:
    first, last = span
    number = _QUARTERS[count]
    if unit == "half":
        middle = first + timedelta(days=((last - first).days + 1) // 2 - 1)
        if number > 2 and count != "last":
            raise ValueError("there are two halves")
        return (first, middle) if number == 1 else (middle + timedelta(days=1), last)
    if unit == "week":
        start = last - timedelta(days=6) if count == "last" else first + timedelta(weeks=number - 1)
        return start, start + timedelta(days=6)
    day = first + timedelta(days=(DAYS[unit] - first.weekday()) % 7, weeks=number - 1)
    return (last - timedelta(days=(last.weekday() - DAYS[unit]) % 7) if count == "last" else day,) * 2


def _read_quarter(text: str, today: date) -> Span:
    digits = re.search(r"q([1-4])", text)
    quarter = int(digits[1]) if digits else next(n for word, n in _QUARTERS.items() if word in text)
    year = year_in(text, today)
    return quarter_of(year, quarter) if year is not None else _ahead(lambda year: quarter_of(year, quarter), today)


def _read_half(text: str, today: date) -> Span:
    second = "2" in text[:2] or "second" in text

    def half(year: int) -> Span:
        return (date(year, 7, 1), date(year, 12, 31)) if second else (date(year, 1, 1), date(year, 6, 30))

    year = year_in(text, today)
    return half(year) if year is not None else _ahead(half, today)


def _read_end_of(text: str, today: date) -> Span:
    unit = {"y": "year", "m": "month", "q": "quarter", "d": "day", "w": "week"}[text[2]]
    return (_current(unit, today)[1],) * 2


def _read_ending(text: str, today: date) -> Span:
    return (_current(re.split(r"[\s-]", text)[-2], today)[1],) * 2


def _read_relative(text: str, today: date) -> Span:
    after_next = text.endswith("after next")
    unit = text.removesuffix(" after next").rsplit(maxsplit=1)[-1]
    named = any(word in text.split() for word in ("next", "following", "coming"))
    if unit in _SEASONS:
        return _read_season(unit, today)
    if unit == "weekend":
        # The coming weekend is this one.
        ahead = named and "coming" not in text
        return _current(unit, today + timedelta(weeks=ahead + after_next))
    return _current(unit, moved(_current(unit, today)[0], named + after_next, unit))


def _read_weekday(text: str, today: date) -> Span:
    day = DAYS[text.rsplit(maxsplit=1)[-1]]
    days = (day - today.weekday()) % 7 or 7
    if text.startswith("next") and days < 7 - today.weekday():
        days += 7
    return (today + timedelta(days=days),) * 2


def _read_day_of_week(text: str, today: date) -> Span:
    name = NAME_OF_DAY.findall(text)[0]
    weeks = 2 if "after next" in text else int("this week" not in text)
    return (week_of(today)[0] + timedelta(days=DAYS[name], weeks=weeks),) * 2


def _read_count(text: str, today: date) -> Span:
    match = re.search(rf"\b({COUNT})\s(?:or\s\w+\s)?(day|week|month|quarter|year)s?", text)
    assert match is not None, "the pattern that led here has a count"
    count = int(match[1]) if match[1].isdigit() else _COUNTS[" ".join(match[1].split())]
    target = moved(today, count, match[2])
    return (target, target) if text.startswith("in ") else (today, target)


def _read_from(text: str, today: date) -> Span:
    length, start = text.split(" from ")
    if start == "now":
        return _read_count(f"in {length}", today)
    day = _read_word(start, today) if start in {"today", "tomorrow"} else _read_weekday(start, today)
    return _read_count(f"in {length}", day[0])


def _read_word(text: str, today: date) -> Span:
    ahead = {"tomorrow": 1, "day after tomorrow": 2}.get(text.removeprefix("the "), 0)
    return (today + timedelta(days=ahead),) * 2


def _read_unit(text: str, today: date) -> Span:
    return _current(text.rsplit(maxsplit=1)[-1], today)


def _current(unit: str, day: date) -> Span:
    if unit == "week":
        return week_of(day)
    if unit == "weekend":
        saturday = week_of(day)[0] + timedelta(days=5)
        return saturday, saturday + timedelta(days=1)
    if unit == "month":
        return month_of(day.year, day.month)
    if unit == "quarter":
        return quarter_of(day.year, (day.month - 1) // 3 + 1)
    return year_of(day.year) if unit == "year" else (day, day)


def _read_holiday(text: str, today: date) -> Span:
    month, day = HOLIDAYS[text]
    return _ahead(lambda year: (date(year, month, day),) * 2, today)


def _read_season(text: str, today: date) -> Span:
    first, last = _SEASONS[text]
    return _ahead(lambda year: (date(year, first, 1), month_of(year + (last < first), last)[1]), today)


def _read_year(text: str, today: date) -> Span:
    return year_of(int(text))


READERS: dict[str, Callable[[str, date], Span]] = {
    "iso": _read_iso, "slash": _read_numbers, "dots": _read_numbers, "lead": _read_lead, "md": _read_day_of_month,
    "dm": _read_day_of_month, "dom_of": _read_day_of_this_month, "dom": _read_dom, "my": _read_month,
    "quarter": _read_quarter, "nth_quarter": _read_quarter, "half": _read_half, "nth": _read_nth, "eo": _read_end_of,
    "ending": _read_ending, "wday": _read_day_of_week, "nday": _read_weekday, "word": _read_word, "day": _read_weekday,
    "rel": _read_relative, "nmonth": _read_month, "span": _read_count, "next": _read_count, "from": _read_from,
    "unit": _read_unit, "holiday": _read_holiday, "season": _read_season, "month": _read_month, "short": _read_month,
    "year": _read_year,
}  # fmt: skip
