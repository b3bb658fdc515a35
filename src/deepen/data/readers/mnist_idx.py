"""MNIST's idx files: images and labels in four files, plain or compressed, with the official split.

    train-images-idx3-ubyte  train-labels-idx1-ubyte  t10k-images-idx3-ubyte  t10k-labels-idx1-ubyte

Format: two zero bytes, a type byte (8: uint8), the number of dimensions, each size as a big-endian 32-bit number, then
the values. Source: Y. LeCun, C. Cortes and C. Burges, The MNIST database, "File formats".
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa

from deepen.core.errors import DataError
from deepen.data.dataset import Dataset
from deepen.data.pixels import check_codes, label_names, pixel_table, read_class_names
from deepen.data.read import ReadOptions, short_name
from deepen.data.unpack import LARGEST_BYTES, plain_name, unpacked

LOOKS_FOR = "MNIST idx files (train-images-idx3-ubyte.gz and its like)"
NAME = re.compile(r"^(?P<set>.*?)(?P<split>train|t10k|test)-(?P<what>images|labels)[-.]idx[13]-ubyte$")
SUBFOLDERS = ("", "raw", "MNIST/raw", "FashionMNIST/raw")
UNSIGNED_BYTE = 8


def recognizes(path: Path) -> bool:
    """Whether a file of images in this format is, or lies in, the path."""
    return bool(_image_files(path))


def read(path: Path, options: ReadOptions) -> Dataset:
    """Tables train and test as the files give them ("all" for a single pair of files).

    Raises DataError if a file is of another format, cut, longer or shorter than its header says, if the counts of
    images and labels differ, or if a label is none of the classes given with --labels.
    """
    files = _image_files(path)
    names = read_class_names(Path(options.labels)) if options.labels else ()
    tables = {split: _table(file, names, options) for split, file in files.items()}
    if len(tables) == 1 and path.is_file():
        tables = {"all": next(iter(tables.values()))}
    seen = {label for table in tables.values() for label in table.column("label").unique().to_pylist()}
    count = sum(table.num_rows for table in tables.values())
    layout = f"MNIST idx: {count:,} images, {len(names or seen - {None})} classes"
    return Dataset(short_name(path), layout, tables, names)


def _image_files(path: Path) -> dict[str, Path]:
    """The files of images by split ("train", "test")."""
    if path.is_file():
        match = NAME.match(plain_name(path))
        return {_split(match): path} if match and match["what"] == "images" else {}
    for folder in (path / name for name in SUBFOLDERS):
        found = _in_folder(folder)
        if found:
            return found
    return {}


def _in_folder(folder: Path) -> dict[str, Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return {}
    matches = [
        (match, file) for file in entries if (match := NAME.match(plain_name(file))) and match["what"] == "images"
    ]
    sets = {match["set"] for match, _ in matches}
    chosen = min(sets, default="")
    return {_split(match): file for match, file in reversed(matches) if match["set"] == chosen}


def _split(match: re.Match[str]) -> str:
    return "train" if match["split"] == "train" else "test"


def _table(file: Path, names: tuple[str, ...], options: ReadOptions) -> pa.Table:
    images = read_idx(file, num_dimensions=3)
    label_file = _label_file(file)
    if label_file is None:
        if options.targets_needed:
            name = plain_name(file).replace("images", "labels").replace("idx3", "idx1")
            raise DataError(f"{file}: its file of labels ({name}) is not beside it; put it there.")
        labels = pa.nulls(len(images), pa.string())
    else:
        labels = _labels(label_file, file, len(images), names)
    return pixel_table(images[..., None], labels, str(file))


def _labels(label_file: Path, file: Path, num_images: int, names: tuple[str, ...]) -> pa.Array:
    codes = read_idx(label_file, num_dimensions=1)
    if len(codes) != num_images:
        raise DataError(f"{label_file}: holds {len(codes):,} labels, but {file.name} holds {num_images:,} images.")
    if names:
        check_codes(codes, len(names), str(label_file))
    return label_names(codes, names)


def _label_file(file: Path) -> Path | None:
    stem = plain_name(file).replace("images", "labels").replace("idx3", "idx1")
    found = [file.with_name(stem + ending) for ending in ("", ".gz", ".xz", ".bz2")]
    return next((path for path in found if path.exists()), None)


def read_idx(file: Path, *, num_dimensions: int) -> np.ndarray:
    """The uint8 array in an idx file. Raises DataError with the expected and the found number of bytes."""
    header_bytes = 4 + 4 * num_dimensions
    header = bytes(unpacked(file, header_bytes))
    magic = bytes((0, 0, UNSIGNED_BYTE, num_dimensions))
    if header[:4] != magic:
        raise DataError(
            f"{file}: starts with {header[:4].hex() or 'nothing'}, but idx files of this name with {magic.hex()}."
        )
    if len(header) < header_bytes:
        raise DataError(
            f"{file}: is cut in its header ({len(header)} of {header_bytes} bytes); get a whole copy of it."
        )
    shape = struct.unpack(f">{num_dimensions}I", header[4:])
    expected = int(np.prod(shape, dtype=object))
    says = f"{file}: its header says {' x '.join(map(str, shape))}"
    if expected == 0:
        raise DataError(f"{says}, so it holds nothing.")
    if expected > LARGEST_BYTES:
        raise DataError(f"{says}, {expected:,} bytes; at most {LARGEST_BYTES:,} are read.")
    values = unpacked(file, expected + 1, skip=header_bytes)
    if len(values) != expected:
        found = f"{len(values):,}" if len(values) < expected else "more"
        raise DataError(f"{says}, {expected:,} bytes after it, but {found} are there; get a whole copy of it.")
    return np.frombuffer(values, np.uint8).reshape(shape)
