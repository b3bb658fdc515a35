"""Tables in one file, or a folder with one table file or with one per split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.names import nearest
from deepen.core.units import plural
from deepen.data.columns import RESERVED
from deepen.data.dataset import SPLIT_NAMES, Dataset
from deepen.data.read import ReadOptions, short_name
from deepen.data.target import choose_target, found_column, mark_target
from deepen.data.text_file import encoding_of, errors_of, file_bytes, refusal

LOOKS_FOR = "a table (.csv, .tsv, .jsonl, .parquet, .xlsx), or a folder of one or of train, val and test tables"
WORDS = {
    ".csv": "CSV",
    ".tsv": "TSV",
    ".tab": "TSV",
    ".txt": "text table",
    ".data": "text table",
    ".jsonl": "JSON lines",
    ".ndjson": "JSON lines",
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".xlsx": "Excel",
    ".xlsm": "Excel",
    ".xls": "Excel",
}
_UNSURE = (".txt", ".data")  # taken when the file is named, not when a folder is looked through


def recognizes(path: Path) -> bool:
    """Whether the path is a table file, or a folder with files for splits or exactly one table file."""
    try:
        if path.is_dir():
            return bool(_split_files(path)) or len(_table_files(path)) == 1
        return path.is_file() and kind_of(path) in WORDS
    except OSError:
        return False


def kind_of(path: Path) -> str:
    """The ending that tells the format, without .gz: ".csv" for "adult.csv.gz"."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return suffixes[-2] if len(suffixes) > 1 and suffixes[-1] == ".gz" else suffixes[-1] if suffixes else ""


def read(path: Path, options: ReadOptions) -> Dataset:
    """The data set of a table file, or of a folder of them; the target's name is kept with each table (`target_of`).

    A folder whose files are named train, val and test (or valid, validation, dev) has those splits, and their columns
    must agree; else it must hold exactly one table file. The columns are the user's own, then `source` and `key`.
    """
    files = _files(path)
    faults: list[Fault] = []
    tables = {}
    for split, file in files.items():
        table, found = _reader(file)(file, options)
        faults.extend(found)
        tables[split] = table
    _refuse_differing(tables, files)
    first = next(iter(files.values())).name
    target = _target(next(iter(tables.values())), options, first, faults)
    tables = {split: _chosen_columns(table, options, target, first) for split, table in tables.items()}
    if target:
        tables = {split: mark_target(table, target) for split, table in tables.items()}
    return Dataset(short_name(path), _layout(tables, files), tables, _labels(options), tuple(faults))


def _files(path: Path) -> dict[str, Path]:
    """The file of each split, or {"all": file}."""
    if not path.is_dir():
        return {"all": path}
    if files := _split_files(path):
        return files
    found = _table_files(path)
    if not found:
        raise refusal("no-table", path.name, "there is no table in this folder; expected .csv, .jsonl or .parquet.")
    if len(found) > 1:
        names = ", ".join(file.name for file in found[:5])
        raise refusal("many-tables", path.name, f"there are {len(found)} tables here ({names}); name one of them.")
    return {"all": found[0]}


def _reader(path: Path) -> Callable[[Path, ReadOptions], tuple[pa.Table, list[Fault]]]:
    from deepen.data.delimited import read_delimited
    from deepen.data.excel import read_excel
    from deepen.data.jsonl import read_jsonl
    from deepen.data.parquet import read_parquet

    readers = {"JSON lines": read_jsonl, "Parquet": read_parquet, "Excel": read_excel}
    return readers.get(WORDS.get(kind_of(path), ""), read_delimited)


def _table_files(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if not file.name.startswith(".") and file.is_file() and kind_of(file) in WORDS and kind_of(file) not in _UNSURE
    )


def _split_files(folder: Path) -> dict[str, Path]:
    """The files named after splits; {} without one for training."""
    found: dict[str, Path] = {}
    for file in _table_files(folder):
        split = SPLIT_NAMES.get(file.name.split(".")[0].casefold())
        if split and split in found:
            message = f"{found[split].name} and {file.name} both look like the {split} split; keep one of them."
            raise refusal("split-twice", folder.name, message)
        if split:
            found[split] = file
    order = ("train", "val", "test")
    return {split: found[split] for split in order if split in found} if "train" in found and len(found) > 1 else {}


def _refuse_differing(tables: dict[str, pa.Table], files: dict[str, Path]) -> None:
    """Raises DataError, naming both files, if two splits have different columns or types."""
    splits = list(tables)
    first = tables[splits[0]]
    for split in splits[1:]:
        names = f"{files[splits[0]].name} and {files[split].name}"
        other = tables[split]
        odd = sorted(set(first.column_names) ^ set(other.column_names))
        if odd:
            raise refusal("columns-differ", names, _differing_names(odd[0], first, other, files, splits[0], split))
        for name in first.column_names:
            left, right = first.schema.field(name).type, other.schema.field(name).type
            if left != right and not _alike(left, right):
                message = f"column {name!r} is {left} in the one and {right} in the other; give both one type."
                raise refusal("columns-differ", names, message)


def _alike(left: pa.DataType, right: pa.DataType) -> bool:
    def is_number(kind: pa.DataType) -> bool:
        return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)

    return is_number(left) and is_number(right)


def _differing_names(
    odd: str, first: pa.Table, other: pa.Table, files: dict[str, Path], split: str, other_split: str
) -> str:
    has, lacks = (split, other_split) if odd in first.column_names else (other_split, split)
    near = nearest(odd, (first if has == other_split else other).column_names)
    hint = f" (which has {near!r})" if near else ""
    return f"column {odd!r} is in {files[has].name} but not in {files[lacks].name}{hint}; give both the same columns."


def _target(table: pa.Table, options: ReadOptions, place: str, faults: list[Fault]) -> str:
    """The column to learn; where targets are not needed a missing one is fine."""
    try:
        return choose_target(table.column_names, options.target, place, faults)
    except DataError:
        if options.targets_needed:
            raise
        return ""


def _chosen_columns(table: pa.Table, options: ReadOptions, target: str, place: str) -> pa.Table:
    """The columns asked for with --columns, the target, the group and ours; all of them if none are asked for."""
    if not options.columns:
        return table
    wanted = {found_column(table.column_names, name, place) for name in options.columns}
    wanted |= {target, options.group, *RESERVED}
    return table.select([name for name in table.column_names if name in wanted])


def _labels(options: ReadOptions) -> tuple[str, ...]:
    """The class names of the file named by --labels, one per line."""
    if not options.labels:
        return ()
    path = Path(options.labels)
    data = file_bytes(path)
    encoding = encoding_of(data, options.encoding, path.name)
    lines = [line.strip() for line in data.decode(encoding, errors_of(encoding)).splitlines()]
    return tuple(dict.fromkeys(line for line in lines if line))


def _layout(tables: dict[str, pa.Table], files: dict[str, Path]) -> str:
    first = next(iter(tables.values()))
    columns = plural(len([name for name in first.column_names if name not in RESERVED]), "column")
    kind = WORDS.get(kind_of(next(iter(files.values()))), "text table")
    if "all" in tables:
        return f"{kind} {files['all'].name}: {plural(first.num_rows, 'row')}, {columns}"
    parts = ", ".join(f"{split} {table.num_rows:,}" for split, table in tables.items())
    return f"{kind} files: {parts} rows, {columns}"
