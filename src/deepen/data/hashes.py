"""Files held against a list of their SHA-256, in the format of `sha256sum`.

    9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  cat/1.jpg

Paths are relative to the list's own folder. A `*` before the path (binary mode) is passed over, and so are blank lines
and lines that begin with `#`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.units import plural
from deepen.data.dataset import Dataset

LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")
LARGEST_LIST_BYTES = 256 << 20
THREADS = min(8, 2 * (os.cpu_count() or 1))


def verified(dataset: Dataset, data: Path, listed_in: Path) -> Dataset:
    """The data set without the images that differ from the list, and a fault for each of those.

    Files of the data that are listed but missing are faults of level sample, and so are images that differ. A file of
    many samples that differs is an error. One warning counts images that are not listed. Raises DataError if the list
    cannot be read or names no file of the data.
    """
    wanted = read_list(listed_in)
    images = _images(dataset)
    inside = {path for path in wanted if images.get(path) or _is_below(path, data)}
    if not inside:
        raise DataError(f"{listed_in}: none of its {plural(len(wanted), 'file')} is one of {data}; give its own list.")
    faults = [fault for fault in _compared({path: wanted[path] for path in sorted(inside)}, images) if fault]
    different = {images[path] for path in inside if images.get(path)} & {fault.place for fault in faults}
    unlisted = sorted(set(images) - inside)
    if unlisted:
        message = f"is not listed in {listed_in}; {plural(len(unlisted), 'such image')}, taken as they are."
        faults.append(Fault("warning", "hash-unlisted", images[unlisted[0]], message))
    tables = {split: _without(table, different) for split, table in dataset.tables.items()}
    return replace(dataset, tables=tables, faults=(*dataset.faults, *faults))


def read_list(file: Path) -> dict[str, str]:
    """The SHA-256 that each file should have, by its real path. Raises DataError with the line that is wrong."""
    try:
        if file.stat().st_size > LARGEST_LIST_BYTES:
            raise DataError(f"{file}: is larger than {LARGEST_LIST_BYTES:,} bytes; expected a list of hashes.")
        lines = file.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "it is not UTF-8 text").lower()
        raise DataError(f"--hashes {file}: cannot be read ({reason}); give a list as sha256sum writes it.") from None
    found = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        matched = LINE.fullmatch(line)
        if matched is None:
            raise DataError(f"{file}, line {number}: {line[:40]!r} is not 64 hex digits, two spaces and a path.")
        found[os.path.realpath(file.parent / matched[2])] = matched[1].lower()
    return found


def _images(dataset: Dataset) -> dict[str, str]:
    """The source of each image that is a file, by its real path."""
    found = {}
    for table in dataset.tables.values():
        if "image" in table.column_names and pa.types.is_string(table.schema.field("image").type):
            pairs = zip(table.column("image").to_pylist(), table.column("source").to_pylist(), strict=True)
            found |= {os.path.realpath(image): source for image, source in pairs}
    return found


def _is_below(path: str, data: Path) -> bool:
    whole = os.path.realpath(data)
    return path == whole or path.startswith(whole + os.sep)


def _compared(wanted: Mapping[str, str], images: Mapping[str, str]) -> list[Fault | None]:
    def compare(path: str) -> Fault | None:
        place = images.get(path, path)
        try:
            with open(path, "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return Fault("sample", "hash-missing", place, "is listed with its sha256 but does not exist; get it again.")
        except OSError:
            return None  # the reader says why it cannot be read
        if found == wanted[path]:
            return None
        message = f"content does not match its sha256 ({found[:12]}..., expected {wanted[path][:12]}...); get it again."
        return Fault("sample" if path in images else "error", "hash-differs", place, message)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(compare, wanted))


def _without(table: pa.Table, sources: set[str]) -> pa.Table:
    if not sources:
        return table
    return table.filter(pa.array([source not in sources for source in table.column("source").to_pylist()], pa.bool_()))
