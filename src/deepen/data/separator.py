"""What separates the cells of a text table, whether its first line names the columns, and what a number looks like."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

CANDIDATES = (",", ";", "\t", "|")
WORDS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "spaces"}
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?([eE][+-]?\d+)?")
_QUOTED = re.compile(r'"[^"]*"')
_HEADER_ROWS = 1000


@dataclass(frozen=True)
class Dialect:
    """How a text table is written: its separator, and whether blanks follow each separator that are not data."""

    separator: str
    blank_after: bool = False

    def said(self) -> str:
        """ "semicolons", or "commas and blanks", for people."""
        word = WORDS.get(self.separator, repr(self.separator))
        return f"{word} and blanks" if self.blank_after else word


def sniffed(lines: Sequence[str], asked: str = "") -> Dialect:
    """The dialect of these first lines: the separator by which most rows get the same number of cells.

    Of those that fit equally, semicolons win where every comma stands between two digits, else the most cells.
    """
    if asked:
        separator = {"tab": "\t", "\\t": "\t"}.get(asked, asked)
        return Dialect(separator, _blank_after(lines, separator))
    scores = {candidate: _fit(lines, candidate) for candidate in CANDIDATES}
    if scores[";"][0] >= 0.99 and scores[";"][1] > 1 and _only_decimal_commas(lines):
        return Dialect(";", _blank_after(lines, ";"))
    best = max(CANDIDATES, key=lambda candidate: scores[candidate])
    best = best if scores[best][1] > 1 else ","
    return Dialect(best, _blank_after(lines, best))


def split_cells(lines: Sequence[str], dialect: Dialect) -> list[list[str]]:
    """The cells of each record, for looking; a record that cannot be split is left out."""
    rows = []
    reader = csv.reader(lines, delimiter=dialect.separator, skipinitialspace=dialect.blank_after)
    while True:
        try:
            rows.append(next(reader))
        except StopIteration:
            return [row for row in rows if row]
        except csv.Error:
            continue


def looks_like_data(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first line looks like one more row and not like names.

    It does if a cell of it is a number above a column of numbers, or if every cell of it occurs again in its own
    column. Whole numbers in a row, such as 2019, 2020, 2021, are taken as names, and so is anything above a column of
    numbers that is not one itself.
    """
    if not rows:
        return False
    cells = [cell.strip() for cell in first]
    columns = list(zip(*[row for row in rows[:_HEADER_ROWS] if len(row) == len(first)], strict=True))
    if not columns:
        return False
    numeric = [_mostly_numbers(column) for column in columns]
    if any(above_numbers and cell and not is_number(cell) for cell, above_numbers in zip(cells, numeric, strict=True)):
        return False
    above = [cell for cell, above_numbers in zip(cells, numeric, strict=True) if above_numbers and is_number(cell)]
    if above and not _consecutive(above):
        return True
    return (
        not above
        and len(rows) > 3
        and all(cell in {c.strip() for c in column} for cell, column in zip(cells, columns, strict=True))
    )


def is_number(text: str) -> bool:
    """Whether the text is a plain number such as -1, 2.5 or 1e-3.

    >>> is_number("1e-3"), is_number("1,5"), is_number("nan")
    (True, False, False)
    """
    return text.isascii() and _PLAIN.fullmatch(text) is not None


def without_decimal_comma(column: Sequence[str | None]) -> list[str | None] | None:
    """The column with 1.234,5 written as 1234.5, or None if a cell with a digit is no such number.

    >>> without_decimal_comma(["1.234,5", None, "NA", "7"])
    ['1234.5', None, 'NA', '7']
    """
    result: list[str | None] = []
    for cell in column:
        text = cell.strip() if cell else ""
        if not any(character.isdigit() for character in text):
            result.append(cell)
        elif _DECIMAL_COMMA.fullmatch(text):
            result.append(text.replace(".", "").replace(",", "."))
        else:
            return None
    return result


def _fit(lines: Sequence[str], separator: str) -> tuple[float, int]:
    """The share of rows that have as many cells as most rows, and that number of cells (0 if the first row has one)."""
    widths = [len(row) for row in split_cells(lines, Dialect(separator))]
    if not widths or widths[0] == 1:
        return 0.0, 0
    width, count = Counter(widths).most_common(1)[0]
    share = count / len(widths)
    return (round(share, 1), width) if width > 1 else (0.0, 0)


def _only_decimal_commas(lines: Sequence[str]) -> bool:
    return not any(re.search(r"(?<!\d),|,(?!\d)", line) for line in lines)


def _blank_after(lines: Sequence[str], separator: str) -> bool:
    """Whether a blank follows each separator."""
    bare = [_QUOTED.sub('""', line) for line in lines]
    after = [line[i + 1 : i + 2] for line in bare for i, character in enumerate(line) if character == separator]
    return bool(after) and separator != "\t" and all(character == " " for character in after)


def _mostly_numbers(column: Sequence[str]) -> bool:
    cells = [cell.strip() for cell in column if cell.strip()]
    return bool(cells) and sum(map(is_number, cells)) >= 0.8 * len(cells)


def _consecutive(cells: Sequence[str]) -> bool:
    if len(cells) < 2 or not all(cell.isdigit() for cell in cells):
        return False
    numbers = [int(cell) for cell in cells]
    return all(second - first == 1 for first, second in pairwise(numbers))
