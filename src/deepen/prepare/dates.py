"""Dates in table cells: how they are written, and the numbers that stand for them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PARTS = ("day number", "year", "month", "day of the week")
ORDERS = ("year-first", "day-first", "month-first", "month-name")
_TIME = r"(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?: ?(?:Z|UTC|[+-]\d{2}:?\d{2}|[AP]M))?)?"
_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})" + _TIME)
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})" + _TIME)
_DAY_NAME = re.compile(r"(\d{1,2})[ -]([A-Za-z]{3,9})\.?,?[ -](\d{4})" + _TIME)
_NAME_DAY = re.compile(r"([A-Za-z]{3,9})\.? (\d{1,2}),? (\d{4})" + _TIME)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True)
class Order:
    """How a column of dates is written, or why that cannot be told.

    name   one of ORDERS, or "" with the fault and the value that shows it
    """

    name: str
    fault: str = ""
    value: str = ""


def looks_like_date(text: str) -> bool:
    """Whether the text has the form of a date, possible or not."""
    return any(form.fullmatch(text) for form in (_YEAR_FIRST, _YEAR_LAST, _DAY_NAME)) or (
        (found := _NAME_DAY.fullmatch(text)) is not None and found.group(1)[:3].casefold() in _MONTHS
    )


def order_of(texts: Sequence[str], asked: str = "auto") -> Order:
    """How these dates are written; a part above 12 tells day from month, `asked` does where no part is.

    The fault is "ambiguous" (03/04/2020 throughout), "mixed" (two orders in one column) or "impossible" (2020-02-30).
    """
    last = [found for text in texts if (found := _YEAR_LAST.fullmatch(text))]
    if last and len(last) < len(texts):
        return Order("", "mixed", next(text for text in texts if not _YEAR_LAST.fullmatch(text)))
    name = (
        _year_last_order(last, asked)
        if last
        else Order("year-first" if _YEAR_FIRST.fullmatch(texts[0]) else "month-name")
    )
    if name.fault:
        return name
    impossible = next((text for text in texts if day_of(text, name.name) is None), None)
    return name if impossible is None else Order("", "impossible", impossible)


def day_of(text: str, order: str) -> datetime.date | None:
    """The day of a date written in this order, or None if it is not one."""
    try:
        return _day(text, order)
    except ValueError:
        return None


def date_numbers(days: Sequence[datetime.date | None]) -> np.ndarray:
    """Days since 1970-01-01, year, month (1-12), day of the week (0 = Monday): [N, 4] float64, NaN for None."""
    start = datetime.date(1970, 1, 1)
    rows = [(np.nan,) * 4 if day is None else ((day - start).days, day.year, day.month, day.weekday()) for day in days]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _year_last_order(found: Sequence[re.Match[str]], asked: str) -> Order:
    first_above = [match for match in found if int(match.group(1)) > 12]
    second_above = [match for match in found if int(match.group(3)) > 12]
    if first_above and second_above:
        return Order("", "mixed", f"{first_above[0].group()} and {second_above[0].group()}")
    if first_above:
        return Order("day-first")
    if second_above:
        return Order("month-first")
    if asked != "auto":
        return Order(asked)
    if all(match.group(2) == "." for match in found):
        return Order("day-first")  # points are used where the day comes first
    return Order("", "ambiguous", found[0].group())


def _day(text: str, order: str) -> datetime.date | None:
    if order == "year-first":
        found = _YEAR_FIRST.fullmatch(text)
        return datetime.date(int(found.group(1)), int(found.group(3)), int(found.group(4))) if found else None
    if order in ("day-first", "month-first"):
        found = _YEAR_LAST.fullmatch(text)
        if not found:
            return None
        day, month = (found.group(1), found.group(3)) if order == "day-first" else (found.group(3), found.group(1))
        return datetime.date(_full_year(found.group(4)), int(month), int(day))
    if found := _DAY_NAME.fullmatch(text):
        return datetime.date(int(found.group(3)), _month(found.group(2)), int(found.group(1)))
    if found := _NAME_DAY.fullmatch(text):
        return datetime.date(int(found.group(3)), _month(found.group(1)), int(found.group(2)))
    return None


def _full_year(text: str) -> int:
    """The year of two digits as POSIX has it: 69 to 99 are 1969 to 1999."""
    year = int(text)
    return year if len(text) == 4 else year + (1900 if year > 68 else 2000)


def _month(name: str) -> int:
    return _MONTHS.index(name[:3].casefold()) + 1
