"""Excel workbooks (.xlsx) as Arrow tables of text: one sheet, the values as they were last calculated."""

from __future__ import annotations

import datetime
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError

import pyarrow as pa

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.names import did_you_mean
from deepen.core.units import size
from deepen.data.columns import column_names, with_origin
from deepen.data.text_file import refusal

if TYPE_CHECKING:
    from deepen.data.read import ReadOptions

LARGEST = 1 << 29  # bytes, unpacked: an .xlsx file is a zip archive
RATIO = 200
_OLD = b"\xd0\xcf\x11\xe0"
_DAMAGE = (  # what the zip, XML and workbook readers raise on damaged files, RuntimeError being that of a password
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    ParseError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
_UNCALCULATED = re.compile(rb'<c r="([A-Z]+\d+)"[^>]*>\s*<f[^>]*(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v></v>)?\s*</c>')
_MERGED = re.compile(rb'<mergeCell ref="([A-Z0-9:]+)"')


def read_excel(path: Path, options: ReadOptions) -> tuple[pa.Table, list[Fault]]:
    """The table of one sheet, and what was noticed: `options.sheet`, else the first that is not hidden, which is said.

    The first row that is not empty names the columns (without `options.header` they are column1, column2, ...); empty
    rows are no rows. Cells are text: whole numbers without a point, dates as 2020-03-04, truth values as true and
    false. Then come `source` ("sales.xlsx, row 5", the sheet's own row) and `key`.

    Raises DataError for what is no .xlsx file, unpacks to more than LARGEST bytes, or holds formulas without a value.
    """
    faults: list[Fault] = []
    _refuse_unfit(path)
    sheet, rows = _sheet_rows(path, options.sheet, faults)
    place = f"{path.name}, sheet {sheet!r}"
    if not rows:
        raise refusal("empty", place, "the sheet is empty; expected a row of column names and rows below it.")
    if options.header:
        header, rows = [_text(cell) or "" for cell in rows[0][1]], rows[1:]
        names = column_names(header, place, faults)
    else:
        names = [f"column{index}" for index in range(1, max(len(cells) for _, cells in rows) + 1)]
    if not rows:
        raise refusal("no-rows", place, "there is a row of column names but no row below it.")
    return _table(names, rows, path.name, faults), faults


def _refuse_unfit(path: Path) -> None:
    try:
        if path.read_bytes()[:4] == _OLD:
            raise refusal("excel-old", path.name, "is the old .xls format; save it as .xlsx or .csv.")
        with zipfile.ZipFile(path) as archive:
            total = sum(member.file_size for member in archive.infolist())
    except _DAMAGE as error:
        raise refusal("excel-damaged", path.name, f"not a whole .xlsx file ({error}); save it anew.") from error
    if total > LARGEST or total > max(RATIO * path.stat().st_size, 1 << 26):
        message = f"unpacks to {size(total)}, which is not read; save the sheet as .csv."
        raise refusal("excel-size", path.name, message)


def _sheet_rows(path: Path, asked: str, faults: list[Fault]) -> tuple[str, list[tuple[int, Sequence[Any]]]]:
    """The sheet's name, and (row number, cells) of each row that is not empty."""
    import openpyxl

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            try:
                title = _chosen(book, asked, path.name, faults)
                _look_at_xml(path, book[title], f"{path.name}, sheet {title!r}", faults)
                return title, list(_full_rows(book[title]))
            finally:
                book.close()
    except DataError:
        raise
    except _DAMAGE as error:
        raise refusal("excel-damaged", path.name, f"not a whole .xlsx file ({error}); save it anew.") from error


def _chosen(book, asked: str, name: str, faults: list[Fault]) -> str:
    sheets = {sheet.title: sheet.sheet_state for sheet in book.worksheets}
    if asked:
        if asked not in sheets:
            raise refusal("sheet-missing", name, f"there is no sheet {asked!r}{did_you_mean(asked, sheets)}")
        return asked
    shown = [title for title, state in sheets.items() if state == "visible"]
    if not shown:
        raise refusal("sheet-hidden", name, f"every sheet is hidden; pass --sheet with one of {', '.join(sheets)}.")
    if len(sheets) > 1:
        rest = ", ".join(title if title in shown else f"{title} (hidden)" for title in sheets if title != shown[0])
        message = f"sheet {shown[0]!r} is read; --sheet takes another: {rest}."
        faults.append(Fault("note", "sheet", name, message))
    return shown[0]


def _look_at_xml(path: Path, sheet, place: str, faults: list[Fault]) -> None:
    """Refuses formulas that were never calculated; warns of merged cells. The read-only reader shows neither."""
    with zipfile.ZipFile(path) as archive:
        xml = archive.read(sheet._worksheet_path.lstrip("/"))
    empty = _UNCALCULATED.findall(xml)
    if empty:
        cells = ", ".join(cell.decode() for cell in empty[:3])
        message = f"{len(empty):,} formulas have no value ({cells}); open and save it in a spreadsheet program."
        raise refusal("formula", place, message)
    merged = _MERGED.findall(xml)
    if merged:
        message = f"{len(merged):,} merged ranges ({merged[0].decode()}): only the first cell of each holds the value."
        faults.append(Fault("warning", "merged-cells", place, message))


def _full_rows(sheet) -> Iterator[tuple[int, Sequence[Any]]]:
    sheet.reset_dimensions()  # the stated size may be wrong
    for number, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
        while cells and cells[-1] is None:
            cells = cells[:-1]
        if cells:
            yield number, cells


def _table(names: list[str], rows: list[tuple[int, Sequence[Any]]], name: str, faults: list[Fault]) -> pa.Table:
    kept = []
    for number, cells in rows:
        if len(cells) > len(names):
            message = f"{len(cells)} cells, expected {len(names)}; give the column a name or empty it."
            faults.append(Fault("error", "row-length", f"{name}, row {number}", message))
        else:
            kept.append((number, [*map(_text, cells), *[None] * (len(names) - len(cells))]))
    columns = list(zip(*(cells for _, cells in kept), strict=True)) or [() for _ in names]
    table = pa.table([pa.array(column, pa.string()) for column in columns], names=names)
    return with_origin(table, [f"{name}, row {number}" for number, _ in kept])


def _text(cell: object) -> str | None:
    if cell is None or isinstance(cell, str):
        return cell or None
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 2**53 else repr(cell)
    if isinstance(cell, datetime.datetime):
        return cell.date().isoformat() if cell.time() == datetime.time() else cell.isoformat(" ")
    return str(cell)
