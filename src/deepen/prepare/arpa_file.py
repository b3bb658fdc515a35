"""The words and n-grams that stand in an ARPA file, as arrays; every fault is refused with its line."""

from __future__ import annotations

import gzip
import io
import math
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepen.core.errors import DataError
from deepen.core.files import read_bytes
from deepen.core.units import plural
from deepen.ops.ngram_trie import MISSING, NEVER

BEGIN, END, UNKNOWN = "<s>", "</s>", ("<unk>", "<UNK>")
MAX_BYTES = 1 << 34
BLOCK_BYTES = 1 << 24
MOST_ORDER = 20
_COUNT = re.compile(r"ngram\s+(\d+)\s*=\s*(\d+)")
_HEADING = re.compile(r"\\(\d+)-grams:")
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class NGrams:
    """The n-grams of one order as they stand in a file.

    grams  [n, order] int32: places in the file's words; their number where `<s>` stands
    """

    grams: np.ndarray
    probabilities: np.ndarray
    backoffs: np.ndarray


@dataclass(frozen=True)
class ArpaFile:
    """What an ARPA file holds.

    words   without `<s>`, in the file's order and spelling
    orders  the n-grams of the orders 1 .. N
    """

    path: str
    words: list[str]
    orders: list[NGrams]


def read_arpa(path: Path | str) -> ArpaFile:
    """The words and n-grams of a file. Raises DataError, naming the line, for anything that is not an ARPA file.

    Refused: counts in the head that are not those of the sections, n-grams of another length than their section's, a
    probability above 1, a word that is no unigram, an n-gram that stands twice, and a file that ends before `\\end\\`.
    """
    text = _content(path)
    counts, sections = _sections(text, str(path))
    orders: list[NGrams] = []
    words: dict[str, int] = {}
    for order, count in enumerate(counts, start=1):
        lines = _lines(text, sections[order - 1], str(path))
        if len(lines.numbers) != count:
            raise DataError(
                f"{path}, line {sections[order - 1].heading}: the head says {count:,} {order}-grams, but here are "
                f"{len(lines.numbers):,}; the file is cut off, or edited by hand."
            )
        cells = _cells(lines, order)
        if order == 1:
            words = _numbered(cells.words.to_pylist(), lines)
        grams = _places(cells.words, words, lines, order)
        _refuse_twice(grams, lines)
        orders.append(NGrams(grams, cells.probabilities, cells.backoffs))
    return ArpaFile(str(path), [word for word in words if word != BEGIN], orders)


@dataclass(frozen=True)
class _Section:
    """Where the lines of an order stand: the line of its heading, counted from 1, and its bytes."""

    heading: int
    start: int
    stop: int


@dataclass(frozen=True)
class _Lines:
    """Lines that are not empty, and their numbers in the file."""

    path: str
    texts: pa.StringArray
    numbers: np.ndarray

    def place(self, row: int) -> str:
        return f"{self.path}, line {int(self.numbers[row])}"


@dataclass(frozen=True)
class _Cells:
    words: pa.Array  # [n * order] of str, n-gram by n-gram
    probabilities: np.ndarray
    backoffs: np.ndarray


def _content(path: Path | str) -> bytes:
    """The file unpacked, behind a line break, so that every line stands behind one."""
    content = read_bytes(path, max_bytes=MAX_BYTES, error=DataError)
    if content.startswith(_GZIP):
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
                content = _unpacked(file)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path}: no whole gzip file ({error}); fetch or pack it again.") from None
    if len(content) > MAX_BYTES:
        raise DataError(f"{path}: unpacks to more than {MAX_BYTES:,} bytes, which is the most that is read.")
    return b"\n" + content


def _unpacked(file: gzip.GzipFile) -> bytes:
    """All that is in it, but not far more than is read at most."""
    parts, held = [], 0
    while held <= MAX_BYTES and (part := file.read(BLOCK_BYTES)):
        parts.append(part)
        held += len(part)
    return b"".join(parts)


def _sections(text: bytes, path: str) -> tuple[list[int], list[_Section]]:
    """How many n-grams the head says there are of each order, and where they stand."""
    headings = list(_headings(text))
    first = next((k for k, each in enumerate(headings) if each[2] == "\\data\\"), None)
    if first is None:
        raise DataError(f"{path}: expected an ARPA file, but it has no line \\data\\.")
    number, offset, _ = headings[first]
    stop = headings[first + 1][1] if first + 1 < len(headings) else len(text)
    counts = _counts(text[offset:stop], number, path)
    found: list[_Section] = []
    for k in range(first + 1, len(headings)):
        number, offset, heading = headings[k]
        if heading == "\\end\\":
            break
        match = _HEADING.fullmatch(heading)
        if match is None or int(match[1]) != len(found) + 1 or len(found) == len(counts):
            wanted = f"\\{len(found) + 1}-grams:" if len(found) < len(counts) else "\\end\\"
            raise DataError(f"{path}, line {number}: expected {wanted}, but is {heading[:80]!r}.")
        following = headings[k + 1][1] if k + 1 < len(headings) else len(text)
        found.append(_Section(number, text.find(b"\n", offset) + 1 or len(text), following))
    else:
        raise DataError(f"{path}: ends without \\end\\, so it is cut off; fetch or write it again.")
    if len(found) < len(counts):
        raise DataError(f"{path}, line {number}: expected \\{len(found) + 1}-grams:, but is '\\\\end\\\\'.")
    return counts, found


def _headings(text: bytes) -> Iterator[tuple[int, int, str]]:
    """(line counted from 1, offset, the line) of every line that starts with a backslash."""
    number, counted, at = 0, 0, text.find(b"\n\\")
    while at >= 0:
        number += text.count(b"\n", counted, at + 1)
        counted = at + 1
        stop = text.find(b"\n", counted)
        stop = len(text) if stop < 0 else stop
        yield number, counted, text[counted:stop].decode("utf-8", "replace").strip()
        at = text.find(b"\n\\", stop)


def _counts(head: bytes, number: int, path: str) -> list[int]:
    found: list[int] = []
    for shift, line in enumerate(head.decode("utf-8", "replace").split("\n")[1:], start=1):
        if not line.strip():
            continue
        match = _COUNT.fullmatch(line.strip())
        if match is None or int(match[1]) != len(found) + 1:
            raise DataError(
                f"{path}, line {number + shift}: expected 'ngram {len(found) + 1}=COUNT', but is {line.strip()[:80]!r}."
            )
        found.append(int(match[2]))
    if not 1 <= len(found) <= MOST_ORDER:
        raise DataError(f"{path}, line {number}: expected 1 to {MOST_ORDER} orders in the head, but has {len(found)}.")
    return found


def _lines(text: bytes, section: _Section, path: str) -> _Lines:
    part = text[section.start : section.stop]
    try:
        lines = pa.array(part.decode("utf-8").split("\n"), pa.large_string())
    except UnicodeDecodeError as error:
        line = section.heading + 1 + part.count(b"\n", 0, error.start)
        raise DataError(f"{path}, line {line}: expected UTF-8, but has a byte {part[error.start]:#04x}.") from None
    lines = pc.ascii_trim_whitespace(lines)  # type: ignore[attr-defined]
    filled = np.flatnonzero(pc.greater(pc.binary_length(lines), 0).to_numpy(zero_copy_only=False))  # type: ignore[attr-defined]
    return _Lines(path, lines.take(pa.array(filled)), filled + section.heading + 1)


def _cells(lines: _Lines, order: int) -> _Cells:
    split: Any = pc.ascii_split_whitespace(lines.texts)  # type: ignore[attr-defined]
    lengths = pc.list_value_length(split).to_numpy(zero_copy_only=False).astype(np.int64)  # type: ignore[attr-defined]
    bad = np.flatnonzero((lengths != order + 1) & (lengths != order + 2))
    if len(bad):
        row = int(bad[0])
        raise DataError(
            f"{lines.place(row)}: expected a probability, {plural(order, 'word')} and at most a backoff, but "
            f"is {lines.texts[row].as_py()[:80]!r}."
        )
    flat = split.flatten()
    offsets = np.cumsum(lengths) - lengths
    probabilities = _floats(flat.take(pa.array(offsets)), lines, "a probability", np.arange(len(offsets)))
    above = np.flatnonzero(~(probabilities <= 0))
    if len(above):
        row = int(above[0])
        raise DataError(
            f"{lines.place(row)}: expected log10 of a probability, so at most 0, but is {probabilities[row]:g}."
        )
    has = np.flatnonzero(lengths == order + 2)
    backoffs = np.zeros(len(offsets), np.float32)
    backoffs[has] = _floats(flat.take(pa.array(offsets[has] + order + 1)), lines, "a backoff", has)
    words = flat.take(pa.array((offsets[:, None] + np.arange(1, order + 1)).reshape(-1)))
    return _Cells(words, np.maximum(probabilities, NEVER), np.maximum(backoffs, NEVER))


def _floats(texts: pa.Array, lines: _Lines, what: str, rows: np.ndarray) -> np.ndarray:
    try:
        found = texts.cast(pa.float32()).to_numpy(zero_copy_only=False)
        bad = np.flatnonzero(np.isnan(found))
        at = int(bad[0]) if len(bad) else None
    except pa.ArrowInvalid:
        at = next(k for k, text in enumerate(texts.to_pylist()) if _number(text) is None)
    if at is None:
        return found.copy()  # type: ignore[possibly-undefined]
    raise DataError(f"{lines.place(int(rows[at]))}: expected {what} in log10, but is {texts[at].as_py()[:80]!r}.")


def _number(text: str) -> float | None:
    try:
        value = pa.array([text]).cast(pa.float32())[0].as_py()
    except pa.ArrowInvalid:
        return None
    return None if math.isnan(value) else value


def _numbered(words: list[str], lines: _Lines) -> dict[str, int]:
    """The number of each word, `<s>` the last one."""
    found: dict[str, int] = {}
    seen: set[str] = set()
    for row, word in enumerate(words):
        spelled = UNKNOWN[0] if word in UNKNOWN else word
        if spelled in seen:
            raise DataError(f"{lines.place(row)}: the word {word!r} stands twice among the 1-grams; remove one.")
        seen.add(spelled)
        if word != BEGIN:
            found[word] = len(found)
    return {**found, BEGIN: len(found)}


def _places(grams: pa.Array, words: Mapping[str, int], lines: _Lines, order: int) -> np.ndarray:
    """[n, order] int32"""
    column = grams.dictionary_encode()
    names = column.dictionary.to_pylist()
    numbers = np.array([words.get(name, MISSING) for name in names] or [0], np.int32)
    found = numbers[column.indices.to_numpy(zero_copy_only=False)].reshape(-1, order)
    unknown = np.flatnonzero(found.reshape(-1) < 0)
    if len(unknown):
        place = lines.place(int(unknown[0]) // order)
        raise DataError(f"{place}: the word {grams[int(unknown[0])].as_py()!r} is not among the 1-grams; add it there.")
    return found


def _refuse_twice(grams: np.ndarray, lines: _Lines) -> None:
    """By a number for each n-gram, and exactly where two numbers are the same."""
    mixed = np.zeros(len(grams), np.uint64)
    for column in grams.T:
        mixed = (mixed ^ column.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    ordered = np.sort(mixed)
    if not (ordered[1:] == ordered[:-1]).any():
        return
    order = np.lexsort(grams.T[::-1])
    same = (grams[order[1:]] == grams[order[:-1]]).all(axis=1)
    if same.any():
        row = int(order[1:][same].min())
        raise DataError(f"{lines.place(row)}: this n-gram stands twice in the file; remove one.")
