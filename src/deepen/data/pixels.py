"""Tables from pixel arrays: the image column is the array itself, not a copy."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from deepen.core.errors import DataError
from deepen.core.names import nearest


def pixel_table(images: np.ndarray, labels: pa.Array, place: str) -> pa.Table:
    """Columns image, label, source and key of images that are arrays.

    images  [N, H, W, C] uint8, contiguous
    labels  [N] string
    place   what the sources start with: "train-images-idx3-ubyte.gz" gives "train-images-idx3-ubyte.gz, image 7"
            (counted from 0, as in the array)
    """
    flat = np.ascontiguousarray(images).reshape(-1)
    storage = pa.FixedSizeListArray.from_arrays(pa.array(flat), int(np.prod(images.shape[1:])))
    tensor = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.uint8(), images.shape[1:]), storage)
    return pa.table(
        {
            "image": tensor,
            "label": labels,
            "source": pa.array([f"{place}, image {row}" for row in range(len(images))], pa.string()),
            "key": pa.array(pixel_keys(images), pa.string()),
        }
    )


def pixel_keys(images: np.ndarray) -> list[str]:
    """32 hex digits per image, over its shape and its bytes; equal images have equal keys.

    images  [N, H, W, C] uint8
    """
    start = hashlib.blake2b("x".join(str(size) for size in images.shape[1:]).encode(), digest_size=16)
    flat = np.ascontiguousarray(images).reshape(len(images), -1)
    keys = []
    for row in flat:
        digest = start.copy()
        digest.update(row.data)
        keys.append(digest.hexdigest())
    return keys


def label_names(codes: np.ndarray, names: Sequence[str]) -> pa.Array:
    """The class name of each code.

    codes  [N] integers; without names the code itself is the name ("7")
    """
    if names:
        return pa.array(names, pa.string()).take(pa.array(codes.astype(np.int64)))
    values, inverse = np.unique(codes, return_inverse=True)
    return pa.array([str(int(value)) for value in values], pa.string()).take(pa.array(inverse.astype(np.int64).ravel()))


def check_codes(codes: np.ndarray, num_classes: int, place: str) -> None:
    """Raises DataError at the first label code that is not in 0 ... num_classes - 1."""
    bad = np.flatnonzero((codes < 0) | (codes >= num_classes))
    if bad.size == 0:
        return
    more = f" {bad.size - 1:,} more are like this." if bad.size > 1 else ""
    raise DataError(
        f"{place}, image {bad[0]}: label {int(codes[bad[0]])} is not one of the {num_classes} classes, "
        f"0 to {num_classes - 1}; mend the labels or the list of class names.{more}"
    )


def read_class_names(path: Path) -> tuple[str, ...]:
    """The class names in a text file, one per line, blank lines at the end left out.

    Raises DataError if it cannot be read as UTF-8, is empty, or names a class twice.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not UTF-8; save the class names as UTF-8.") from None
    except OSError as error:
        near = nearest(path.name, sorted(p.name for p in path.parent.glob("*"))) if path.parent.is_dir() else None
        hint = f"did you mean {path.parent / near}?" if near else "give a text file with one class name per line."
        raise DataError(f"{path}: cannot be read ({(error.strerror or '').lower()}); {hint}") from None
    names = [line.strip() for line in text.splitlines()]
    while names and not names[-1]:
        names.pop()
    return checked_names(names, str(path))


def checked_names(names: Sequence[str], place: str) -> tuple[str, ...]:
    """The names, if there is at least one, none is blank and none stands twice. Raises DataError otherwise."""
    if not names:
        raise DataError(f"{place}: holds no class name; write one per line.")
    first: dict[str, int] = {}
    for line, name in enumerate(names, 1):
        if not name:
            raise DataError(f"{place}, line {line}: is blank; every line must name a class.")
        if name in first:
            raise DataError(f"{place}, line {line}: class {name!r} stands on line {first[name]} already; remove one.")
        first[name] = line
    return tuple(names)
