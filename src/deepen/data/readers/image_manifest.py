"""Images listed in a CSV, TSV, JSONL or Parquet file with a column of paths (or of encoded images) and one of labels.

The file itself may be given, or the folder in which one such file (or one each called train, val and test) stands.
Paths are relative to the file. A column called split or subset, with values such as train, val and test, is the split.
Parquet may hold the images themselves, as bytes or as a struct of bytes and path.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.magic import HEAD_BYTES, image_kind
from deepen.core.names import did_you_mean
from deepen.core.units import plural
from deepen.data.dataset import SPLIT_NAMES, SPLITS, Dataset
from deepen.data.image_files import Looked, foreign, is_foreign, is_image, look
from deepen.data.manifest_files import PATH_COLUMNS, manifests
from deepen.data.pixels import read_class_names
from deepen.data.read import ReadOptions, short_name
from deepen.data.walk import normal_form, walk

LOOKS_FOR = "a table (CSV, TSV, JSONL, Parquet) with a column of image paths and one of labels"
LABEL_COLUMNS = ("label", "class", "target", "category", "class_name", "label_name", "y")
SPLIT_COLUMNS = ("split", "subset", "partition")


def recognizes(path: Path) -> bool:
    """Whether this is a table that seems to list images, or a folder with one such table (or one for each split)."""
    return bool(manifests(path))


def read(path: Path, options: ReadOptions) -> Dataset:
    """Columns image (path or bytes), label, source (the image's path, or file and row) and key.

    Images that are missing or cannot be opened, and one path under two labels, are faults of level sample. Raises
    DataError if a needed column is missing, naming the nearest.
    """
    lists = manifests(path) or {"all": path}
    faults: list[Fault] = []
    tables: dict[str, pa.Table] = {}
    for split, file in lists.items():
        raw, found = _rows(file, options)
        faults.extend(found)
        tables.update(_tables(raw, split, file, options, faults))
    if not path.is_file():
        faults.extend(_unlisted(path, tables))
    names = read_class_names(Path(options.labels)) if options.labels else ()
    count = sum(table.num_rows for table in tables.values())
    if count == 0:
        bad = [fault for fault in faults if fault.level in ("error", "sample")]
        raise DataError(f"{bad[0].sentence()} No other image is left." if bad else f"{path}: lists no image.", bad)
    layout = f"image list {', '.join(file.name for file in lists.values())}: {plural(count, 'image')}"
    return Dataset(short_name(path), layout, tables, names, tuple(faults))


def _rows(file: Path, options: ReadOptions) -> tuple[pa.Table, list[Fault]]:
    from deepen.data.delimited import read_delimited
    from deepen.data.jsonl import read_jsonl
    from deepen.data.parquet import read_parquet

    ending = file.suffix.lower()
    reader = read_parquet if ending == ".parquet" else read_jsonl if ending in (".jsonl", ".ndjson") else read_delimited
    return reader(file, options)


def _tables(raw: pa.Table, split: str, file: Path, options: ReadOptions, faults: list[Fault]) -> dict[str, pa.Table]:
    """The tables by split of one list."""
    path_column = _column(raw, options.path_column, PATH_COLUMNS, "path", file, "--path-column")
    assert path_column
    label_column = _column(raw, options.target, LABEL_COLUMNS, "label", file, "--target", needed=options.targets_needed)
    labels = _texts(raw, label_column, _class_names(file, label_column)) if label_column else [None] * raw.num_rows
    kind = raw.schema.field(path_column).type
    table = (_from_paths if pa.types.is_string(kind) or pa.types.is_large_string(kind) else _from_bytes)(
        raw, path_column, labels, file, faults
    )
    if options.group and options.group in raw.column_names:
        groups = dict(zip(raw.column("source").to_pylist(), _texts(raw, options.group), strict=True))
        table = table.append_column(
            options.group, pa.array([groups[row] for row in table.column("row").to_pylist()], pa.string())
        )
    split_column = next((name for name in raw.column_names if name.lower() in SPLIT_COLUMNS), "")
    if split != "all" or not split_column:
        return {split: table.drop_columns(["row"])}
    return _by_split(
        table, dict(zip(raw.column("source").to_pylist(), _texts(raw, split_column), strict=True)), split_column
    )


def _by_split(table: pa.Table, splits: dict[str, str | None], column: str) -> dict[str, pa.Table]:
    values = [SPLIT_NAMES.get((splits[row] or "").strip().lower(), "") for row in table.column("row").to_pylist()]
    table = table.drop_columns(["row"])
    if "" in values:
        unknown = next(text for text in splits.values() if SPLIT_NAMES.get((text or "").strip().lower(), "") == "")
        raise DataError(f"column {column!r}: the value {unknown!r} names no split; expected train, val or test.")
    return {split: table.filter(pa.array([value == split for value in values])) for split in SPLITS if split in values}


def _column(
    raw: pa.Table, asked: str, known: Sequence[str], what: str, file: Path, option: str, *, needed: bool = True
) -> str:
    own = [name for name in raw.column_names if name not in ("source", "key")]
    folded = {name.strip().lower(): name for name in reversed(own)}
    if asked and asked.strip().lower() in folded:
        return folded[asked.strip().lower()]
    if asked and needed:
        raise DataError(f"{file}: there is no column {asked!r}{did_you_mean(asked, own)}")
    found = next((folded[name] for name in known if name in folded), "")
    if not found and needed:
        raise DataError(
            f"{file}: no column is called like one of {what}s ({', '.join(known[:4])} ...); name it with {option}. "
            f"There is: {', '.join(own)}."
        )
    return found


def _texts(raw: pa.Table, column: str, names: Sequence[str] = ()) -> list[str | None]:
    """A column as texts; class numbers as their names where those are known."""
    values = raw.column(column)
    if names and pa.types.is_integer(values.type):
        known = dict(enumerate(names))
        return [None if code is None else known.get(code, str(code)) for code in values.to_pylist()]
    if pa.types.is_floating(values.type):
        return [
            None if value is None else f"{value:g}" if value == int(value) else str(value)
            for value in values.to_pylist()
        ]
    return values.cast(pa.string()).to_pylist()


def _class_names(file: Path, column: str) -> list[str]:
    """The names of class numbers, where a Parquet file of the Hugging Face library keeps them."""
    if file.suffix.lower() != ".parquet":
        return []
    import pyarrow.parquet as pq

    try:
        features = json.loads((pq.read_schema(file).metadata or {})[b"huggingface"])["info"]["features"]
        names = features[column]["names"]
    except (KeyError, TypeError, ValueError, OSError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


def _from_paths(raw: pa.Table, column: str, labels: list[str | None], file: Path, faults: list[Fault]) -> pa.Table:
    rows, texts = raw.column("source").to_pylist(), raw.column(column).cast(pa.string()).to_pylist()
    twice = _conflicts(texts, labels)
    chosen: list[tuple[int, str]] = []
    for index, text in enumerate(texts):
        fault = _row_fault(text, rows[index], twice)
        if fault is not None:
            faults.append(fault)
            continue
        chosen.append((index, _found(file.parent, text.strip(), rows[index], faults)))
    looked = look([path for _, path in chosen], [f"{rows[index]}: {path}" for index, path in chosen])
    faults.extend(seen.fault for seen in looked if seen.fault)
    good = [(index, path, seen) for (index, path), seen in zip(chosen, looked, strict=True) if seen.fault is None]
    paths = pa.array([path for _, path, _ in good], pa.string())
    return _table(paths, paths, good, labels, rows)


def _row_fault(text: str | None, row: str, twice: dict[str, tuple[str, str]]) -> Fault | None:
    if text is None or not text.strip():
        return Fault("sample", "path-missing", row, "has no path; give one or remove the row.")
    if is_foreign(text):
        return foreign(f"{row}: {text}")
    if text in twice:
        first, second = twice[text]
        message = f"lists {text} as {first!r} and, in another row, as {second!r}; keep one of the rows."
        return Fault("sample", "label-conflict", row, message)
    return None


def _from_bytes(raw: pa.Table, column: str, labels: list[str | None], file: Path, faults: list[Fault]) -> pa.Table:
    values = raw.column(column).combine_chunks()
    values = pa.concat_arrays(values.chunks) if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_struct(values.type):
        if "bytes" not in [field.name for field in values.type]:
            raise DataError(f"{file}: column {column!r} has no part called bytes; expected images as bytes or paths.")
        values = values.field("bytes")
    rows = raw.column("source").to_pylist()
    values = values.cast(pa.large_binary())
    good = []
    for index, value in enumerate(values):
        data = value.as_buffer() if value.is_valid else None
        if data is None or data.size == 0:
            faults.append(Fault("sample", "image-missing", rows[index], "has no image; give one or remove the row."))
            continue
        key = hashlib.blake2b(data, digest_size=16).hexdigest()
        good.append((index, "", Looked(key, image_kind(data.slice(0, min(HEAD_BYTES, data.size)).to_pybytes()))))
    images = values.take(pa.array([index for index, _, _ in good], pa.int64()))
    return _table(images, pa.array([rows[index] for index, _, _ in good], pa.string()), good, labels, rows)


def _table(
    images: pa.Array, sources: pa.Array, good: list[tuple[int, str, Looked]], labels: list[str | None], rows: list[str]
) -> pa.Table:
    return pa.table(
        {
            "image": images,
            "label": pa.array([labels[index] for index, _, _ in good], pa.string()),
            "source": sources,
            "key": pa.array([seen.key for _, _, seen in good], pa.string()),
            "row": pa.array([rows[index] for index, _, _ in good], pa.string()),
        }
    )


def _conflicts(texts: list[str | None], labels: list[str | None]) -> dict[str, tuple[str, str]]:
    """Paths that are listed under two labels, with those."""
    first: dict[str, str] = {}
    found: dict[str, tuple[str, str]] = {}
    for text, label in zip(texts, labels, strict=True):
        if text is not None and label is not None and first.setdefault(text, label) != label:
            found.setdefault(text, (first[text], label))
    return found


def _found(folder: Path, text: str, row: str, faults: list[Fault]) -> str:
    """The path of a file as it stands on disk, where the list may write its name in another Unicode form."""
    path = folder / text.replace("\\", "/") if "\\" in text and not (folder / text).exists() else folder / text
    if text.isascii() or os.path.lexists(path):
        return str(path)
    same = normal_form(path)
    if len(same) > 1:
        message = f"{text} is the name of {len(same)} files that differ only in their Unicode form; rename one of them."
        faults.append(Fault("error", "name-ambiguous", row, message))
    return str(same[0] if same else path)


def _unlisted(root: Path, tables: dict[str, pa.Table]) -> list[Fault]:
    """One warning with the number of images in the folder that no row lists."""
    listed: set[str] = set()
    for table in tables.values():
        if not pa.types.is_string(table.schema.field("image").type):
            return []
        listed.update(os.path.normpath(path) for path in table.column("image").to_pylist())
    there = [file for file in walk(root).files if is_image(file)]
    missing = [file for file in there if os.path.normpath(root / file) not in listed]
    if not missing:
        return []
    are = "is" if len(missing) == 1 else "are"
    message = f"{plural(len(missing), 'image')} in the folder {are} not listed ({missing[0]}) and not read."
    return [Fault("warning", "image-unlisted", str(root), message)]
