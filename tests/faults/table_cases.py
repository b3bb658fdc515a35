"""T: tables in text, JSON lines, Parquet and Excel.

T29 and T30 (unknown categories, columns in another order or missing at prediction) are in prepare/test_tabular.py,
T36 (formulas in our own exports) belongs to the writer of predictions.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.faults.harness import Case

NAMES = ["area", "city", "rooms", "label"]
CITIES = ("Oslo", "Lima", "Accra")
CLASSES = "tabular-classification"
NUMBERS = "tabular-regression"
TARGET = ("--target", "label")


def rows(count: int = 60) -> list[list[str]]:
    """Rows of a clean table whose label depends on area and city."""
    draw = np.random.default_rng(3)
    made = []
    for index in range(count):
        area, city, rooms = draw.uniform(20, 120), int(draw.integers(0, 3)), int(draw.integers(1, 6))
        label = "dear" if area + 30 * city + draw.normal(0, 25) > 95 else "cheap"
        made.append([f"{area:.1f}", CITIES[city], str(rooms), label if index > 1 else ("dear", "cheap")[index]])
    return made


def text(body: list[list[str]], names: list[str] | None = None, separator: str = ",", end: str = "\n") -> str:
    return end.join(separator.join(row) for row in [names or NAMES, *body]) + end


def written(folder: Path, content: str | bytes, name: str = "flats.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def clean(folder: Path) -> Path:
    return written(folder, text(rows()))


def changed(change: Callable[[list[list[str]]], object], count: int = 60) -> Callable[[Path], Path]:
    """A builder of the clean table with its rows changed in place."""

    def build(folder: Path) -> Path:
        body = rows(count)
        change(body)
        return written(folder, text(body))

    return build


def encoded_as(encoding: str) -> Callable[[Path], Path]:
    return lambda folder: written(folder, text(rows()).encode(encoding))


def other_text(change: Callable[[str], str | bytes]) -> Callable[[Path], Path]:
    return lambda folder: written(folder, change(text(rows())))


def with_column(name: str, cells: Callable[[int, list[str]], str], count: int = 60) -> Callable[[Path], Path]:
    """A builder of the clean table with one more column in front."""

    def build(folder: Path) -> Path:
        body = [[cells(index, row), *row] for index, row in enumerate(rows(count))]
        return written(folder, text(body, [name, *NAMES]))

    return build


def put(row: int, column: int, cell: str) -> Callable[[Path], Path]:
    """A builder of the clean table with one cell changed."""
    return changed(lambda body: body[row].__setitem__(column, cell))


def all_of(column: int, cells: Callable[[int, str], str], count: int = 60) -> Callable[[Path], Path]:
    def change(body: list[list[str]]) -> None:
        for index, row in enumerate(body):
            row[column] = cells(index, row[column])

    return changed(change, count)


def latin(folder: Path) -> Path:
    body = rows()
    body[7][1] = "K\u00f6ln"
    return written(folder, text(body).encode("latin-1"))


def mixed_ends(folder: Path) -> Path:
    lines = text(rows()).splitlines()
    return written(folder, "".join(line + ("\n", "\r\n", "\r")[index % 3] for index, line in enumerate(lines)))


def open_quote(folder: Path) -> Path:
    body = rows()
    body[9][1] = '"Oslo'
    return written(folder, text(body))


def quoted_lines(folder: Path) -> Path:
    body = rows()
    for row in body:
        row[1] = f'"{row[1]}\nor, ""so"""'
    body[20][0] = "oops"
    return written(folder, text(body))


def sorted_by_label(folder: Path) -> Path:
    body = sorted(rows(), key=lambda row: row[3])
    days = [f"2020-{1 + index // 28:02}-{1 + index % 28:02}" for index in range(len(body))]
    return written(folder, text([[day, *row] for day, row in zip(days, body, strict=True)], ["day", *NAMES]))


def lines(change: Callable[[list[str]], object]) -> Callable[[Path], Path]:
    """JSON lines of the clean table, changed in place."""

    def build(folder: Path) -> Path:
        objects = [
            {"area": float(area), "city": city, "rooms": int(rooms), "label": label}
            for area, city, rooms, label in rows()
        ]
        made = [json.dumps(each) for each in objects]
        change(made)
        return written(folder, "\n".join(made) + "\n", "flats.jsonl")

    return build


def line(number: int, content: str) -> Callable[[Path], Path]:
    return lines(lambda made: made.__setitem__(number - 1, content))


def arrow() -> pa.Table:
    body = rows()
    return pa.table(
        {
            "area": pa.array([float(row[0]) for row in body]),
            "city": pa.array([row[1] for row in body]).dictionary_encode(),
            "rooms": pa.array([int(row[2]) for row in body], pa.int8()),
            "label": [row[3] for row in body],
        }
    )


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def cut_parquet(folder: Path) -> Path:
    return written(folder, parquet(arrow())[:-40], "flats.parquet")


def flipped_parquet(folder: Path) -> Path:
    data = bytearray(parquet(arrow()))
    data[-20] ^= 0xFF
    return written(folder, bytes(data), "flats.parquet")


def parquet_of_lists(folder: Path) -> Path:
    table = arrow().append_column("tags", pa.array([["a", "b"]] * 60))
    return written(folder, parquet(table), "flats.parquet")


def typed_parquet(folder: Path) -> Path:
    zoned = pa.array([1_600_000_000_000_000 + 86_400_000_000 * ((index * 7) % 60) for index in range(60)])
    table = arrow().append_column("seen", zoned.cast(pa.timestamp("us", tz="UTC")))
    table = table.append_column("price", pa.array([index % 9 for index in range(60)]).cast(pa.decimal128(21, 2)))
    return written(folder, parquet(table), "flats.parquet")


def workbook(change: Callable[[object], object]) -> Callable[[Path], Path]:
    """The clean table as an Excel file, changed in place."""

    def build(folder: Path) -> Path:
        import openpyxl

        book = openpyxl.Workbook()
        sheet = book.active
        sheet.append(NAMES)
        for area, city, number, label in rows():
            sheet.append([float(area), city, int(number), label])
        change(book)
        book.save(folder / "flats.xlsx")
        return folder / "flats.xlsx"

    return build


def hide_first(book) -> None:
    book.create_sheet("notes", 0).sheet_state = "hidden"


def old_excel(folder: Path) -> Path:
    return written(folder, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "flats.xlsx")


def excel_bomb(folder: Path) -> Path:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b" " * 70_000_000)
    return written(folder, out.getvalue(), "flats.xlsx")


def two_files(names: list[str]) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        (folder / "flats").mkdir()
        written(folder / "flats", text(rows()), "train.csv")
        written(folder / "flats", text(rows(30), names), "test.csv")
        return folder / "flats"

    return build


def case(name: str, build: Callable[[Path], Path], verdict, *words: str, **more) -> Case:
    """A case of the classification task with its target named."""
    options = more.pop("options", TARGET)
    return Case(name, build, words, verdict, task=more.pop("task", CLASSES), options=options, **more)


TEXT_CASES = (
    case("T01", encoded_as("utf-8-sig"), "N"),
    case("T02", encoded_as("utf-16"), "N"),
    case("T03", latin, "E", "flats.csv, line 9", "byte", "0xf6", "--encoding"),
    case("T03-stated", latin, "N", options=(*TARGET, "--encoding", "latin-1")),
    case("T04", mixed_ends, "N"),
    case("T05", quoted_lines, "E", "flats.csv, row 42", "oops"),
    case("T06", open_quote, "E", "flats.csv, line 11", "quote opened here"),
    case(
        "T08", other_text(lambda all_of_it: all_of_it.replace("\n", ",\n").replace("label,", "label")), "E", "5 cells"
    ),
    case("T09", changed(lambda body: body[4].pop()), "E", "flats.csv, row 6", "3 cells, expected 4"),
    case("T10-empty", lambda folder: written(folder, ""), "E", "flats.csv", "empty"),
    case("T10-header", lambda folder: written(folder, text([])), "E", "no row below"),
    case("T10-blank", other_text(lambda all_of_it: all_of_it.replace("\n", "\n\n")), "N"),
    case(
        "T11",
        other_text(lambda all_of_it: all_of_it.split("\n", 1)[1]),
        "E",
        "line 1",
        "looks like data",
        "--no-header",
    ),
    case("T12", lambda folder: written(folder, text(rows(), ["a", "b", "a", "label"])), "E", "both called 'a'"),
    case("T13", clean, "E", "'lable'", "label", options=("--target", "lable")),
    case("T13-none", clean, "N", "'label'", options=()),
    case("T14", lambda folder: written(folder, text(rows(), [" area", "City\u00a0", "rooms ", "Label"])), "N"),
    case("T15", lambda folder: written(folder, text(rows(), separator=";")), "N", "semicolons"),
    case("T15-stated", lambda folder: written(folder, "sep=;\n" + text(rows(), separator=";")), "N", "semicolons"),
)
NUMBER_CASES = (
    case("T16-comma", lambda f: written(f, text(rows(), separator=";").replace(".", ",")), "E", "row", "--decimal"),
    case(
        "T16-stated",
        lambda f: written(f, text(rows(), separator=";").replace(".", ",")),
        "N",
        "decimal comma",
        options=(*TARGET, "--decimal", ","),
    ),
    case("T16-grouped", all_of(0, lambda i, cell: f'"1,{100 + i}.5"'), "E", "'1,", "--decimal"),
    case("T16-minus", all_of(0, lambda i, cell: f"\u2212{cell}"), "E", "\u2212"),
    case("T16-wide", all_of(2, lambda i, cell: chr(0xFF10 + int(cell))), "E", "'rooms'", "otherwise than"),
    case("T16-arabic", all_of(2, lambda i, cell: chr(0x660 + int(cell))), "E", "'rooms'", "otherwise than"),
    case("T18-inf", put(8, 0, "inf"), "K", "flats.csv, row 10", "'area'", "'inf'"),
    case("T18-large", put(8, 0, "1e400"), "K", "flats.csv, row 10", "'1e400'"),
    case("T18-far", put(12, 0, "1e38"), "W", "flats.csv, row 14", "'area'", "'1e38'", "nine in ten"),
    case("T18-nan", put(8, 0, "NaN"), "N", "missing numbers"),
    case("T19", put(5, 3, ""), "K", "flats.csv, row 7"),
    case("T19-nan", put(5, 3, "NaN"), "K", "flats.csv, row 7"),
    case("T19-number", put(5, 0, ""), "K", "flats.csv, row 7", task=NUMBERS, options=("--target", "area")),
    case("T20", with_column("code", lambda i, row: f"{i:03}"), "W", "'code'", "identifier"),
    case(
        "T20-long",
        with_column("code", lambda i, row: str(9007199254740993 + i) if i else ""),
        "W",
        "'code'",
        "identifier",
    ),
    case("T21-constant", with_column("c", lambda i, row: "x"), "W", "'c'", "every row", "left out"),
    case("T21-empty", with_column("c", lambda i, row: ""), "W", "'c'", "no value", "left out"),
    case("T21-id", with_column("n", lambda i, row: str(i + 1)), "W", "'n'", "identifier", "left out"),
    case("T22", all_of(0, lambda i, cell: "abc" if i == 199 else cell, 400), "E", "row 201", "'area'", "'abc'"),
)
CELL_CASES = (
    case("T23-nul", put(3, 1, "Os\0lo"), "K", "flats.csv, row 5", "U+0000"),
    case("T23-half", lambda f: written(f, text(rows()).encode().replace(b"Oslo", b"\xed\xa0\x80", 1)), "K", "U+D800"),
    case("T24", put(3, 1, "x" * 10_000_000), "N"),
    case("T24-line", lambda f: written(f, text(rows()) + "y" * 30_000_000), "E", "flats.csv, line 62", "characters"),
    case("T25", with_column("ok", lambda i, row: ("True", "false", "TRUE")[i % 3]), "N"),
    case("T25-mixed", with_column("ok", lambda i, row: ("True", "no", "0", "yes")[i % 4]), "W", "'ok'", "several ways"),
    case("T26", with_column("day", lambda i, row: f"0{1 + i % 9}/0{1 + i % 7}/2020"), "E", "'day'", "--columns.dates"),
    case("T26-no-date", with_column("day", lambda i, row: f"2020-02-{1 + i % 30:02}"), "E", "2020-02-30", "no date"),
    case("T26-two", with_column("day", lambda i, row: ("13/04/2020", "04/14/2020")[i % 2]), "E", "'day'", "two orders"),
    case("T27", changed(lambda body: body.__delitem__(slice(1, None))), "E", "1"),
    case("T28", all_of(3, lambda i, cell: "dear"), "E", "'dear'"),
    case("T28-number", all_of(0, lambda i, cell: "5"), "E", "5", task=NUMBERS, options=("--target", "area")),
    case("T31", with_column("copy", lambda i, row: "1.5" if row[3] == "dear" else "0.5"), "W", "'copy'", "AUC 1.000"),
    case("T32", sorted_by_label, "W", "'day'", "sorted"),
)
FORMAT_CASES = (
    case("T33", lines(lambda made: None), "N"),
    case("T33-mark", lambda f: written(f, b"\xef\xbb\xbf" + lines(lambda m: None)(f).read_bytes(), "f.jsonl"), "N"),
    case("T33-bad", line(17, '{"area": 1.5,}'), "K", "flats.jsonl, line 17", "not JSON"),
    case("T33-twice", line(17, '{"area": 1, "area": 2}'), "K", "line 17", "'area' twice"),
    case("T33-nan", line(17, '{"area": NaN, "label": "dear"}'), "K", "line 17", "NaN", "null"),
    case("T33-digits", line(17, '{"area": ' + "9" * 5000 + "}"), "K", "line 17", "digits"),
    case("T33-nested", line(17, '{"area": ' + "[" * 100_000 + "]" * 100_000 + "}"), "K", "line 17", "nested"),
    case("T33-list", line(17, "[1, 2]"), "K", "line 17", "a list"),
    case("T34", typed_parquet, "N"),
    case("T34-cut", cut_parquet, "E", "flats.parquet", "not a whole Parquet file"),
    case("T34-flip", flipped_parquet, "E", "flats.parquet"),
    case("T34-lists", parquet_of_lists, "E", "'tags'", "leave-out"),
    case("T35", workbook(lambda book: None), "N"),
    case("T35-hidden", workbook(hide_first), "N", "'Sheet'", "hidden"),
    case("T35-formula", workbook(lambda book: book.active.__setitem__("A9", "=1+2")), "E", "A9", "no value"),
    case("T35-merged", workbook(lambda book: book.active.merge_cells("B3:B4")), "W", "B3:B4"),
    case("T35-old", old_excel, "E", ".xls"),
    case("T35-bomb", excel_bomb, "E", "unpacks to"),
    case("T37", two_files(["area", "town", "rooms", "label"]), "E", "train.csv", "test.csv", "'city'"),
)
TABLE_CASES: tuple[Case, ...] = (*TEXT_CASES, *NUMBER_CASES, *CELL_CASES, *FORMAT_CASES)
