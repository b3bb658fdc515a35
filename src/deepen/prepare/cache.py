"""Encoded tensors kept in files of their own, so that the next run need not decode again.

A file is immutable and named by a hash of what it was made from and how; it is written beside its place and renamed,
and its checksum is verified whenever it is read. It is read into memory rather than mapped: a map of a file that is cut
meanwhile kills the process. Without a writable folder there is no cache, and one note says so.

The folder is $DEEPEN_CACHE ("off" for none), else $XDG_CACHE_HOME/deepen, else ~/.cache/deepen. The least recently
used files are removed when all together pass 10 GiB.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pyarrow as pa
import torch
from torch import Tensor

from deepen.core.errors import DeepenError
from deepen.core.faults import Fault
from deepen.core.files import atomic_write, sweep

VERSION = 1
MAGIC = b"deepen\x00\x01"
LARGEST_HEADER_BYTES = 64 << 20
KEPT_BYTES = 10 << 30
ENDING = ".encoded"


@dataclass(frozen=True)
class Held:
    """What a cache file holds.

    values  [N, ...] uint8
    kept    [N] int64, rows of the table it was made from
    found   (level, kind, message, row) of each fault that was found in making it
    """

    values: Tensor
    kept: np.ndarray
    found: Sequence[tuple[Any, str, str, int]]

    def faults_of(self, table: pa.Table, split: str) -> list[Fault]:
        """The faults with the places that the rows have now."""
        sources = table.column("source")
        return [
            Fault(level, kind, sources[row].as_py(), message, split, row) for level, kind, message, row in self.found
        ]


def folder() -> Path | None:
    """Where cache files stand, or None if there shall be none."""
    chosen = os.environ.get("DEEPEN_CACHE", "")
    if chosen.lower() in ("off", "none", "0"):
        return None
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "deepen"
    except RuntimeError:  # no home folder is known
        return None


def name_of(table: pa.Table, options: dict[str, Any]) -> str:
    """The name for a table's rows (by their keys, in order) under these options; "" if the table has no keys."""
    if "key" not in table.column_names or table.column("key").null_count:
        return ""
    digest = hashlib.sha256(json.dumps([VERSION, PIL.__version__, options], sort_keys=True).encode())
    digest.update("\n".join(table.column("key").to_pylist()).encode())
    return digest.hexdigest()[:40]


def load(name: str) -> Held | None:
    """What is held under a name, or None if there is nothing or it is damaged (which is then removed)."""
    place = folder()
    if place is None:
        return None
    path = place / (name + ENDING)
    try:
        with path.open("rb") as file:
            held = _read(file)
    except OSError:
        return None
    with suppress(OSError):
        if held is None:
            path.unlink()
        else:
            os.utime(path)
    return held


def store(
    name: str, values: Tensor, kept: np.ndarray, found: list[Fault], table: pa.Table, faults: list[Fault]
) -> None:
    """Writes a cache file; where that is not possible, adds one note to `faults` and goes on.

    values  [N, ...] uint8
    """
    place = folder()
    if place is None:
        return
    content = values.contiguous().numpy().reshape(-1).view(np.uint8).data
    header = {
        "shape": list(values.shape),
        "kept": "all" if len(kept) == table.num_rows else kept.tolist(),
        "found": [(fault.level, fault.kind, fault.message, fault.row) for fault in found],
        "crc32": zlib.crc32(content),
    }
    text = json.dumps(header).encode()
    try:
        place.mkdir(parents=True, exist_ok=True)
        sweep(place)  # what killed writers left
        with atomic_write(place / (name + ENDING), num_bytes=content.nbytes + len(text)) as file:
            file.write(MAGIC + len(text).to_bytes(8, "little") + zlib.crc32(text).to_bytes(4, "little"))
            file.write(text)
            file.write(content)
    except (OSError, DeepenError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = (
            f"encoded images are not kept for the next run ({reason.rstrip('.')}); set DEEPEN_CACHE to a free folder."
        )
        faults.append(Fault("note", "cache-unwritable", str(place), message))
        return
    _prune(place)


def _read(file: Any) -> Held | None:
    """The content of an opened cache file, or None if anything about it is not as it was written."""
    start = file.read(len(MAGIC) + 12)
    if len(start) < len(MAGIC) + 12 or start[: len(MAGIC)] != MAGIC:
        return None
    length = int.from_bytes(start[len(MAGIC) : len(MAGIC) + 8], "little")
    if length > LARGEST_HEADER_BYTES:
        return None
    text = file.read(length)
    if zlib.crc32(text).to_bytes(4, "little") != start[-4:]:
        return None
    header = json.loads(text)
    content = np.fromfile(file, np.uint8)
    if content.size != int(np.prod(header["shape"])) or zlib.crc32(content.data) != header["crc32"]:
        return None
    kept = np.arange(header["shape"][0]) if header["kept"] == "all" else np.array(header["kept"], np.int64)
    found = [(level, kind, message, row) for level, kind, message, row in header["found"]]
    return Held(torch.from_numpy(content).view(header["shape"]), kept, found)


def _prune(place: Path) -> None:
    """Removes the least recently used files over the limit."""
    try:
        files = [
            (entry.stat().st_mtime, entry.stat().st_size, entry.path)
            for entry in os.scandir(place)
            if entry.name.endswith(ENDING)
        ]
    except OSError:
        return
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= KEPT_BYTES:
            return
        with suppress(OSError):
            os.unlink(path)
            total -= size
