"""One look at each image file, to hash its bytes; what cannot be opened is a fault of that sample."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deepen.core.faults import Fault
from deepen.core.magic import HEAD_BYTES, IMAGE_ENDINGS, IMAGES_READ, image_kind

THREADS = min(8, 2 * (os.cpu_count() or 1))
CHUNK_BYTES = 1 << 20
FOREIGN_ENDINGS = frozenset(
    (
        *(".eps", ".ps", ".pdf", ".psd", ".fits", ".fit", ".svg", ".ai", ".heic", ".heif", ".avif", ".jp2", ".j2k"),
        *(".jxl", ".tga", ".ico", ".dcm", ".exr", ".hdr", ".raw", ".cr2", ".nef", ".arw", ".dng", ".pcx", ".xcf"),
    )
)


@dataclass(frozen=True)
class Looked:
    """What one look at a file showed: the hash of its bytes and its kind by its first bytes, or its fault."""

    key: str = ""
    kind: str | None = None
    fault: Fault | None = None


def is_image(name: str) -> bool:
    """Whether the name ends like an image that is read here."""
    return os.path.splitext(name)[1].lower() in IMAGE_ENDINGS


def is_foreign(name: str) -> bool:
    """Whether the name ends like an image of a kind that is not read here."""
    return os.path.splitext(name)[1].lower() in FOREIGN_ENDINGS


def look(paths: Sequence[str | Path], places: Sequence[str]) -> list[Looked]:
    """The key of each file, in order, by a few threads."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(_look, paths, places, chunksize=64))


def foreign(place: str) -> Fault:
    """The fault of an image file of a kind that is not read here."""
    ending = os.path.splitext(place)[1]
    return Fault("sample", "image-kind", place, f"{ending} files are not read; convert it to one of {IMAGES_READ}.")


def wrong_endings(paths: Sequence[str], looked: Sequence[Looked]) -> list[Fault]:
    """One note with the number of files that are another kind of image than their name says."""
    wrong = [
        (path, seen.kind)
        for path, seen in zip(paths, looked, strict=True)
        if seen.kind is not None and IMAGE_ENDINGS.get(os.path.splitext(path)[1].lower(), seen.kind) != seen.kind
    ]
    if not wrong:
        return []
    path, kind = wrong[0]
    message = (
        f"is a {kind} file by its content and is read as one; {len(wrong):,} such file{'s' if len(wrong) > 1 else ''}."
    )
    return [Fault("note", "image-ending", path, message)]


def _look(path: str | Path, place: str) -> Looked:
    try:
        return _hashed(path, place)
    except FileNotFoundError:
        what = "is a link to a file that does not exist" if os.path.islink(path) else "does not exist"
        return _bad(place, "file-missing", f"{what}; mend the path or remove it.")
    except PermissionError:
        return _bad(place, "file-unreadable", "may not be read by this user; change its permissions.")
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "not a possible path").lower()
        return _bad(place, "file-unreadable", f"cannot be read ({reason}); mend or remove it.")


def _hashed(path: str | Path, place: str) -> Looked:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a FIFO must not block
    with open(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return _bad(place, "file-irregular", "is not a regular file; remove it.")
        digest = hashlib.blake2b(digest_size=16)
        chunk = head = file.read(CHUNK_BYTES)
        while chunk:
            digest.update(chunk)
            chunk = file.read(CHUNK_BYTES)
    if not head:
        return _bad(place, "file-empty", "is empty (0 bytes), expected an image; get it again or remove it.")
    return Looked(digest.hexdigest(), image_kind(head[:HEAD_BYTES]))


def _bad(place: str, kind: str, message: str) -> Looked:
    return Looked(fault=Fault("sample", kind, place, message))
