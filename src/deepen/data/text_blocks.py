"""A corpus cut into blocks of whole lines, each about as long as the others and none of them copied.

A block ends behind a line feed. A line of more than 64 KB is cut behind a blank, and what has no blank, as a corpus of
Chinese in one line, behind a character. The blocks one after another are the whole text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from deepen.data.text_encoding import plain, without_marks

LARGEST_BLOCK = 1 << 16  # bytes
SMALLEST_BLOCK = 1 << 12
FEWEST_BLOCKS = 64  # so that a tenth of a small corpus can be held out
_CONTINUES = range(0x80, 0xC0)  # second and further bytes of a character in UTF-8
_MOST_IN_ARRAY = 1 << 30  # bytes; an Arrow string array counts them in 31 bits


@dataclass(frozen=True)
class Cut:
    """Where blocks begin and what they are, in the order of the text.

    offsets  N + 1 bytes: block i is offsets[i] to offsets[i + 1]
    lines    the line of the file in which each begins, from 1
    keys     32 hex digits of each
    inside   how many end within a line
    total    lines of the whole text
    """

    offsets: list[int]
    lines: list[int]
    keys: list[str]
    inside: int
    total: int


def block_size(num_bytes: int) -> int:
    """Bytes of a block: 64 KB, in small corpora less, down to 4 KB, so that there are 64 blocks.

    >>> block_size(12_000_000), block_size(178_887), block_size(100)
    (65536, 4096, 4096)
    """
    return min(LARGEST_BLOCK, max(SMALLEST_BLOCK, num_bytes // FEWEST_BLOCKS))


def step_of(num_bytes: int, size: int) -> int:
    """The bytes of a block that make all of about one length: at most `size`.

    >>> step_of(100, 33)
    25
    """
    return -(-num_bytes // max(1, -(-num_bytes // size)))


def cut(data: bytes, size: int) -> Cut:
    """The blocks of a text in UTF-8 (or in any encoding whose line feeds and blanks are those of ASCII)."""
    offsets, lines, keys, inside, line = [0], [], [], 0, 1
    view = memoryview(data)
    for start, stop in _spans(data, size, len(data), at_end=True):
        lines.append(line)
        keys.append(key_of(view[start:stop]))
        line += data.count(b"\n", start, stop)
        inside += stop < len(data) and data[stop - 1] != 0x0A
        offsets.append(stop)
    return Cut(offsets, lines, keys, inside, line - (data[-1:] in (b"\n", b"")))


def blocks_of_stream(pieces: Iterator[bytes], size: int, total: int) -> Iterator[bytes]:
    """The same blocks of a text of `total` bytes that comes piece by piece."""
    held = b""
    for piece in pieces:
        held += piece
        done = 0
        for start, stop in _spans(held, size, total, at_end=False):
            yield held[start:stop]
            done = stop
        held, total = held[done:], total - done
    for start, stop in _spans(held, size, total, at_end=True):
        yield held[start:stop]


def key_of(block: bytes | memoryview) -> str:
    """The key of a block, 32 hex digits over its bytes."""
    return hashlib.blake2b(block, digest_size=16).hexdigest()


def strings(data: bytes, offsets: list[int]) -> pa.ChunkedArray:
    """The blocks as Arrow strings over the bytes as they are."""
    arrays, first = [], 0
    while first < len(offsets) - 1:
        last = first + 1
        while last < len(offsets) - 1 and offsets[last + 1] - offsets[first] <= _MOST_IN_ARRAY:
            last += 1
        begin = offsets[first]
        places = pa.array([offset - begin for offset in offsets[first : last + 1]], pa.int32())
        whole = pa.py_buffer(data)[begin : offsets[last]]
        arrays.append(pa.StringArray.from_buffers(last - first, places.buffers()[1], whole))
        first = last
    return pa.chunked_array(arrays, pa.string())


def block_text(path: str | Path, offset: int, length: int, encoding: str) -> str:
    """The text of a block that stands in a file: the columns of `text_stream` in their order."""
    with open(path, "rb") as file:
        file.seek(offset)
        return without_marks(plain(file.read(length).decode(encoding)))


def block_reader(table: pa.Table) -> Callable[[int], str]:
    """The text of a row of a corpus by its number: a cell, or a stretch of a file."""
    if "text" in table.column_names:
        cells = table.column("text")
        return lambda row: cells[row].as_py() or ""
    columns = [table.column(name) for name in ("path", "offset", "length", "encoding")]
    return lambda row: block_text(*(column[row].as_py() for column in columns))


def _spans(data: bytes, size: int, total: int, *, at_end: bool) -> Iterator[tuple[int, int]]:
    """(start, stop) of each block; without the end of the text at hand, of those that do not depend on what follows."""
    start = 0
    while len(data) - start > (size if at_end else LARGEST_BLOCK):
        stop = _stop(data, start, step_of(total - start, size))
        yield start, stop
        start = stop
    if at_end and start < len(data):
        yield start, len(data)


def _stop(data: bytes, start: int, step: int) -> int:
    """Behind the last line feed within a step, else the next one, else the last blank, else a character."""
    last = min(start + LARGEST_BLOCK, len(data))
    if found := data.rfind(b"\n", start, start + step) + 1:
        return found
    if found := data.find(b"\n", start + step, last) + 1:
        return found
    if len(data) - start <= LARGEST_BLOCK:
        return len(data)
    return data.rfind(b" ", start, last) + 1 or _at_character(data, start, last)


def _at_character(data: bytes, start: int, stop: int) -> int:
    """The last place up to `stop` where a character in UTF-8 may begin; `stop` itself in other encodings."""
    for back in range(min(4, stop - start)):
        if data[stop - back] not in _CONTINUES:
            return stop - back
    return stop
