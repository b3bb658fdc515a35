"""Files of word vectors, as word2vec, GloVe and fastText write them; what a file is, is found by looking.

    word2vec-text    "V D", then a line for each word: the word, a blank, D numbers
    fasttext         the same (.vec)
    glove            the same without the first line
    word2vec-binary  "V D", then each word, a blank, D little-endian float32, often a line feed

Any of them may be gzipped. Fields are parted by blanks alone, never by what else Unicode counts as one. A word may hold
blanks, as some do in GloVe's files, if no field of it but the first reads as a number. Nothing is unpickled.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, NoReturn, cast, get_args

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import csv

from deepen.core.disk import file_error
from deepen.core.errors import DataError, OptionError
from deepen.core.files import atomic_write
from deepen.core.units import plural

Format = Literal["word2vec-text", "word2vec-binary", "glove", "fasttext"]
FORMATS: tuple[str, ...] = get_args(Format)
LONGEST_LINE = 1 << 22  # bytes
LARGEST = 1 << 16  # numbers of one vector
_BLOCK = 4096  # lines parsed at once
_GZIP, _FASTTEXT_MAGIC, _NUMPY, _ZIP = b"\x1f\x8b", b"\xba\x16\x4f\x2f", b"\x93NUMPY", b"PK\x03\x04"
_NUMERALS = frozenset(b"0123456789+-.eE nNaAiIfFtTyY\r\t")


@dataclass
class _Found:
    """What was read so far. The first vector of a word counts."""

    path: Path
    wanted: Collection[str] | None
    size: int
    words: list[str] = field(default_factory=list)
    parts: list[np.ndarray] = field(default_factory=list)  # each [n, D] float32
    seen: set[str] = field(default_factory=set)
    num_rows: int = 0
    num_twice: int = 0
    num_broken: int = 0  # words that are no UTF-8
    num_spaced: int = 0  # words that hold blanks

    def keeps(self, content: bytes) -> str | None:
        """The word of a row if its vector is to be kept."""
        self.num_rows += 1
        try:
            word = content.decode("utf-8")
        except UnicodeDecodeError:
            self.num_broken += 1
            word = content.decode("utf-8", "replace")
        if self.wanted is not None and word not in self.wanted:
            return None
        if word in self.seen:
            self.num_twice += 1
            return None
        self.seen.add(word)
        return word

    def add(self, words: list[str], vectors: np.ndarray, place: Callable[[int], str]) -> None:
        """Keeps these vectors [n, D], refusing any that is not finite."""
        if not len(words):
            return
        wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(wrong):
            _refuse(
                self.path,
                f"{place(int(wrong[0]))} (word {words[wrong[0]]!r}): holds NaN, an infinity or a number too large; "
                "leave the word out of the file.",
            )
        self.words += words
        self.parts.append(vectors)

    def notes(self, kind: str) -> list[str]:
        """What is to be said about the file."""
        kept = f"{len(self.words):,} of " if self.wanted is not None else ""
        found = [f"{self.path}: {kept}{plural(self.num_rows, 'vector')} of {self.size} numbers ({kind})."]
        for count, what in (
            (self.num_twice, "given twice or more; the first counts"),
            (self.num_broken, "not UTF-8; U+FFFD stands for what is wrong"),
            (self.num_spaced, "with blanks inside"),
        ):
            if count:
                found.append(f"{self.path}: {plural(count, 'word')} {what}.")
        return found


def read_vectors(path: Path | str, wanted: Collection[str] | None = None) -> tuple[list[str], np.ndarray, list[str]]:
    """The words of a file in their order, their vectors [n, D] float32, and sentences on what was found.

    wanted  the only words to keep; the file is streamed, so memory holds no others

    Raises DataError, with file and line or word, for a row of another width, numbers that are none or not finite (in
    the rows that are kept), a file that is cut, too long or empty, and formats that are read by running code; FileError
    where the file cannot be read.
    """
    path = Path(path)
    with _opened(path) as file:
        _refuse_others(path, file)
        first = _line(path, file, 1)
        header = _header(first)
        if header is None:
            size = first.strip(b" \r\n").count(b" ")
            found = _Found(path, wanted, size)
            _check_size(path, size, first)
            _read_text(found, file, first, None)
            kind = "GloVe's text"
        else:
            num_words, size = header
            found = _Found(path, wanted, size)
            _check_size(path, size, first)
            is_text = _begins_with_text(file, size)
            (_read_text if is_text else _read_binary)(found, file, b"", num_words)
            kind = "word2vec's text" if is_text else "word2vec's binary format"
    vectors = np.concatenate(found.parts) if found.parts else np.zeros((0, size), np.float32)
    return found.words, vectors, found.notes(kind)


def write_vectors(path: Path | str, words: Collection[str], vectors: np.ndarray, format: Format) -> None:
    """Writes words and their vectors [n, D] in a format of FORMATS, whole or not at all, gzipped if it ends with .gz.

    Numbers in text have the fewest digits from which the same float32 is read again.
    Raises OptionError for another format, DataError for a word that the format cannot hold (a blank or line feed in
    it, or nothing) and for numbers that are not finite.
    """
    path, words = Path(path), list(words)
    if format not in FORMATS:
        raise OptionError(f"{path}: expected one of {', '.join(FORMATS)} as its format, but is {format!r}.")
    vectors = np.ascontiguousarray(vectors, dtype="<f4")
    assert vectors.ndim == 2 and len(vectors) == len(words), "one vector for each word"
    for word, vector in zip(words, vectors, strict=True):
        if not word or any(character in word for character in " \n\r"):
            raise DataError(f"{path}: the word {word!r} cannot be written: it is empty or holds a blank or line feed.")
        if not np.isfinite(vector).all():
            raise DataError(f"{path}: the vector of {word!r} is not finite.")
    with atomic_write(path) as raw:
        if path.suffix != ".gz":
            _write(raw, words, vectors, format)
        else:
            with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, filename="", mtime=0) as packed:
                _write(packed, words, vectors, format)  # type: ignore[arg-type]


def _write(file: IO[bytes], words: list[str], vectors: np.ndarray, format: Format) -> None:
    if format != "glove":
        file.write(f"{len(words)} {vectors.shape[1]}\n".encode())
    for start in range(0, len(words), _BLOCK):
        block = vectors[start : start + _BLOCK]
        names = [word.encode("utf-8", "replace") for word in words[start : start + _BLOCK]]
        if format == "word2vec-binary":
            file.write(b"".join(name + b" " + row.tobytes() + b"\n" for name, row in zip(names, block, strict=True)))
        else:
            numbers = pc.cast(pa.array(block.ravel()), pa.string()).to_pylist()
            size = block.shape[1]
            rows = (" ".join(numbers[first : first + size]).encode() for first in range(0, len(numbers), size))
            file.write(b"".join(name + b" " + row + b"\n" for name, row in zip(names, rows, strict=True)))


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader]:
    """The file's content, unpacked."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb", buffering=1 << 20) as file:
            raw = cast(io.BufferedReader, file)
            if raw.peek(2)[:2] != _GZIP:
                yield raw
                return
            with gzip.GzipFile(fileobj=raw) as packed:
                yield io.BufferedReader(packed, 1 << 20)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        _refuse(path, f"is not a whole gzip file ({error}); fetch it again.")
    except OSError as error:
        raise file_error(error, path, doing="read") from error


def _refuse_others(path: Path, file: io.BufferedReader) -> None:
    start = file.peek(16)[:16]
    if not start:
        _refuse(path, "is empty; expected vectors of words.")
    for magic, what in (
        (_FASTTEXT_MAGIC, "is a whole fastText model (.bin), which is not read here; give the .vec file beside it"),
        (_NUMPY, "is an array of numpy without its words; give a file of word vectors as text"),
        (_ZIP, "is a zip archive; unpack it first"),
        (b"\x80", "is a pickle, which can run code and is not read; save the vectors in word2vec's format"),
    ):
        if start.startswith(magic):
            _refuse(path, f"{what}.")


def _line(path: Path, file: io.BufferedReader, number: int) -> bytes:
    line = file.readline(LONGEST_LINE + 1)
    if len(line) > LONGEST_LINE:
        _refuse(path, f"line {number:,} is longer than {LONGEST_LINE:,} bytes; is this a file of word vectors?")
    return line


def _header(line: bytes) -> tuple[int, int] | None:
    """V and D of a first line that holds two whole numbers."""
    fields = line.split()
    if len(fields) != 2 or not all(each.isdigit() and len(each) < 16 for each in fields):
        return None
    return int(fields[0]), int(fields[1])


def _check_size(path: Path, size: int, first: bytes) -> None:
    if not 1 <= size <= LARGEST:
        shown = first[:60].decode("utf-8", "replace")
        _refuse(path, f"line 1 holds {shown!r}; expected a word and its numbers, or two whole numbers.")


def _begins_with_text(file: io.BufferedReader, size: int) -> bool:
    """Whether the first row behind the header is text: what follows its first blank is made of numerals alone."""
    start = file.peek(1 << 16)[: 1 << 16]
    line = start.split(b"\n", 1)[0]
    word, _, rest = line.partition(b" ")
    shown = rest[: 8 * size]
    return bool(word) and bool(shown.strip()) and set(shown) <= _NUMERALS


def _read_text(found: _Found, file: io.BufferedReader, first: bytes, num_words: int | None) -> None:
    """Adds the rows of text. `first` is a row read already, "" behind a header of `num_words`."""
    number = 1 if first else 2
    lines: list[tuple[int, str, bytes]] = []
    line = first or _line(found.path, file, number)
    while line:
        row = line.rstrip(b" \r\n")
        if row:
            word, numbers = _parted(found, row, number)
            kept = found.keeps(word)
            if kept is not None:
                lines.append((number, kept, numbers))
        if len(lines) == _BLOCK:
            _parse(found, lines)
            lines = []
        number += 1
        line = _line(found.path, file, number)
    _parse(found, lines)
    if num_words is not None and found.num_rows != num_words:
        _refuse(
            found.path,
            f"its first line promises {plural(num_words, 'vector')}, but {found.num_rows:,} follow; was it cut, "
            "or joined? Fetch it again, or mend the first line.",
        )
    if not found.num_rows:
        _refuse(found.path, "holds no vectors.")


def _parted(found: _Found, row: bytes, number: int) -> tuple[bytes, bytes]:
    """A row's word and its numbers."""
    num_fields = row.count(b" ")
    if num_fields == found.size:
        word, _, numbers = row.partition(b" ")
        return word, numbers
    if num_fields > found.size:
        word, *numbers = row.rsplit(b" ", found.size)
        if not any(_is_number(each) for each in word.split(b" ")[1:]):
            found.num_spaced += 1
            return word, b" ".join(numbers)
    shown = row.partition(b" ")[0][:60].decode("utf-8", "replace")
    _refuse(
        found.path,
        f"line {number:,} (word {shown!r}): {plural(num_fields, 'number')}, expected {found.size}; mend or remove "
        "the line.",
    )


def _parse(found: _Found, lines: list[tuple[int, str, bytes]]) -> None:
    """Adds the vectors of these rows; each is known to have the right number of fields."""
    if not lines:
        return
    try:
        vectors = _numbers([row for _, _, row in lines], found.size)
    except pa.ArrowInvalid:  # a number in a form that Arrow does not know, such as +1, or none
        for number, word, row in lines:
            bad = next((each for each in row.split(b" ") if not _is_number(each)), None)
            if bad is not None:
                shown = bad[:40].decode("utf-8", "replace")
                _refuse(found.path, f"line {number:,} (word {word!r}): {shown!r} is not a number; mend the line.")
        with np.errstate(over="ignore"):
            vectors = np.array([list(map(float, row.split(b" "))) for _, _, row in lines]).astype(np.float32)
    found.add([word for _, word, _ in lines], vectors, lambda index: f"line {lines[index][0]:,}")


def _numbers(rows: list[bytes], size: int) -> np.ndarray:
    """[n, D] float32, by Arrow's parser, which is ten times as fast as Python's."""
    content = b"\n".join(rows) + b"\n"
    names = [f"f{index}" for index in range(size)]
    table = csv.read_csv(
        io.BytesIO(content),
        read_options=csv.ReadOptions(column_names=names, block_size=len(content) + 1, use_threads=False),
        parse_options=csv.ParseOptions(delimiter=" ", quote_char=False, escape_char=False),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.float32()), null_values=[]),
    )
    return np.stack([column.to_numpy() for column in table.columns], axis=1)


def _is_number(content: bytes) -> bool:
    try:
        float(content)
    except ValueError:
        return False
    return b"_" not in content


def _read_binary(found: _Found, file: io.BufferedReader, _: bytes, num_words: int) -> None:
    """Adds the rows of the binary format."""
    num_bytes = 4 * found.size
    words: list[str] = []
    rows: list[bytes] = []
    first = 1
    for index in range(1, num_words + 1):
        word = _binary_word(found.path, file, index, num_words)
        content = file.read(num_bytes)
        if len(content) < num_bytes:
            shown = word[:60].decode("utf-8", "replace")
            _refuse(
                found.path,
                f"cut in vector {index:,} (word {shown!r}) of the {num_words:,} that its first line promises; "
                "fetch it again.",
            )
        kept = found.keeps(word)
        if kept is not None:
            words.append(kept)
            rows.append(content)
        if len(words) == _BLOCK or index == num_words:
            _add_binary(found, words, rows, first)
            words, rows, first = [], [], index + 1
    if file.read(4096).strip():
        _refuse(found.path, f"goes on behind the {num_words:,} vectors that its first line promises; fetch it again.")
    if not found.num_rows:
        _refuse(found.path, "holds no vectors.")


def _add_binary(found: _Found, words: list[str], rows: list[bytes], first: int) -> None:
    vectors = np.frombuffer(b"".join(rows), "<f4").reshape(len(rows), found.size).astype(np.float32)
    found.add(words, vectors, lambda _: f"a vector from the {first:,}. on")


def _binary_word(path: Path, file: io.BufferedReader, index: int, num_words: int) -> bytes:
    """The bytes up to the next blank, without the line feed that ends the row before."""
    start = file.peek(1)
    word = b""
    while True:
        end = start.find(b" ")
        word += file.read(end + 1 if end >= 0 else len(start))
        if end >= 0:
            return word[:-1].lstrip(b"\n")
        if not start or len(word) > LONGEST_LINE:
            _refuse(
                path,
                f"cut before vector {index:,} of the {num_words:,} that its first line promises; fetch it again.",
            )
        start = file.peek(1)


def _refuse(path: Path, message: str) -> NoReturn:
    joint = ": " if message.startswith(("line", "a vector", "cut")) else " "
    raise DataError(f"{path}{joint}{message}")
