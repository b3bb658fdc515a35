"""The bytes of a file that may be compressed, counted while they are unpacked so that no bomb can fill memory."""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import zlib
from pathlib import Path
from typing import IO

from deepen.core.errors import DataError

COMPRESSED = (".gz", ".xz", ".bz2")
CHUNK_BYTES = 4 << 20
LARGEST_BYTES = 8 << 30


def plain_name(path: Path) -> str:
    """The file's name without the ending of its compression."""
    return path.name[: -len(path.suffix)] if path.suffix.lower() in COMPRESSED else path.name


def unpacked(path: Path, limit: int, *, skip: int = 0) -> bytearray:
    """The bytes of a plain, .gz, .xz or .bz2 file from `skip` on, at most `limit` of them.

    Memory grows with what is really there, never with what a header claims.
    Raises DataError if the file cannot be read, is not a regular file, or its compressed stream is damaged or cut.
    """
    held = bytearray()
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path}: is not a regular file; give one that is.")
        with _opened(path) as file:
            file.read(skip)
            while len(held) < limit and (chunk := file.read(min(CHUNK_BYTES, limit - len(held)))):
                held += chunk
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: {_damage(error, len(held) + skip)}; get a whole copy of it.") from None
    except PermissionError:
        raise DataError(f"{path}: may not be read by this user; change its permissions.") from None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({(error.strerror or str(error)).lower()}); get a whole copy of it."
        ) from None
    return held


def _opened(path: Path) -> IO[bytes]:
    openers = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
    return openers.get(path.suffix.lower(), open)(path, "rb")  # type: ignore[operator]


def _damage(error: Exception, num_bytes: int) -> str:
    if isinstance(error, EOFError) or "end-of-stream" in str(error).lower():
        return f"the compressed file is cut: it ends after {num_bytes:,} unpacked bytes"
    return f"the compressed file is damaged after about {num_bytes:,} unpacked bytes"
