"""CIFAR-10 and CIFAR-100 in their binary version, plain or compressed, with the official split.

A record is one label byte (CIFAR-100: coarse, then fine) and 3,072 pixel bytes: 32 x 32 red, then green, then blue.
Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009, "Binary version" of the data's page.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa

from deepen.core.errors import DataError
from deepen.data.dataset import Dataset
from deepen.data.pixels import check_codes, label_names, pixel_table, read_class_names
from deepen.data.read import ReadOptions, short_name
from deepen.data.unpack import LARGEST_BYTES, plain_name, unpacked

LOOKS_FOR = "CIFAR binary batches (data_batch_1.bin and its like)"
PIXEL_BYTES = 3 * 32 * 32
BATCH = re.compile(r"^(?P<split>data|test)_batch\w*\.bin$")
HUNDRED = re.compile(r"^(?P<split>train|test)\.bin$")
PICKLED = re.compile(r"^((data|test)_batch(_\d+)?|train|test|meta|batches\.meta)$")
SUBFOLDERS = ("", "cifar-10-batches-bin", "cifar-100-binary", "cifar-10-batches-py", "cifar-100-python")
NAME_FILES = {10: ("batches.meta.txt",), 100: ("fine_label_names.txt",)}


def recognizes(path: Path) -> bool:
    """Whether batches, binary or pickled (which are then refused with the reason), are or lie in the path."""
    return _find(path) is not None


def read(path: Path, options: ReadOptions) -> Dataset:
    """Tables train and test as the files give them ("all" for a single file), labels as class names.

    Raises DataError for the pickled version (it is never opened), for a file that is not whole records, and for a label
    out of range.
    """
    found = _find(path)
    assert found is not None
    folder, files, num_classes = found
    if not files:
        raise DataError(
            f"{folder}: is the pickled version of CIFAR, and no pickle is ever opened; take the binary version (.bin)."
        )
    names = _names(folder, num_classes, options)
    tables = {split: _join([_table(file, num_classes, names) for file in group]) for split, group in files.items()}
    if path.is_file():
        tables = {"all": next(iter(tables.values()))}
    count = sum(table.num_rows for table in tables.values())
    layout = f"CIFAR-{num_classes} binary: {count:,} images, {num_classes} classes"
    return Dataset(short_name(path), layout, tables, names or tuple(str(code) for code in range(num_classes)))


def _find(path: Path) -> tuple[Path, dict[str, list[Path]], int] | None:
    """The folder, the files by split and the number of classes; no files if only the pickled version is there."""
    if path.is_file():
        found = _by_split([path])
        return (path.parent, *found) if found else None
    for folder in (path / name for name in SUBFOLDERS):
        try:
            files = sorted(file for file in folder.iterdir() if file.is_file())
        except OSError:
            continue
        found = _by_split(files)
        if found:
            return (folder, *found)
        if any(PICKLED.match(file.name) and _is_pickle(file) for file in files):
            return folder, {}, 10
    return None


def _by_split(files: list[Path]) -> tuple[dict[str, list[Path]], int] | None:
    for pattern, num_classes in ((BATCH, 10), (HUNDRED, 100)):
        found: dict[str, list[Path]] = {}
        for file in files:
            match = pattern.match(plain_name(file))
            if match:
                found.setdefault("test" if match["split"] == "test" else "train", []).append(file)
        if found:
            return found, num_classes
    return None


def _is_pickle(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(2) in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
    except OSError:
        return False


def _names(folder: Path, num_classes: int, options: ReadOptions) -> tuple[str, ...]:
    if options.labels:
        return read_class_names(Path(options.labels))
    found = next((folder / name for name in NAME_FILES[num_classes] if (folder / name).is_file()), None)
    return read_class_names(found) if found else ()


def _table(file: Path, num_classes: int, names: tuple[str, ...]) -> pa.Table:
    label_bytes = 1 if num_classes == 10 else 2
    record_bytes = label_bytes + PIXEL_BYTES
    data = unpacked(file, LARGEST_BYTES)
    if len(data) == 0 or len(data) % record_bytes:
        raise DataError(
            f"{file}: holds {len(data):,} bytes, which is not a whole number of records of {record_bytes:,}; "
            f"expected {max(1, round(len(data) / record_bytes)) * record_bytes:,}. Get a whole copy of it."
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, record_bytes)
    codes = records[:, label_bytes - 1]
    check_codes(codes, len(names) or num_classes, str(file))
    planes = records[:, label_bytes:].reshape(-1, 3, 32, 32)
    return pixel_table(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), label_names(codes, names), str(file))


def _join(tables: list[pa.Table]) -> pa.Table:
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables)
