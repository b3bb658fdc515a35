"""The bytes of a text file and the encoding they are in."""

from __future__ import annotations

import codecs
import gzip
import zlib
from pathlib import Path

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.units import size

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHUNK = 1 << 20
_FREE_SIZE = 1 << 28  # a .gz file may always unpack to this many bytes, beyond it to RATIO times its own size
RATIO = 100


def refusal(kind: str, place: str, message: str) -> DataError:
    """A DataError that holds this one fault."""
    fault = Fault("error", kind, place, message)
    return DataError(fault.sentence(), [fault])


def file_bytes(path: Path) -> bytes:
    """The bytes of a file, unpacked if its name ends in .gz.

    Raises DataError if it cannot be read, is a cut or damaged .gz, or unpacks to far more than its own size.
    """
    try:
        return _unpacked(path) if path.suffix.lower() == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise refusal("gzip-damaged", path.name, f"not a whole gzip file ({error}); copy or pack it anew.") from error
    except OSError as error:
        raise refusal("unreadable", path.name, f"cannot be read: {error.strerror or error}.") from error


def encoding_of(data: bytes, asked: str, place: str) -> str:
    """The encoding: the one asked for, that of the byte-order mark, else UTF-8.

    Raises DataError, with the line and the byte, if the bytes are not in that encoding, and for an unknown name.
    Surrogates written as UTF-8 are let through as lone surrogates: they spoil their own row only, and the error handler
    to decode with is then "surrogatepass".
    """
    encoding = (marked(data) or "utf-8") if asked.lower() in ("", "utf-8", "utf8", "utf-16") else asked
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise refusal("encoding-unknown", place, f"--encoding {encoding!r}: no such encoding; try latin-1.") from error
    if encoding == "utf-8" and data[:1000].count(0) > min(len(data), 1000) // 4:
        message = "every other byte is zero, so this looks like UTF-16; pass --encoding utf-16-le or utf-16-be."
        raise refusal("encoding", place, message)
    _refuse_undecodable(data, encoding, place)
    return encoding


def marked(data: bytes) -> str:
    """The encoding that a byte-order mark at the start states, or "" if there is none."""
    return next((name for mark, name in _MARKS if data.startswith(mark)), "")


def errors_of(encoding: str) -> str:
    """The error handler that goes with `encoding_of`."""
    return "surrogatepass" if codecs.lookup(encoding).name.startswith("utf") else "strict"


def _refuse_undecodable(data: bytes, encoding: str, place: str) -> None:
    try:
        data.decode(encoding, errors_of(encoding))
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        shown = data[error.start : error.start + 1].hex()
        message = (
            f"byte {error.start + 1:,} (0x{shown}) is not {error.encoding}; save the file as UTF-8 or pass its "
            "--encoding, such as latin-1 or gb18030."
        )
        raise refusal("encoding", f"{place}, line {line:,}", message) from error
    except (UnicodeError, LookupError) as error:  # a codec that is not for text, or that refuses everything
        raise refusal("encoding", place, f"--encoding {encoding!r}: cannot be used for text; try latin-1.") from error


def _unpacked(path: Path) -> bytes:
    limit = max(_FREE_SIZE, RATIO * path.stat().st_size)
    parts, total = [], 0
    with gzip.open(path, "rb") as file:
        while part := file.read(_CHUNK):
            total += len(part)
            if total > limit:
                raise refusal("gzip-bomb", path.name, f"unpacks to more than {size(limit)}; unpack it yourself first.")
            parts.append(part)
    return b"".join(parts)
