"""Text tables (CSV, TSV and their like) as Arrow tables of text, with the file's own line numbers.

Every cell is the text between the separators, exactly (`007` stays `007`), or null where there is none. Nothing is
guessed about types here. Blank lines are no rows.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from deepen.core.errors import DataError, OptionError
from deepen.core.faults import Fault
from deepen.core.units import plural
from deepen.data.columns import column_names, with_origin
from deepen.data.separator import Dialect, looks_like_data, sniffed, split_cells, without_decimal_comma
from deepen.data.text_file import encoding_of, errors_of, file_bytes, refusal

if TYPE_CHECKING:
    from deepen.data.read import ReadOptions

LONGEST_CELL = 20_000_000  # characters
_SNIFFED_LINES = 200
_SNIFFED_LENGTH = 1_000_000
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def read_delimited(path: Path, options: ReadOptions) -> tuple[pa.Table, list[Fault]]:
    """The table of a text file, and what was noticed: notes, rows of a wrong length (error), rows left out (sample).

    The columns are the file's, as strings, then `source` ("adult.csv, row 418": the file line where the row begins)
    and `key`. Read with `options.encoding`, `separator`, `decimal` and `header`; what is not given is found by looking.
    With `decimal=","` columns that hold only such numbers are rewritten with a point, all others stay as they are.

    Raises OptionError for an unusable separator or decimal mark, and DataError where no table can be made: wrong
    encoding, nothing in it, an open quote, names that occur twice, or a first line that looks like data.
    """
    if options.decimal not in (".", ","):
        raise OptionError(f"--decimal {options.decimal!r}: expected a point or a comma.")
    data = file_bytes(path)
    encoding = encoding_of(data, options.encoding, path.name)
    head = _head(_lines(data, encoding))
    if not head:
        raise refusal("empty", path.name, "the file is empty; expected a line of column names and rows below it.")
    asked, skipped = _stated_separator(head[0], options.separator)
    with _long_cells():
        dialect = sniffed(head[skipped:], asked)
        faults = _said(path.name, dialect)
        records = _records(islice(_lines(data, encoding), skipped, None), dialect, path.name, start=skipped)
        names, rows = _header(records, head[skipped:], dialect, options, path.name, faults)
        places, cells = _fitting(rows, len(names), path.name, faults)
    if not cells and not any(fault.level in ("error", "sample") for fault in faults):
        raise refusal("no-rows", path.name, "there is a line of column names but no row below it.")
    return _table(names, cells, places, options.decimal, path.name, faults), faults


def _lines(data: bytes, encoding: str) -> io.TextIOWrapper:
    """The lines with their ends as they are, cut at LF, CRLF and CR alike."""
    return io.TextIOWrapper(io.BytesIO(data), encoding=encoding, errors=errors_of(encoding), newline="")


def _head(lines: io.TextIOWrapper) -> list[str]:
    """The first lines that are not blank, for looking; quoted cells may run over several of them."""
    head, length = [], 0
    for line in lines:
        length += len(line)
        if head and length > _SNIFFED_LENGTH:
            break
        if line.strip("\r\n"):
            head.append(line)
        if len(head) >= _SNIFFED_LINES:
            break
    return head


def _stated_separator(first: str, asked: str) -> tuple[str, int]:
    """The separator of a first line such as `sep=;`, and how many lines that takes."""
    if asked not in ("", "tab", "\\t") and (len(asked) != 1 or asked in '"\r\n'):
        raise OptionError(f"--separator {asked!r}: expected one character such as ; or |, or the word tab.")
    stated = re.fullmatch(r"sep=(.)\s*", first.removeprefix("\ufeff"))
    return (asked or stated.group(1), 1) if stated else (asked, 0)


def _said(place: str, dialect: Dialect) -> list[Fault]:
    if dialect == Dialect(",") or (dialect == Dialect("\t") and ".tsv" in place.lower()):
        return []
    message = f"cells are separated by {dialect.said()}; --separator takes another."
    return [Fault("note", "separator", place, message)]


def _records(lines: Iterator[str], dialect: Dialect, name: str, *, start: int) -> Iterator[tuple[int, list[str]]]:
    """(file line, cells) of each row that is not blank. Raises DataError for an open or misplaced quote."""
    kept: list[str] = []

    def watched() -> Iterator[str]:
        for line in lines:
            kept.append(line)
            yield line

    reader = csv.reader(watched(), delimiter=dialect.separator, skipinitialspace=dialect.blank_after, strict=True)
    try:
        while True:
            line = start + reader.line_num + 1
            kept.clear()
            cells = next(reader, None)
            if cells is None:
                return
            if cells:
                yield line, cells
    except csv.Error as error:
        raise _quote_refusal(error, kept, line, dialect, name) from error


@contextmanager
def _long_cells() -> Iterator[None]:
    """The csv module's limit on a cell, which belongs to the whole process, raised and put back."""
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _quote_refusal(error: csv.Error, kept: Sequence[str], line: int, dialect: Dialect, name: str) -> DataError:
    text = str(error)
    if "unexpected end" in text:
        opened = line + _open_quote(kept, dialect)
        return refusal("quote-open", f"{name}, line {opened:,}", "the quote opened here is never closed; close it.")
    if "field larger" in text:
        message = f"a cell of more than {LONGEST_CELL:,} characters; is a quote not closed?"
        return refusal("cell-too-long", f"{name}, line {line:,}", message)
    if "expected after" in text:
        message = "there is text between a closing quote and the separator; write a quote within quotes twice."
        return refusal("quote-misplaced", f"{name}, line {line + len(kept) - 1:,}", message)
    return refusal("csv", f"{name}, line {line:,}", f"the line cannot be split into cells ({text}).")


def _open_quote(record: Sequence[str], dialect: Dialect) -> int:
    """The index of the line within an unfinished record on which the quote that stays open was opened."""
    opened, quoted, at_start = 0, False, True
    for index, line in enumerate(record):
        for character in line:
            if quoted:
                quoted = character != '"'
                continue
            if character == '"' and (at_start or opened == index):
                opened, quoted = index, True
            at_start = character == dialect.separator or (at_start and character == " " and dialect.blank_after)
    return opened


def _header(
    records: Iterator[tuple[int, list[str]]],
    head: Sequence[str],
    dialect: Dialect,
    options: ReadOptions,
    name: str,
    faults: list[Fault],
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The column names, and the rows below them."""
    first = next(records, None)
    if first is None:
        raise refusal("empty", name, "the file is empty; expected a line of column names and rows below it.")
    if not options.header:
        return [f"column{index}" for index in range(1, len(first[1]) + 1)], _chained(first, records)
    if looks_like_data(first[1], split_cells(head, dialect)[1:]):
        shown = ", ".join(cell.strip() for cell in first[1][:4])
        message = f"the first line looks like data ({shown}, ...); name the columns there, or pass --no-header."
        raise refusal("header-missing", f"{name}, line {first[0]:,}", message)
    return column_names(first[1], name, faults), records


def _chained(first: tuple[int, list[str]], rest: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    yield first
    yield from rest


def _fitting(
    rows: Iterator[tuple[int, list[str]]], width: int, name: str, faults: list[Fault]
) -> tuple[list[int], list[list[str]]]:
    """The rows with as many cells as there are columns and no control characters, and their lines."""
    places, cells, wrong = [], [], []
    for line, row in rows:
        if len(row) != width:
            wrong.append((line, len(row)))
        elif found := _CONTROL.search("".join(row)):
            faults.append(_control_fault(f"{name}, row {line}", found.group()))
        else:
            places.append(line)
            cells.append(row)
    faults.extend(_length_faults(wrong, len(places), width, name))
    return places, cells


def _control_fault(place: str, character: str) -> Fault:
    code = f"U+{ord(character):04X}"
    what = "half of a surrogate pair" if 0xD800 <= ord(character) < 0xE000 else "a control character"
    return Fault("sample", "control-character", place, f"the row holds {what} ({code}); remove it.")


def _length_faults(wrong: list[tuple[int, int]], num_good: int, width: int, name: str) -> list[Fault]:
    """One fault per row of a wrong length, or a single one where most rows are of one wrong length."""
    if not wrong:
        return []
    found, count = Counter(length for _, length in wrong).most_common(1)[0]
    if count > 3 and count > num_good:
        line = next(line for line, length in wrong if length == found)
        message = (
            f"{plural(count, 'row')} from here on hold {plural(found, 'cell')}, but the first line names "
            f"{plural(width, 'column')}; mend the first line, the separators at the line ends, or pass --separator."
        )
        return [Fault("error", "row-length", f"{name}, row {line}", message)]
    mend = "fill it up, or put quotes around cells that hold the separator."
    return [
        Fault("error", "row-length", f"{name}, row {line}", f"{plural(length, 'cell')}, expected {width}; {mend}")
        for line, length in wrong
    ]


def _table(
    names: Sequence[str], rows: list[list[str]], places: list[int], decimal: str, name: str, faults: list[Fault]
) -> pa.Table:
    columns: list[Sequence[str | None]] = [[cell or None for cell in column] for column in zip(*rows, strict=True)]
    columns = columns or [[] for _ in names]
    if decimal == ",":
        columns = [_with_points(name, title, column, faults) for title, column in zip(names, columns, strict=True)]
    table = pa.table([pa.array(column, pa.string()) for column in columns], names=list(names))
    return with_origin(table, [f"{name}, row {line}" for line in places])


def _with_points(place: str, title: str, column: Sequence[str | None], faults: list[Fault]) -> Sequence[str | None]:
    changed = without_decimal_comma(column)
    if changed is None or changed == list(column):
        return column
    faults.append(Fault("note", "decimal-comma", place, f"column {title!r} is read with a decimal comma."))
    return changed
