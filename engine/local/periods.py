"""Finds dates and periods in a text: "next quarter", "by March 15th", "in two weeks".

Everything is understood from a day that is passed in, and as lying ahead of it where a
year is left out, as people mean it who plan; only "since" looks back.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from engine.conversation import Period


@dataclass(frozen=True, slots=True)
class FoundPeriod:
    """A period as it stands in a text, in code points [start, end)."""

    start: int
    end: int
    # "2027-Q1", "2027-03", "2027-03-15", "by 2027-03-15", or "first/last" where nothing is shorter.
    text: str
    period: Period


Span = tuple[date, date]
_WEEK, _YEAR = timedelta(days=7), timedelta(days=365)

_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_name) if name}
_MONTHS |= {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name} | {"sept": 9}
_DAYS = {name.lower(): number for number, name in enumerate(calendar.day_name)}
_DAYS |= {name.lower(): number for number, name in enumerate(calendar.day_abbr)} | {"tues": 1, "thurs": 3}
_SEASONS = {"spring": (3, 5), "summer": (6, 8), "fall": (9, 11), "autumn": (9, 11), "winter": (12, 2)}
_COUNTS = {word: number for number, word in enumerate(
    "zero one two three four five six seven eight nine ten eleven twelve".split()
)} | {"a": 1, "an": 1, "couple": 2, "a couple": 2, "couple of": 2, "a couple of": 2, "a few": 3, "few": 3}  # fmt: skip
_QUARTERS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": 4, "1st": 1, "2nd": 2, "3rd": 3, "4th": 4}
_HOLIDAYS = {
    "christmas": (12, 25), "xmas": (12, 25), "new year": (1, 1), "new year's": (1, 1), "new years": (1, 1),
    "thanksgiving": (11, 26), "black friday": (11, 27), "easter": (4, 5), "the holidays": (12, 31),
}  # fmt: skip

_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
# Bare "may", "mar", "sun" … are words or names more often than dates: a digit or a preposition must stand by.
_PLAIN_MONTH = "january|february|april|june|july|august|september|october|november|december"
_DAY = "|".join(sorted(_DAYS, key=len, reverse=True))
_PLAIN_DAY = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_COUNT = r"\d{1,3}|a\scouple(?:\sof)?|(?:a\s)?few|couple\sof|an?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"

_EDGE = (
    r"(?P<edge>(?:by|before|until|till)\sthe\send\sof|(?:at\s)?(?:the\s)?end\sof|(?:the\s)?(?:beginning|start)\sof|early(?:\sin)?|mid|late(?:\sin)?|by|before|until|till|"
    r"no\slater\sthan|after|from|starting(?:\sin|\son)?|since|in|during)[\s-](?:the\s)?(?!on\s)"
)
_BODY = "|".join(
    [
        r"(?P<iso>\d{4}-\d{2}-\d{2})\b",
        r"(?P<slash>(?<!\d/)(?!24/7)\d{1,2}/\d{1,2}(?:/\d{2,4})?)(?![\d/])",
        r"(?P<dots>\d{1,2}\.\d{1,2}\.(?:\d{4})?)(?!\d)",
        rf"(?P<md>(?:{_MONTH})\.?\s(?:the\s)?\d{{1,2}}(?:st|nd|rd|th)?\b(?:,?\s\d{{4}}\b)?)(?!\s?%)",
        rf"(?P<dm>(?:the\s)?\d{{1,2}}(?:st|nd|rd|th)?\s(?:of\s)?(?:{_MONTH})\b(?:,?\s\d{{4}}\b)?)",
        rf"(?P<my>(?:{_MONTH})\.?,?\s(?:of\s)?(?:20\d\d|next\syear|this\syear)\b)",
        r"(?P<dom>the\s\d{1,2}(?:st|nd|rd|th))\b(?!\s(?:[a-z]+\s)?(?:time|one|option|floor|place|street|avenue|grade|generation|edition|version|party)\b)",
        r"(?P<quarter>q[1-4](?:[\s,/]*(?:of\s)?(?:20\d\d|next\syear))?\b)",
        r"(?P<nth_quarter>(?:the\s)?(?:first|second|third|fourth|last|1st|2nd|3rd|4th)\squarter(?:\sof\s(?:20\d\d|next\syear))?)",
        r"(?P<half>h[12]\b(?:\s20\d\d)?|(?:the\s)?(?:first|second)\shalf\sof\s(?:the\syear|next\syear|20\d\d))",
        r"(?P<eo>eo[ymqdw])\b",
        r"(?P<ending>(?:this\s|the\s)?(?:year|month|quarter)[\s-]end)\b",
        r"(?P<rel>(?:this|next|coming|the\scoming|following)\s(?:week|weekend|month|quarter|year|spring|summer|fall|autumn|winter))\b",
        rf"(?P<nday>(?:this|next|coming|on)\s(?:{_DAY})\b)",
        rf"(?P<nmonth>(?:this|next|in|by|until|before|after|for)\s(?:{_MONTH})\b(?!\s(?:not|be|have|i|we|you|it)\b))",
        rf"(?P<span>(?:in|within|over)\s(?:the\s(?:next|coming)\s)?(?:about\s|around\s|maybe\s)?(?:{_COUNT})\s(?:or\s\w+\s)?(?:day|week|month|quarter|year)s?)\b(?!\sof)",
        rf"(?P<next>(?:the\s)?next\s(?:{_COUNT})\s(?:day|week|month|quarter|year)s)\b",
        rf"(?P<from>(?:{_COUNT})\s(?:day|week|month|quarter|year)s?\sfrom\snow)\b",
        r"(?P<word>today|tonight|tomorrow|asap|right\saway|immediately|day\safter\stomorrow)\b",
        r"(?P<unit>(?:the\s|this\s)?(?:week|month|quarter|year|fiscal\syear))\b",
        rf"(?P<holiday>{'|'.join(sorted(_HOLIDAYS, key=len, reverse=True))})\b",
        r"(?P<season>spring|summer|autumn|winter)\b",
        rf"(?P<month>{_PLAIN_MONTH})\b",
        rf"(?P<short>{_MONTH})\b(?!['’])",
        rf"(?P<day>{_PLAIN_DAY})\b",
        r"(?P<year>20[2-4]\d)\b",
    ]
)
_PERIOD = re.compile(rf"(?<![\w$€£.-])(?:{_EDGE})?(?:{_BODY})", re.IGNORECASE)
# Letters that ignoring case takes for an i or an s, and that putting in lower case does not make one.
_LETTERS = str.maketrans("\u0130\u0131\u017f", "iis")
_UNTIL = frozenset({
    "by", "until", "till", "no later than", *(f"{word} the end of" for word in "by before until till".split())
})  # fmt: skip
# These name a period only with an edge before them: "the year" alone is just a word.
_NEEDS_EDGE = frozenset({"unit", "season", "holiday", "short"})


def periods(text: str, today: date) -> list[FoundPeriod]:
    """The dates and periods of a text, in their order, never overlapping."""
    found = []
    for match in _PERIOD.finditer(text.translate(_LETTERS)):
        kind = match.lastgroup or ""
        edge = " ".join((match["edge"] or "").lower().split())
        if kind in _NEEDS_EDGE and (not edge or (kind == "unit" and edge == "in")):
            continue
        try:
            span = _READERS[kind](match[kind].lower(), today)
            if edge == "since" and span[0] > today:
                # The only edge that looks back: to the last such weekday, else to the last such date.
                back = _WEEK if kind in {"day", "nday"} else _YEAR
                span = _READERS[kind](match[kind].lower(), today - back)
            first, last = _at_edge(edge, span)
        except (ValueError, OverflowError):
            continue
        found.append(FoundPeriod(match.start(), match.end(), _name(first, last), Period(_iso(first), _iso(last))))
    return found


def _iso(day: date | None) -> str:
    return day.isoformat() if day else ""


def _at_edge(edge: str, span: Span) -> tuple[date | None, date | None]:
    first, last = span
    third = timedelta(days=(last - first).days // 3)
    if edge in _UNTIL:
        return None, last
    if edge == "before":
        return None, first - timedelta(days=1)
    if edge == "after":
        return last + timedelta(days=1), None
    if edge.startswith(("from", "starting", "since")):
        return first, None
    if edge.endswith("end of") or edge.startswith("late"):
        return last - third, last
    if edge.startswith(("early", "beginning", "start", "the beginning", "the start")):
        return first, first + third
    if edge == "mid":
        return first + third, last - third
    return span


def _name(first: date | None, last: date | None) -> str:
    if first is None or last is None:
        return f"from {first}" if first else f"by {last}"
    if first == last:
        return first.isoformat()
    if (first, last) == _month(first.year, first.month):
        return f"{first.year}-{first.month:02}"
    quarter = (first.month - 1) // 3 + 1
    if (first, last) == _quarter(first.year, quarter):
        return f"{first.year}-Q{quarter}"
    if (first, last) == _year(first.year):
        return str(first.year)
    return f"{first.isoformat()}/{last.isoformat()}"


# -- spans of days


def _month(year: int, month: int) -> Span:
    return date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1])


def _quarter(year: int, quarter: int) -> Span:
    return date(year, 3 * quarter - 2, 1), _month(year, 3 * quarter)[1]


def _year(year: int) -> Span:
    return date(year, 1, 1), date(year, 12, 31)


def _week(day: date) -> Span:
    monday = day - timedelta(days=day.weekday())
    return monday, monday + timedelta(days=6)


def _add(day: date, count: int, unit: str) -> date:
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


def _year_in(text: str, today: date) -> int | None:
    if match := re.search(r"\b(20\d\d)\b", text):
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
    month = next(number for name, number in _MONTHS.items() if re.search(rf"\b{name}\b", text))
    day = int(re.findall(r"\d{1,2}(?!\d)", re.sub(r"\b20\d\d\b", "", text))[0])
    year = _year_in(text, today)
    if year is not None:
        return (date(year, month, day),) * 2
    return _ahead(lambda year: (date(year, month, day),) * 2, today)


def _read_month(text: str, today: date) -> Span:
    month = next(number for name, number in _MONTHS.items() if re.search(rf"\b{name}\b", text))
    year = _year_in(text, today)
    return _month(year, month) if year is not None else _ahead(lambda year: _month(year, month), today)


def _read_dom(text: str, today: date) -> Span:
    day = int(re.findall(r"\d+", text)[0])
    base = today if day >= today.day else _add(today.replace(day=1), 1, "month")
    return (date(base.year, base.month, day),) * 2


def _read_quarter(text: str, today: date) -> Span:
    digits = re.search(r"q([1-4])", text)
    quarter = int(digits[1]) if digits else next(n for word, n in _QUARTERS.items() if word in text)
    year = _year_in(text, today)
    return _quarter(year, quarter) if year is not None else _ahead(lambda year: _quarter(year, quarter), today)


def _read_half(text: str, today: date) -> Span:
    second = "2" in text[:2] or "second" in text

    def half(year: int) -> Span:
        return (date(year, 7, 1), date(year, 12, 31)) if second else (date(year, 1, 1), date(year, 6, 30))

    year = _year_in(text, today)
    return half(year) if year is not None else _ahead(half, today)


def _read_end_of(text: str, today: date) -> Span:
    unit = {"y": "year", "m": "month", "q": "quarter", "d": "day", "w": "week"}[text[2]]
    return (_current(unit, today)[1],) * 2


def _read_ending(text: str, today: date) -> Span:
    return (_current(re.split(r"[\s-]", text)[-2], today)[1],) * 2


def _read_relative(text: str, today: date) -> Span:
    unit = text.rsplit(maxsplit=1)[-1]
    ahead = not text.startswith("this")
    if unit in _SEASONS:
        return _read_season(unit, today)
    if unit == "weekend":
        saturday = _week(today)[0] + timedelta(days=5 + 7 * ahead)
        return saturday, saturday + timedelta(days=1)
    return _current(unit, _add(_current(unit, today)[0], int(ahead), unit))


def _read_weekday(text: str, today: date) -> Span:
    day = _DAYS[text.rsplit(maxsplit=1)[-1]]
    days = (day - today.weekday()) % 7 or 7
    if text.startswith("next") and days < 7 - today.weekday():
        days += 7
    return (today + timedelta(days=days),) * 2


def _read_count(text: str, today: date) -> Span:
    match = re.search(rf"\b({_COUNT})\s(?:or\s\w+\s)?(day|week|month|quarter|year)s?", text)
    assert match is not None, "the pattern that led here has a count"
    count = int(match[1]) if match[1].isdigit() else _COUNTS[" ".join(match[1].split())]
    target = _add(today, count, match[2])
    return (target, target) if text.startswith("in ") or "from now" in text else (today, target)


def _read_word(text: str, today: date) -> Span:
    ahead = {"tomorrow": 1, "day after tomorrow": 2}.get(" ".join(text.split()), 0)
    return (today + timedelta(days=ahead),) * 2


def _read_unit(text: str, today: date) -> Span:
    return _current(text.rsplit(maxsplit=1)[-1], today)


def _current(unit: str, day: date) -> Span:
    if unit == "week":
        return _week(day)
    if unit == "month":
        return _month(day.year, day.month)
    if unit == "quarter":
        return _quarter(day.year, (day.month - 1) // 3 + 1)
    return _year(day.year) if unit == "year" else (day, day)


def _read_holiday(text: str, today: date) -> Span:
    month, day = _HOLIDAYS[text]
    return _ahead(lambda year: (date(year, month, day),) * 2, today)


def _read_season(text: str, today: date) -> Span:
    first, last = _SEASONS[text]
    return _ahead(lambda year: (date(year, first, 1), _month(year + (last < first), last)[1]), today)


def _read_year(text: str, today: date) -> Span:
    return _year(int(text))


_READERS: dict[str, Callable[[str, date], Span]] = {
    "iso": _read_iso, "slash": _read_numbers, "dots": _read_numbers, "md": _read_day_of_month,
    "dm": _read_day_of_month, "my": _read_month, "dom": _read_dom, "quarter": _read_quarter, "nth_quarter": _read_quarter, "half": _read_half,
    "eo": _read_end_of, "ending": _read_ending, "rel": _read_relative, "nday": _read_weekday, "nmonth": _read_month, "span": _read_count,
    "next": _read_count, "from": _read_count, "word": _read_word, "unit": _read_unit, "holiday": _read_holiday,
    "season": _read_season, "month": _read_month, "short": _read_month, "day": _read_weekday, "year": _read_year,
}  # fmt: skip
