"""Times that an English question names: "last May", "two weeks ago", "in 2022", "on 3 March".

Only what can hardly mean anything else is read: "may", "march" and "second" alone are words, and a
number is a year only behind a preposition, a month or a season.
"""

from __future__ import annotations

import re
from calendar import isleap, monthrange
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minnow.memory.items import milliseconds_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from minnow.indexfile.encodings import Doubles, Ids

_DAY = 86_400_000
_BEFORE, _AFTER = 2 * _DAY, 7 * _DAY

_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september",
           "october", "november", "december")  # fmt: skip
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
_COUNTS = {"a": 1, "an": 1, "one": 1, "two": 2, "a couple of": 2, "three": 3, "a few": 3, "four": 4,
           "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
           "twelve": 12}  # fmt: skip

_FULL_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})\b"
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_YEAR = r"(?P<year>(?:19|20)\d\d)\b"
_DAY_OF_MONTH = r"(?P<day>[12]\d|3[01]|0?[1-9])(?:st|nd|rd|th)?\b"
_COUNT = rf"(?P<count>\d{{1,3}}|{'|'.join(sorted(_COUNTS, key=len, reverse=True))})"
_UNIT = r"(?P<unit>day|week|month|year)s?"
_IN = r"\b(?:in|during|early|mid|late)\s+"
_LIMIT = r"\b(?:since|until|till|before|after|between|from)\s+"
_OTHER_END = rf"(?:{'|'.join(_MONTHS)}|\d{{4}})\s+(?:and|to|until|till)\s+"
_NO_SUBJECT = r"(?!\s+(?:i|we|you|he|she|it|they|be|have|not|need)\b)"
_GOES_ON = (
    r"(?=\s*(?:$|[?.,;:!)]|(?:19|20)\d\d\b|"
    r"(?:and|to|or|at|in|on|with|for|by|about|until)\b))"
)
_QUANTITY = (
    r"(?![.,]?\d|\s*(?:%|percent|euros?|dollars?|pounds?|people|steps|met(?:re|er)s|km|"
    r"kilomet(?:re|er)s|miles|calories|words|pages)\b)"
)
_WHICH = r"(?P<which>last|this|past|previous)\s+"
_SEASON = rf"(?P<season>{'|'.join(_SEASONS)})\b"


@dataclass(frozen=True)
class Period:
    """A span of time in milliseconds since 1970, with its end left out; None is open."""

    begin: int | None
    end: int | None

    def nearness(self, times: Ids) -> Doubles:
        """Return 1 for times within it, and less for those outside, halved at some distance.

        That distance is two days before it and a week after, or half of its length if that is more:
        things are talked about when they are over.
        """
        half = 0 if self.begin is None or self.end is None else (self.end - self.begin) // 2
        early = 0 if self.begin is None else np.maximum(0, self.begin - times)
        late = 0 if self.end is None else np.maximum(0, times - self.end)
        near: Doubles = 0.5 ** (early / max(_BEFORE, half) + late / max(_AFTER, half))
        return near


class _Date(NamedTuple):
    """A date in a text: where its words begin and end, the span it means, how it is named."""

    first: int
    last: int
    begin: datetime
    end: datetime
    is_relative: bool


def read_period(
    question: str, now: datetime, latest: datetime | None = None
) -> tuple[Period | None, str]:
    """Return the time that a question names, from the first such words on, and what it asks.

    What it asks is the question without words such as "yesterday", "two weeks ago" or "last May":
    in a memory they mean another day. Dates of the calendar stay ("in 2019", "on 3 March"), as
    memories may have them, and so do words in quotation marks.

    Args:
        question: The question, in English or with dates in ISO 8601.
        now: The time that "yesterday" is the day before of; days are those of its time zone.
        latest: The time of the newest memory, if there is one. "In May" is the last May before it,
            where nothing was remembered for longer.
    """
    text = " ".join(question.split())
    newest = now if latest is None else min(now, latest.astimezone(now.tzinfo))
    dates = _find_dates(text, now, newest)
    if not dates:
        return None, question
    (first, _, begin, end, _), *more = dates
    before = text[:first].lower()
    is_range = bool(more) and re.search(r"\b(?:between|from)\s(?:the\s)?$", before) is not None
    asked = _without(question, text, dates[: 1 + is_range])
    if is_range:
        begin, end = min(begin, more[0].begin), max(end, more[0].end)
    elif re.search(r"\b(?:since|after|from)\s(?:the\s)?$", before):
        after = re.search(r"\bafter\s(?:the\s)?$", before)
        return Period(milliseconds_of(end if after else begin), None), asked
    elif re.search(r"\b(?:before|until|till|by)\s(?:the\s)?$", before):
        return Period(None, milliseconds_of(begin if "before" in before[-11:] else end)), asked
    return Period(milliseconds_of(begin), milliseconds_of(end)), asked


def _without(question: str, text: str, dates: list[_Date]) -> str:
    """Return a question, whose single-spaced text is given, without its relative dates."""
    asked = text
    for date in reversed(dates):
        if date.is_relative:
            asked = asked[: date.first] + asked[date.last :]
    return asked if asked != text and re.search(r"\w", asked) else question


def _find_dates(text: str, now: datetime, newest: datetime) -> list[_Date]:
    """Return the dates in a text in their order; none overlap."""
    found: list[_Date] = []
    for pattern, read in _FORMS:
        for match in pattern.finditer(text):
            first, last = match.span("date")
            if any(first < other.last and other.first < last for other in found):
                continue
            is_relative = read not in _CALENDAR or bool(match.groupdict().get("which"))
            try:
                span = read(match, now if is_relative else newest)
                for at in span:
                    milliseconds_of(at)
            except (ValueError, OverflowError):  # 31 February, or before the year 1 in UTC
                continue
            is_quoted = text[:first].count('"') % 2 == 1 and '"' in text[last:]
            found.append(_Date(first, last, *span, is_relative and not is_quoted))
    return sorted(found)


def _midnight(now: datetime, year: int, month: int, day: int) -> datetime:
    return now.replace(year=year, month=month, day=day, hour=0, minute=0, second=0, microsecond=0)


def _days(begin: datetime, days: int = 1) -> tuple[datetime, datetime]:
    return begin, begin + timedelta(days=days)


def _today(now: datetime) -> datetime:
    return _midnight(now, now.year, now.month, now.day)


def _months(now: datetime, year: int, month: int, count: int = 1) -> tuple[datetime, datetime]:
    """Return the span of some months; their numbers may be out of the year."""
    first, last = year * 12 + month - 1, year * 12 + month - 1 + count
    return (
        _midnight(now, first // 12, first % 12 + 1, 1),
        _midnight(now, last // 12, last % 12 + 1, 1),
    )


def _month_number(match: re.Match[str]) -> int:
    return next(
        i for i, name in enumerate(_MONTHS, 1) if name.startswith(match["month"].lower()[:3])
    )


def _read_iso(match: re.Match[str], now: datetime) -> tuple[datetime, datetime]:
    year, month = int(match["year"]), int(match["number"])
    if match["day"]:
        return _days(_midnight(now, year, month, int(match["day"])))
    _midnight(now, year, month, 1)
    return _months(now, year, month)


def _read_day(match: re.Match[str], now: datetime) -> tuple[datetime, datetime]:
    month, day = _month_number(match), int(match["day"])
    if match["year"]:
        return _days(_midnight(now, int(match["year"]), month, day))
    year = now.year if (month, day) <= (now.month, now.day) else now.year - 1
    while (month, day) == (2, 29) and not isleap(year):
        year -= 1
    return _days(_midnight(now, year, month, day))


def _read_month(match: re.Match[str], now: datetime) -> tuple[datetime, datetime]:
    month = _month_number(match)
    groups = match.groupdict()
    if groups.get("year"):
        return _months(now, int(match["year"]), month)
    this_year = month <= now.month and not (
        month == now.month and (groups.get("which") or "this").lower() != "this"
    )
    return _months(now, now.year if this_year else now.year - 1, month)


def _read_season(match: re.Match[str], now: datetime) -> tuple[datetime, datetime]:
    month, groups = _SEASONS[match["season"].lower()], match.groupdict()
    if groups.get("year"):
        return _months(now, int(match["year"]), month, 3)
    year = now.year if month <= now.month else now.year - 1
    begin, end = _months(now, year, month, 3)
    if end > now and groups["which"].lower() != "this":
        return _months(now, year - 1, month, 3)
    return begin, end


def _read_year(match: re.Match[str], now: datetime) -> tuple[datetime, datetime]:
    return _months(now, int(match["year"]), 1, 12)


def _read_ago(match: re.Match[str], now: datetime) -> tuple[datetime, datetime]:
    count, unit = _counted(match), match["unit"].lower()
    if unit == "day":
        return _days(_today(now) - timedelta(days=count))
    if unit == "week":
        return _days(_today(now) - timedelta(days=7 * count + 3), 7)
    begin, _ = _months(now, now.year, now.month - count * (12 if unit == "year" else 1))
    middle = begin.replace(day=min(now.day, monthrange(begin.year, begin.month)[1]))
    width = 45 if unit == "year" else 15
    return _days(middle - timedelta(days=width), 2 * width)


def _read_past(match: re.Match[str], now: datetime) -> tuple[datetime, datetime]:
    days = {"day": 1, "week": 7, "month": 31, "year": 365}[match["unit"].lower()]
    return now - timedelta(days=days * _counted(match)), now


def _counted(match: re.Match[str]) -> int:
    count = " ".join(match["count"].lower().split())
    return _COUNTS[count] if count in _COUNTS else int(count)


def _read_near_day(match: re.Match[str], now: datetime) -> tuple[datetime, datetime]:
    word = match["date"].lower()
    back = 2 if word.startswith("the day before") else int(word in ("yesterday", "last night"))
    return _days(_today(now) - timedelta(days=back))


def _read_near_span(match: re.Match[str], now: datetime) -> tuple[datetime, datetime]:
    unit, last = match["unit"].lower(), int(match["which"].lower() != "this")
    if unit == "year":
        return _months(now, now.year - last, 1, 12)
    if unit == "month":
        return _months(now, now.year, now.month - last)
    monday = _today(now) - timedelta(days=now.weekday() + 7 * last)
    return _days(monday, 7) if unit == "week" else _days(monday + timedelta(days=5), 2)


def _read_weekday(match: re.Match[str], now: datetime) -> tuple[datetime, datetime]:
    back = (now.weekday() - _WEEKDAYS.index(match["weekday"].lower()) - 1) % 7 + 1
    return _days(_today(now) - timedelta(days=back))


def _form(
    pattern: str, read: Callable[[re.Match[str], datetime], tuple[datetime, datetime]]
) -> tuple[re.Pattern[str], Callable[[re.Match[str], datetime], tuple[datetime, datetime]]]:
    return re.compile(pattern, re.IGNORECASE), read


_FORMS = (
    _form(r"(?<![\d-])(?P<date>(?P<year>\d{4})-(?P<number>\d\d)(?:-(?P<day>\d\d))?)(?![\d-])",
          _read_iso),
    _form(rf"\b(?P<date>{_DAY_OF_MONTH}\s+(?:of\s+)?{_MONTH}(?:,?\s+{_YEAR})?){_NO_SUBJECT}",
          _read_day),
    _form(rf"\b(?P<date>{_MONTH}\s+(?:the\s+)?{_DAY_OF_MONTH}{_GOES_ON}(?:,?\s+{_YEAR})?)",
          _read_day),
    _form(rf"\b(?P<date>{_MONTH}(?:\s+of)?,?\s+{_YEAR}){_QUANTITY}", _read_month),
    _form(rf"\b(?P<date>{_WHICH}{_FULL_MONTH}){_NO_SUBJECT}", _read_month),
    _form(rf"{_IN}(?P<date>{_FULL_MONTH}){_NO_SUBJECT}", _read_month),
    _form(rf"{_LIMIT}(?P<date>{_FULL_MONTH}){_GOES_ON}", _read_month),
    _form(rf"{_OTHER_END}(?P<date>{_FULL_MONTH}){_GOES_ON}", _read_month),
    _form(rf"\b(?P<date>{_SEASON}(?:\s+of)?\s+{_YEAR})", _read_season),
    _form(rf"\b(?P<date>{_WHICH}{_SEASON})", _read_season),
    _form(rf"(?:{_IN}|{_LIMIT})(?:the\s+year\s+)?(?P<date>{_YEAR}){_QUANTITY}", _read_year),
    _form(rf"{_OTHER_END}(?P<date>{_YEAR}){_QUANTITY}", _read_year),
    _form(rf"\b(?P<date>{_COUNT}\s+{_UNIT}\s+ago)\b", _read_ago),
    _form(rf"\b(?P<date>(?:last|past)\s+{_COUNT}\s+{_UNIT})\b", _read_past),
    _form(r"\b(?P<date>the day before yesterday|yesterday|last night|today|tonight|"
          r"this (?:morning|afternoon|evening))\b", _read_near_day),
    _form(rf"\b(?P<date>{_WHICH}(?P<unit>weekend|week|month|year))\b", _read_near_span),
    _form(rf"\b(?P<date>last\s+(?P<weekday>{'|'.join(_WEEKDAYS)}))\b", _read_weekday),
)  # fmt: skip
"""Forms of dates, the longer ones first."""

_CALENDAR = (_read_iso, _read_day, _read_month, _read_season, _read_year)
"""Readers of dates that mean the same days whenever somebody says them, unless "last" is before."""
