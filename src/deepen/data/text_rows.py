"""Tables whose cells are texts: CSV, JSON lines, Parquet and Excel as any table, and tab-separated files as texts are
written in the field: no quoting, so that a quotation mark is a quotation mark.

A first line that is a row and no names (AG News, DBpedia) is found by looking; columns are then column1, column2, ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.data import text_names
from deepen.data.columns import RESERVED, column_names
from deepen.data.dataset import SPLIT_NAMES, SPLITS
from deepen.data.read import ReadOptions
from deepen.data.readers.table_file import WORDS, kind_of
from deepen.data.separator import looks_like_data
from deepen.data.text_encoding import lines_of, read_text
from deepen.data.text_file import refusal

SPLIT_COLUMNS = ("split", "subset", "partition")
LONGEST_NAME_WORDS = 4  # a column's name of more words is a text
LEAST_OF_ONE_WIDTH = 0.98
ROWS_LOOKED = 200
_PLAIN = (".txt", ".data", ".label", "")  # what may hold tabs too
_Read = Callable[[Path, ReadOptions], tuple[pa.Table, list[Fault]]]


def is_table(file: Path) -> bool:
    """Whether a file is a table by its name, or a text whose first lines have the same number of tabs."""
    kind = kind_of(file)
    if kind in WORDS and kind not in _PLAIN:
        return True
    return kind in _PLAIN and _num_tabs(text_names.head_lines(file)) > 0


def read_rows(files: Mapping[str, Sequence[Path]], options: ReadOptions, faults: list[Fault]) -> dict[str, pa.Table]:
    """The rows of all files by split: the user's columns, then `source`.

    One file whose column `split` (subset, partition) holds names of splits is cut by it. Raises DataError if two files
    have other columns.
    """
    tables = {}
    for split, same in files.items():
        parts = [_table(file, options, faults) for file in same]
        tables[split] = pa.concat_tables(parts, promote_options="permissive") if len(parts) > 1 else parts[0]
    _refuse_differing(tables, files)
    return _by_column(tables["all"]) if "all" in tables else tables


def texts_of(table: pa.Table, names: Sequence[str]) -> list[str]:
    """The cells of a column as texts, a missing one empty; those of several columns joined, a line each."""
    columns = [pc.fill_null(table.column(name).cast(pa.string()), "").to_pylist() for name in names]
    if len(columns) == 1:
        return columns[0]
    return ["\n".join(cell for cell in cells if cell) for cells in zip(*columns, strict=True)]


def text_columns(table: pa.Table, without: Sequence[str] = ()) -> list[str]:
    """The user's columns of strings."""
    own = [name for name in table.column_names if name not in RESERVED and name not in without]
    return [name for name in own if pa.types.is_string(table.schema.field(name).type)]


def mean_words(table: pa.Table, name: str) -> float:
    """Words of a cell of a column of strings, on average over its first rows; characters count where there are no
    blanks, as in Chinese."""
    cells = [cell for cell in table.column(name).slice(0, ROWS_LOOKED).to_pylist() if cell]
    return sum(max(cell.count(" ") + 1, len(cell.encode()) / 8) for cell in cells) / max(1, len(cells))


def is_unnamed(table: pa.Table) -> bool:
    """Whether the columns have no names of their own."""
    own = [name for name in table.column_names if name not in RESERVED]
    return own == [f"column{index}" for index in range(1, len(own) + 1)]


def _table(file: Path, options: ReadOptions, faults: list[Fault]) -> pa.Table:
    found: list[Fault] = []
    table, found = _reader(file)(file, options)
    faults.extend(found)
    return table.drop_columns(["key"]) if "key" in table.column_names else table


def _reader(file: Path) -> _Read:
    from deepen.data.excel import read_excel
    from deepen.data.jsonl import read_jsonl
    from deepen.data.parquet import read_parquet

    word = WORDS.get(kind_of(file), "")
    readers: dict[str, _Read] = {"JSON lines": read_jsonl, "Parquet": read_parquet, "Excel": read_excel}
    if word in readers:
        return readers[word]
    return _tabbed if _num_tabs(text_names.head_lines(file)) > 0 else _delimited


def _num_tabs(lines: Sequence[str]) -> int:
    """The tabs of a line, if nearly all lines have the same number and no quoted cell holds one; else 0."""
    counts = [line.count("\t") for line in lines]
    if not counts or counts[0] == 0:
        return 0
    return counts[0] if sum(count == counts[0] for count in counts) >= LEAST_OF_ONE_WIDTH * len(counts) else 0


def _delimited(file: Path, options: ReadOptions) -> tuple[pa.Table, list[Fault]]:
    """A table with separators and quotes, read again without names where the first line turns out to be a row."""
    from deepen.data.delimited import read_delimited

    try:
        table, faults = read_delimited(file, options)
    except DataError as error:
        if not error.faults or error.faults[0].kind != "header-missing":
            raise
    else:
        if not options.header or not _are_texts(table.column_names):
            return table, faults
    table, faults = read_delimited(file, replace(options, header=False))
    return table, [*faults, _no_names(file.name)]


def _tabbed(file: Path, options: ReadOptions) -> tuple[pa.Table, list[Fault]]:
    """A table whose cells stand between tabs as they are."""
    faults: list[Fault] = []
    lines = lines_of(read_text(file, options.encoding, faults))
    numbers = [number for number, line in enumerate(lines, start=1) if line and not line.isspace()]
    rows = [lines[number - 1].split("\t") for number in numbers]
    first = rows[0]
    has_names = options.header and not _are_texts(first) and not looks_like_data(first, rows[1:ROWS_LOOKED])
    if options.header and not has_names:
        faults.append(_no_names(file.name))
    names = column_names(first, file.name, faults) if has_names else [f"column{i + 1}" for i in range(len(first))]
    if has_names:
        numbers, rows = numbers[1:], rows[1:]
    if not rows:
        raise refusal("no-rows", file.name, "there is a line of column names but no row below it.")
    kept = [index for index, row in enumerate(rows) if len(row) == len(names)]
    if len(kept) < len(rows):
        faults.extend(_length_faults(rows, numbers, len(names), file.name))
        numbers, rows = [numbers[index] for index in kept], [rows[index] for index in kept]
    columns = list(zip(*rows, strict=True)) or [() for _ in names]
    made = [pa.array([cell or None for cell in column], pa.string()) for column in _unquoted(columns)]
    sources = pa.array([f"{file.name}, line {number}" for number in numbers], pa.string())
    return pa.table([*made, sources], names=[*names, "source"]), faults


def _length_faults(rows: Sequence[Sequence[str]], numbers: Sequence[int], width: int, name: str) -> list[Fault]:
    return [
        Fault("sample", "row-length", f"{name}, line {number}", f"{len(row)} cells, expected {width} between tabs.")
        for number, row in zip(numbers, rows, strict=True)
        if len(row) != width
    ]


def _unquoted(columns: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """The cells without the quotes around them, where every cell that begins with one ends with one."""
    begun = [cell for column in columns for cell in column if cell.startswith('"')]
    if not begun or not all(len(cell) > 1 and cell.endswith('"') for cell in begun):
        return list(columns)
    return [[cell[1:-1].replace('""', '"') if cell.startswith('"') else cell for cell in column] for column in columns]


def _are_texts(names: Sequence[str]) -> bool:
    """Whether one of what should be names has so many words that it is a text."""
    return any(len(name.split()) > LONGEST_NAME_WORDS for name in names)


def _no_names(name: str) -> Fault:
    message = "the first line is a row and names no columns; they are column1, column2, ..."
    return Fault("note", "header-none", name, message)


def _refuse_differing(tables: Mapping[str, pa.Table], files: Mapping[str, Sequence[Path]]) -> None:
    splits = list(tables)
    for split in splits[1:]:
        odd = sorted(set(tables[splits[0]].column_names) ^ set(tables[split].column_names))
        if odd:
            first, other = files[splits[0]][0].name, files[split][0].name
            has = first if odd[0] in tables[splits[0]].column_names else other
            message = f"column {odd[0]!r} is in {has} alone; give both the same columns."
            raise refusal("columns-differ", f"{first} and {other}", message)


def _by_column(table: pa.Table) -> dict[str, pa.Table]:
    """The table cut by its column of splits, or as "all" where it has none with their names alone."""
    name = next((name for name in table.column_names if name.lower() in SPLIT_COLUMNS), "")
    if not name or not pa.types.is_string(table.schema.field(name).type):
        return {"all": table}
    values = [SPLIT_NAMES.get((text or "").strip().lower(), "") for text in table.column(name).to_pylist()]
    if "" in values or "train" not in values:
        return {"all": table}
    return {split: table.filter(pa.array([value == split for value in values])) for split in SPLITS if split in values}
