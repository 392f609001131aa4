"""Finds dates and periods in a text: "next quarter", "by March 15th", "in two weeks".

Everything is understood from a day that is passed in, and as lying ahead of it where a
year is left out, as people mean it who plan; only "since" looks back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta

from engine.conversation import Period
from engine.days import (
    COUNT,
    DAYS,
    FIGURE,
    HOLIDAYS,
    MONTHS,
    NAME_OF_DAY,
    ORDINALS,
    PLAIN_DAY,
    READERS,
    Span,
    digits,
    month_of,
    moved,
    quarter_of,
    week_of,
    year_in,
    year_of,
)


@dataclass(frozen=True, slots=True)
class FoundPeriod:
    """A period as it stands in a text, in code points [start, end)."""

    start: int
    end: int
    # "2027-Q1", "2027-03", "2027-03-15", "by 2027-03-15", or "first/last" where nothing is shorter.
    text: str
    period: Period


_WEEK, _YEAR = timedelta(days=7), timedelta(days=365)


def _any(words: Iterable[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_MONTH = _any(MONTHS)
# Bare "may", "mar", "sun" … are words or names more often than dates: a digit or a preposition must stand by.
_PLAIN_MONTH = "january|february|april|june|july|august|september|october|november|december"
_DAY = _any(DAYS)

_YEAR_AFTER = r"(?:,?\s(?:of\s)?(?:19|20)\d\d\b)"
_NTH = r"\d{1,2}(?:st|nd|rd|th)"
# "March 10th" in either order, and "10th of this month".
_OF_MONTH = rf"(?:of\s)?(?:{_MONTH})\b(?!\s(?:be|have)\b)"
_OF_THIS_MONTH = r"of\s(?:this|(?:the\s)?(?:next|coming|following)|the)\smonth\b"
_NO_DAY = r"(?!\s(?:[a-z]+\s)?(?:time|one|option|floor|place|street|avenue|grade|generation|edition|version|party)s?\b)"
_TO = r"(?:\s?[-–—]\s?|\s(?:to|through|thru|until|till)\s)"
_FEW = "first|second|third|fourth|last|1st|2nd|3rd|4th"

# In "put it in for March" the first is no part of the date.
_NO_MORE = r"(?!(?:on|for|over)\s)"
_EDGE = (
    r"(?:(?=[abdfinstu])(?P<bound>by|before|until|till|(?:no|not)\slater\sthan|after|from|starting(?:\s(?:in|on|from))?|since|in|"
    rf"during|between)\s(?:the\s)?{_NO_MORE})?"
    r"(?:(?=[abcelmstw])(?P<part>(?:at\s)?(?:the\s)?end\sof|(?:the\s)?(?:beginning|start|middle|week)\sof|early(?:\sin)?|mid|"
    rf"later?(?:\sin)?|(?:eod|cob|end\sof\s(?:day|business)|close\sof\sbusiness)(?:\son)?)[\s-](?:the\s)?{_NO_MORE})?"
)
# The 5th of "the 5th to the 8th of March": its month comes with the second.
_LEAD = (
    rf"(?P<lead>(?:the\s)?\d{{1,2}}(?:st|nd|rd|th)?)(?=(?:{_TO}|(?<=[a-z])\s(?:and|or|&)\s)"
    rf"(?:the\s)?\d{{1,2}}(?:st|nd|rd|th)?\s(?:{_OF_MONTH}|{_OF_THIS_MONTH}))"
)
# Of "Friday, March 5th" the date counts.
_DATE = (
    rf"(?:(?=[fmostw])(?:on\s)?(?:{_DAY})\.?,?\s)?(?:"
    rf"(?=[adfjmnos])(?P<md>(?:{_MONTH})\.?\s(?:the\s)?\d{{1,2}}(?:st|nd|rd|th)?\b{_YEAR_AFTER}?)(?!\s?%)"
    rf"|(?=[efnst\d])(?P<dm>(?:the\s)?(?:(?<!:)\d{{1,2}}(?:st|nd|rd|th)?\s|(?:{_any(ORDINALS)})\s(?=of\s)){_OF_MONTH}{_YEAR_AFTER}?)"
    rf"|(?=[efnst\d])(?P<dom_of>(?:the\s)?(?:{_NTH}|{_any(ORDINALS)})\s{_OF_THIS_MONTH})"
    rf"|(?P<dom>the\s{_NTH})\b{_NO_DAY})"
)
_PART_OF = (
    rf"(?P<nth>(?:the\s)?(?:{_FEW})\s(?:week|half|{PLAIN_DAY})\s(?:of|in)\s"
    rf"(?:(?:{_MONTH})\b(?:,?\s(?:of\s)?(?:20\d\d|next\syear)\b)?|(?:this|the|next)\s(?:month|quarter|year)\b))"
)
_ONE_DAY = (
    rf"(?:(?=[fmnostw])(?P<wday>(?:on\s)?(?:{PLAIN_DAY}),?\s(?:(?:of\s|in\s)?(?:this|(?:the\s)?(?:coming|following|next))\sweek|"
    rf"(?:of\s)?the\sweek\safter\snext)|(?:this|next)\sweek,?\s(?:on\s)?(?:{PLAIN_DAY}))"
    rf"|(?=[cfnot])(?P<nday>(?:(?:this\s|the\s)?coming|(?:the\s)?following|this|next|on)\s(?:{_DAY}))"
    r"|(?=[acdeirt])(?P<word>today|tonight|tomorrow|asap|right\saway|immediately|(?:the\s)?day\safter\stomorrow|"
    r"this\s(?:morning|afternoon|evening)|end\sof\s(?:day|business)|close\sof\sbusiness)"
    rf"|(?=[fmstw])(?P<day>{PLAIN_DAY}))\b(?:\s(?:morning|afternoon|evening|night)\b)?"
)
_RELATIVE = (
    r"(?P<rel>(?:this|(?:the\s|this\s)?(?:next|coming|following))\s"
    r"(?:week|weekend|month|quarter|year|spring|summer|fall|autumn|winter)"
    r"|(?:the\s)?(?:week|weekend|month|quarter|year)\safter\snext|(?:over|on|for)\sthe\sweekend)\b"
)
_SOME_MONTH = (
    rf"(?P<nmonth>(?:this|next|for)\s(?:{_MONTH})\b(?!\s(?:not|be|have|i|we|you|it)\b)"
    r"(?!\.?,?\s(?:(?:the\s)?\d|(?:of\s)?(?:20\d\d|(?:next|this)\syear)\b)))"
)
_SOME_YEAR = r"(?:the\syear|next\syear|20\d\d)"
_UNIT = "day|week|month|quarter|year"
_WITHIN = (
    r"(?P<span>(?:in|within|over)\s(?:the\s(?:next|coming)\s)?(?:about\s|around\s|maybe\s)?"
    rf"(?:{COUNT})\s(?:or\s\w+\s)?(?:{_UNIT})s?)\b(?!\sof)"
)
# "For two weeks from Monday" is how long, not when.
_LATER_THAN = (
    rf"(?P<from>(?<!for\s)(?<!for\sa\s)(?:(?:{COUNT})\s(?:{_UNIT})s?\sfrom\s(?:now|today|tomorrow)"
    rf"|(?:{COUNT})\sweeks?\sfrom\s(?:(?:this|next)\s)?(?:{PLAIN_DAY})))\b"
)
# The first that matches counts: what says more stands before what says less. Each with what it can start
# with: looking at one character first halves the time.
_BODY = "|".join(
    f"(?=[{first}]){pattern}"
    for first, pattern in (
        (r"\d", r"(?P<iso>\d{4}-\d{2}-\d{2})\b"),
        (r"\d", r"(?P<slash>(?<!\d/)(?!24/7)\d{1,2}/\d{1,2}(?:/\d{2,4})?)(?![\d/])"),
        (r"\d", r"(?P<dots>\d{1,2}\.\d{1,2}\.(?:\d{4})?)(?!\d)"),
        (r"t\d", _LEAD),
        (r"adefjmnostw\d", _DATE),
        ("adfjmnos", rf"(?P<my>(?:{_MONTH})(?:\.?,?\s|-)(?:of\s)?(?:20\d\d|next\syear|this\syear)\b)"),
        ("q", r"(?P<quarter>q[1-4](?:[\s,/-]*(?:of\s)?(?:20\d\d|next\syear))?\b)"),
        ("flst1-4", rf"(?P<nth_quarter>(?:the\s)?(?:{_FEW})\squarter(?:\sof\s(?:20\d\d|next\syear))?)"),
        ("fhst", rf"(?P<half>h[12]\b(?:\s20\d\d)?|(?:the\s)?(?:first|second)\shalf\sof\s{_SOME_YEAR})"),
        ("flst1-4", _PART_OF),
        ("e", r"(?P<eo>eo[ymqdw])\b"),
        ("mqty", r"(?P<ending>(?:this\s|the\s)?(?:year|month|quarter)[\s-]end)\b"),
        ("acdefimnorstw", _ONE_DAY),
        ("cfmnoqtwy", _RELATIVE),
        ("fnt", _SOME_MONTH),
        ("iow", _WITHIN),
        ("nt", rf"(?P<next>(?:the\s)?next\s(?:{COUNT})\s(?:{_UNIT})s)\b"),
        (r"acefnost\d", _LATER_THAN),
        ("fmqtwy", r"(?P<unit>(?:the\s|this\s)?(?:week|weekend|month|quarter|year|fiscal\syear))\b"),
        ("bcentx", rf"(?P<holiday>{_any(HOLIDAYS)})\b"),
        ("asw", r"(?P<season>spring|summer|autumn|winter)\b"),
        ("adfjnos", rf"(?P<month>{_PLAIN_MONTH})\b"),
        ("adfjmnos", rf"(?P<short>{_MONTH})\b(?!['’])"),
        ("2", r"(?P<year>20[2-4]\d)\b"),
    )
)
_PERIOD = re.compile(rf"(?<![\w$€£.-])(?=[a-z\d]){_EDGE}(?:{_BODY})", re.IGNORECASE)
_PERIOD_CHARS_MAX = 60
_JOINT_CHARS_MAX = 20
# The 8th of "March 5th to 8th", "March 5-8" or "the 5th and 6th".
_STOP = r"\s?(?:[,;!?)\"]|\.(?!\d)|$)"
_TAIL = re.compile(
    rf"(?:{_TO}(?:the\s)?(?P<to>{_NTH}\b|\d{{1,2}}(?={_STOP}|,?\s20\d\d\b|"
    r"\s(?:and|or|for|in|at|we|i|is|are|works?|would|please|if|but)\b))"
    rf"|\s(?:and|or|&)\s(?:the\s)?(?P<also>{_NTH}\b|\d{{1,2}}(?={_STOP})))"
    rf"(?!\s(?:{_OF_MONTH}|{_OF_THIS_MONTH})){_NO_DAY}(?P<year>{_YEAR_AFTER}?)",
    re.IGNORECASE,
)
# "Move it from Monday to Friday" says two days, not all from one to the other.
_MOVING = re.compile(
    r"\b(?:chang|mov|switch|push|resched|postpon|shift|swap|bump|delay)\w{0,8}\s[^.!?]{0,40}$", re.IGNORECASE
)
_MOVING_CHARS = 50
# Letters that ignoring case takes for an i or an s, and that putting in lower case does not make one.
_LETTERS = str.maketrans("\u0130\u0131\u017f", "iis")
_UNTIL = frozenset({"by", "until", "till", "no later than", "not later than"})
_TO_WORDS = frozenset({"to", "through", "thru", "until", "till", "-", "–", "—"})
_AND_WORDS = frozenset({"and", "or", "&"})
# These name a period only with an edge before them: "the year" alone is just a word.
_NEEDS_EDGE = frozenset({"unit", "season", "holiday", "short"})
_WITHOUT_YEAR = frozenset({"md", "dm", "month", "short", "nmonth", "quarter", "nth_quarter", "season"})
# Said of the day on which they are said, wherever they stand.
_FROM_TODAY = frozenset({"dom_of", "rel", "wday", "nday", "word", "span", "next", "from", "eo", "ending", "unit"})


@dataclass(frozen=True, slots=True)
class _Said:
    """One date or period as a text words it, in code points [start, end)."""

    start: int
    end: int
    kind: str
    # In lower case: "by", "the end of", "next month".
    bound: str
    part: str
    words: str
    # Where it starts if nothing follows that it goes together with: "between" needs two.
    start_alone: int
    # Follows a hyphen without a blank: nothing by itself.
    hyphened: bool = False
    # Needs an edge, and has none.
    loose: bool = False


def periods(text: str, today: date) -> list[FoundPeriod]:
    """The dates and periods of a text, in their order, never overlapping."""
    plain = text.translate(_LETTERS)
    said = _all_said(plain)
    found = []
    at = 0
    while at < len(said):
        one = said[at]
        both = _both(plain, one, said[at + 1], today) if at + 1 < len(said) else None
        at += 2 if both else 1
        if both or (both := _alone(one, today)):
            found.append(both)
    return found


# -- what is said, and what belongs together


def _all_said(text: str) -> list[_Said]:
    said: list[_Said] = []
    at = 0
    while match := _PERIOD.search(text, at):
        said.append(_said(match))
        at = match.end()
        if tail := _TAIL.match(text, at) if said[-1].kind in {"md", "dm", "dom"} else None:
            said[-1:] = _with_tail(said[-1], tail)
            at = said[-1].end
        elif text[at : at + 1] == "-" and (match := _PERIOD.match(text[at + 1 : at + _PERIOD_CHARS_MAX])):
            said.append(_said(match, at + 1))
            at += 1 + match.end()
    for number in range(len(said) - 1):
        said[number : number + 2] = _shared(text, said[number], said[number + 1])
    return said


def _said(match: re.Match[str], offset: int = 0) -> _Said:
    kind = match.lastgroup or ""
    bound, part, words = (" ".join((match[group] or "").lower().split()) for group in ("bound", "part", kind))
    loose = kind in _NEEDS_EDGE and (not (bound or part) or (kind == "unit" and (bound, part) == ("in", "")))
    start, end, at = (place + offset for place in (match.start(), match.end(), match.start(kind)))
    return _Said(start, end, kind, bound, part, words, at if bound == "between" else start, offset > 0, loose)


def _figure(words: str) -> str:
    return next(iter(FIGURE.findall(words)), "")


def _with_tail(one: _Said, tail: re.Match[str]) -> list[_Said]:
    """The day that a text adds to another, in words that say its month."""
    day = tail["to"] or tail["also"]
    is_later = one.kind == "dom" or 0 < int(digits(_figure(one.words)) or 99) < int(digits(day))
    if not is_later:
        return [one]
    start = tail.start("to") if tail["to"] else tail.start("also")
    year = tail["year"].lower()
    two = replace(one, start=start, start_alone=start, end=tail.end(), bound="", part="")
    return [replace(one, words=one.words + year), replace(two, words=FIGURE.sub(day, one.words, count=1) + year)]


def _shared(text: str, one: _Said, two: _Said) -> tuple[_Said, _Said]:
    """Both, with what only one of them says and both mean: "the 5th to the 8th of March"."""
    if one.kind == "lead" and two.kind in {"dm", "dom_of"}:
        one = replace(one, kind=two.kind, words=FIGURE.sub(_figure(one.words), two.words, count=1))
    joint = _joint(text, one, two)
    if (one.kind, two.kind) == ("day", "wday") and joint in _TO_WORDS | _AND_WORDS:
        one = replace(one, kind="wday", words=NAME_OF_DAY.sub(one.words, two.words))
    elif (one.kind, two.kind) == ("wday", "day") and joint in _AND_WORDS and not one.words.endswith("week"):
        two = replace(two, kind="wday", words=NAME_OF_DAY.sub(two.words, one.words))
    return one, two


def _joint(text: str, one: _Said, two: _Said) -> str:
    """The word between two dates, if there is but one."""
    between = text[one.end : two.start].lower().split() if two.start - one.end <= _JOINT_CHARS_MAX else []
    if between and between[-1] == "the":
        between.pop()
    if text[one.end : two.start].isspace() and two.bound in _TO_WORDS:
        return two.bound
    return between[0] if len(between) == 1 and not two.bound else ""


def _both(text: str, one: _Said, two: _Said, today: date) -> FoundPeriod | None:
    """The period from one date to the other, where they say one together."""
    joint = _joint(text, one, two)
    to = joint in _TO_WORDS or (one.bound == "between" and joint in _AND_WORDS)
    same = one.kind == two.kind and FIGURE.sub("", one.words, count=1) == FIGURE.sub("", two.words, count=1)
    if not to and not (joint in _AND_WORDS and same and not one.bound):
        return None
    if one.bound not in {"", "between", "in", "during"} and not one.bound.startswith(("from", "starting")):
        return None
    if not _are_dates(text, one, two) or (to and _MOVING.search(text[max(0, one.start - _MOVING_CHARS) : one.start])):
        return None
    try:
        first = _closed(one, today)
        second = _closed(two, today if two.kind in _FROM_TODAY else first[0])
        if one.kind in _WITHOUT_YEAR and year_in(two.words, today) and not year_in(one.words, today):
            first = _closed(one, second[1] - _YEAR)
    except (ValueError, OverflowError):
        return None
    if second[0] < first[0] or second[1] < first[1] or (not to and second[0] - first[1] != timedelta(days=1)):
        return None
    return _found(one.start, two.end, first[0], second[1])


def _are_dates(text: str, one: _Said, two: _Said) -> bool:
    """Whether both are, if they stand together: "from June to May", and not "may to mar"."""
    loose = [said for said in (one, two) if said.loose]
    if "unit" in {said.kind for said in loose} or (two.hyphened and two.kind == "year" != one.kind):
        return False
    return len(loose) < 2 or all(said.kind != "short" or text[said.start].isupper() for said in loose)


def _closed(said: _Said, today: date) -> Span:
    return _narrowed(said.part, READERS[said.kind](said.words, today), today)


def _alone(said: _Said, today: date) -> FoundPeriod | None:
    if said.loose or said.hyphened:
        return None
    try:
        span = _closed(said, today)
        if said.bound == "since" and span[0] > today:
            # The only edge that looks back: to the last such weekday or day of a month, else to the last such date.
            span = _closed(said, _back(said.kind, today))
        first, last = _bounded(said, span)
    except (ValueError, OverflowError):
        return None
    return _found(said.start_alone, said.end, first, last)


def _back(kind: str, today: date) -> date:
    if kind in {"dom", "dom_of"}:
        return moved(today, -1, "month")
    return today - (_WEEK if kind in {"day", "nday", "wday", "unit"} else _YEAR)


def _found(start: int, end: int, first: date | None, last: date | None) -> FoundPeriod:
    return FoundPeriod(start, end, _name(first, last), Period(_iso(first), _iso(last)))


def _iso(day: date | None) -> str:
    return day.isoformat() if day else ""


def _narrowed(part: str, span: Span, today: date) -> Span:
    first, last = span
    third = timedelta(days=(last - first).days // 3)
    if part.startswith("later") and first <= today <= last:
        return today, last
    if part.endswith(" end of") or part.startswith(("end of", "late")):
        # Of one day, as in "end of day Friday", a third is all of it.
        return last - third, last
    if part.startswith("early") or part.endswith(("beginning of", "start of")):
        return first, first + third
    if part == "mid" or part.endswith("middle of"):
        return first + third, last - third
    return week_of(first) if part.endswith("week of") else span


def _bounded(said: _Said, span: Span) -> tuple[date | None, date | None]:
    first, last = span
    if said.bound in _UNTIL or (said.bound == "before" and said.part.endswith("end of")):
        return None, last
    if said.bound == "before":
        return None, first - timedelta(days=1)
    if said.bound == "after":
        return last + timedelta(days=1), None
    if said.bound.startswith(("from", "starting", "since")):
        return first, None
    return span


def _name(first: date | None, last: date | None) -> str:
    if first is None or last is None:
        return f"from {first}" if first else f"by {last}"
    if first == last:
        return first.isoformat()
    if (first, last) == month_of(first.year, first.month):
        return f"{first.year}-{first.month:02}"
    quarter = (first.month - 1) // 3 + 1
    if (first, last) == quarter_of(first.year, quarter):
        return f"{first.year}-Q{quarter}"
    if (first, last) == year_of(first.year):
        return str(first.year)
    return f"{first.isoformat()}/{last.isoformat()}"
