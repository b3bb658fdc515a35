"""What each column of a table is: numbers, categories, dates, or nothing to learn from. Every rule is stated here.

In the order in which they are asked, over the training rows alone:
    nothing      no cell holds anything, or all cells hold the same                        left out, warning
    codes        whole numbers with leading zeros (007) or of 16 and more digits           never numbers
    dates        every cell that is not a missing word has the form of a date
    numbers      every such cell is a plain number; if 95 % are, the others are errors, unless all cells together hold
                 at most 20 different texts and no odd one stands only once (0, 1, 2, 3+)
    foreign      90 % or more would be numbers but for a comma, a minus or digits of another kind: error
    identifiers  20 rows or more, and: names or codes of which 9 in 10 are different, or whole numbers that are all
                 different and either run without gaps or are called id                    left out, warning
    text         half of the cells or more are different and hold three words or more      error: leave it out
    categories   everything else
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from deepen.core.faults import Fault
from deepen.core.units import plural
from deepen.prepare import dates
from deepen.prepare.cells import (
    Cells,
    is_foreign_number,
    is_missing_word,
    is_not_finite,
    is_plain_number,
)

Kind = Literal["number", "category", "date", "left out"]
FEW = 20
MOSTLY = 0.95
_CODE = re.compile(r"0\d+|\d{16,}")
_ID_NAME = re.compile(r"(^|[^a-z])(id|pid|uuid|guid|key|index|idx|nr|no|number)$", re.IGNORECASE)
_TRUTHS = ({"true", "false"}, {"t", "f"}, {"yes", "no"}, {"y", "n"}, {"0", "1"}, {"on", "off"})

Place = Callable[[int], str]


@dataclass(frozen=True)
class ColumnType:
    """What a column is.

    order     for dates: one of `dates.ORDERS`
    why       for those left out: the rule, for people
    is_id     left out because it names its row
    ignores_case  for categories of truth values: True and true are one
    """

    kind: Kind
    order: str = ""
    why: str = ""
    is_id: bool = False
    ignores_case: bool = False


def type_of(
    name: str, cells: Cells, place: Place, faults: list[Fault], *, asked: str = "", dates_as: str = "auto"
) -> ColumnType:
    """What the column is; what speaks against using it is added to `faults` and it is left out.

    place     row -> where it came from
    asked     "number", "category" or "date" if the user said so, else ""
    dates_as  "day-first" or "month-first" where the cells leave it open, else "auto"
    """
    told = [text for text in cells.values if not is_missing_word(text)]
    has_empty = bool((cells.codes < 0).any())
    if not told and not (len(cells.values) + has_empty > 1 and asked == "category"):
        return _left_out(name, "holds no value", faults)
    if len(cells.values) + has_empty == 1:
        return _left_out(name, f"holds {cells.values[0]!r} in every row", faults)
    if asked == "category":
        return ColumnType("category", ignores_case=_is_one_family(told))
    looks = _Look.at(cells, told)
    if asked == "date" or (not asked and told and all(map(dates.looks_like_date, told))):
        return _date_type(name, cells, told, place, faults, dates_as)
    if asked == "number" or (looks.share_plain >= MOSTLY and not looks.has_codes):
        return _number_type(name, cells, told, looks, place, faults, asked)
    if looks.share_foreign + looks.share_plain >= 0.9 and looks.share_foreign > 0 and not looks.has_codes:
        return _foreign(name, cells, told, place, faults)
    return _category_type(name, cells, told, looks, faults)


@dataclass(frozen=True)
class _Look:
    share_plain: float
    share_foreign: float
    share_different: float
    words: float
    has_codes: bool
    num_rows: int

    @staticmethod
    def at(cells: Cells, told: list[str]) -> _Look:
        counts = dict(zip(cells.values, cells.counts().tolist(), strict=True))
        total = max(sum(counts[text] for text in told), 1)
        plain = sum(counts[text] for text in told if is_plain_number(text) or is_not_finite(text))
        foreign = sum(counts[text] for text in told if is_foreign_number(text))
        words = sum(counts[text] * (text.count(" ") + 1) for text in told) / total
        codes = sum(counts[text] for text in told if _CODE.fullmatch(text)) > 0 and plain == total
        return _Look(plain / total, foreign / total, len(told) / total, words, codes, len(cells.codes))


def _left_out(name: str, why: str, faults: list[Fault], *, is_id: bool = False) -> ColumnType:
    kind = "column-id" if is_id else "column-empty"
    faults.append(Fault("warning", kind, f"column {name!r}", f"{why}; it is left out."))
    return ColumnType("left out", why=why, is_id=is_id)


def _refused(fault: Fault, faults: list[Fault]) -> ColumnType:
    faults.append(fault)
    return ColumnType("left out", why=fault.message)


def _number_type(
    name: str, cells: Cells, told: list[str], looks: _Look, place: Place, faults: list[Fault], asked: str
) -> ColumnType:
    odd = [text for text in told if not is_plain_number(text) and not is_not_finite(text)]
    if not odd:
        return _id_or_number(name, told, looks, faults) if not asked else ColumnType("number")
    foreign = [text for text in odd if is_foreign_number(text)]
    if foreign:
        return _foreign(name, cells, told, place, faults)
    counts = cells.counts()
    alone = [text for text in odd if counts[cells.values.index(text)] == 1]
    if not asked and len(told) <= FEW and not alone:
        return ColumnType("category")
    row = min(cells.first_row(cells.values.index(text)) for text in odd)
    message = (
        f"column {name!r} holds numbers but here {cells.values[cells.codes[row]]!r}"
        f"{_and_more(len(odd))}; mend it, empty it, or pass --columns.as-category {name}."
    )
    return _refused(Fault("error", "not-a-number", place(row), message), faults)


def _foreign(name: str, cells: Cells, told: list[str], place: Place, faults: list[Fault]) -> ColumnType:
    odd = [text for text in told if is_foreign_number(text)]
    row = min(cells.first_row(cells.values.index(text)) for text in odd)
    message = (
        f"column {name!r} holds {cells.values[cells.codes[row]]!r}, which is a number written otherwise than 1234.5"
        f"{_and_more(len(odd))}; pass --decimal , for a decimal comma, or write plain numbers."
    )
    return _refused(Fault("error", "number-form", place(row), message), faults)


def _id_or_number(name: str, told: list[str], looks: _Look, faults: list[Fault]) -> ColumnType:
    if looks.num_rows < FEW or len(told) < looks.num_rows or not all(text.isdigit() for text in told):
        return ColumnType("number")
    numbers = [int(text) for text in told]
    runs = max(numbers) - min(numbers) < 2 * len(numbers)
    if len(set(numbers)) == len(numbers) and (runs or _ID_NAME.search(name)):
        return _left_out(name, "holds another whole number in every row, so it is an identifier", faults, is_id=True)
    return ColumnType("number")


def _date_type(
    name: str, cells: Cells, told: list[str], place: Place, faults: list[Fault], dates_as: str
) -> ColumnType:
    order = dates.order_of(told, dates_as)
    if order.name:
        return ColumnType("date", order=order.name)
    shown = order.value.split(" and ")[0]
    row = cells.first_row(cells.values.index(shown)) if shown in cells.values else 0
    reasons = {
        "ambiguous": "may have the day or the month first; pass --columns.dates day-first or month-first.",
        "mixed": "and others are written in two orders or forms; write all as 2020-03-04.",
        "impossible": "is no date; mend it or empty it.",
    }
    message = f"column {name!r}: {order.value!r} {reasons[order.fault]}"
    return _refused(Fault("error", f"date-{order.fault}", place(row), message), faults)


def _category_type(name: str, cells: Cells, told: list[str], looks: _Look, faults: list[Fault]) -> ColumnType:
    if looks.num_rows >= FEW and looks.share_different >= 0.5 and looks.words >= 3:
        message = (
            f"holds text, such as {told[0][:60]!r}, which tables do not learn from; pass --columns.leave-out {name}."
        )
        return _refused(Fault("error", "column-text", f"column {name!r}", message), faults)
    if looks.num_rows >= FEW and looks.share_different > 0.9:
        why = f"holds {plural(len(told), 'different value')} in {plural(looks.num_rows, 'row')}, so it is an identifier"
        return _left_out(name, why, faults, is_id=True)
    truths = {text.casefold() for text in told}
    if len(truths) > 2 and truths <= set().union(*_TRUTHS):
        message = f"writes yes and no in several ways ({', '.join(sorted(told)[:6])}); each is a category of its own."
        faults.append(Fault("warning", "truth-mixed", f"column {name!r}", message))
    return ColumnType("category", ignores_case=_is_one_family(told))


def _is_one_family(told: list[str]) -> bool:
    return {text.casefold() for text in told} in _TRUTHS


def _and_more(count: int) -> str:
    return f" and {count - 1:,} other such values" if count > 1 else ""
