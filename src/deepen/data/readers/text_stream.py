"""A corpus of plain text as blocks that stay in their files, for corpora larger than memory.

The files are read once, to find where blocks of whole lines begin, to hash them and to make sure of their encoding;
`text_blocks.block_text` reads one of them. The blocks, keys and splits are those of `text_lines`.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.units import plural, size
from deepen.data import text_blocks, text_names
from deepen.data.dataset import Dataset
from deepen.data.read import ReadOptions, short_name
from deepen.data.readers.text_lines import corpus_files, cut_within, in_blocks
from deepen.data.readers.text_lines import recognizes as recognizes
from deepen.data.text_encoding import Evidence, found_encoding, undecodable
from deepen.data.text_file import encoding_of, marked, refusal

LOOKS_FOR = "plain text in one file or in a folder of files, larger than memory if need be"
PIECE_BYTES = 1 << 22
_LINE_MARK = b"\n" + codecs.BOM_UTF8
_MARK = codecs.BOM_UTF8


@dataclass
class _Blocks:
    """The blocks of one split, a list a column."""

    path: list[str] = field(default_factory=list)
    offset: list[int] = field(default_factory=list)
    length: list[int] = field(default_factory=list)
    encoding: list[str] = field(default_factory=list)
    source: list[str] = field(default_factory=list)
    key: list[str] = field(default_factory=list)
    lines: int = 0
    is_blank: bool = True

    def table(self) -> pa.Table:
        """The same as a table, with the place of each block."""
        return pa.table(
            {
                "path": pa.array(self.path, pa.string()),
                "offset": pa.array(self.offset, pa.int64()),
                "length": pa.array(self.length, pa.int64()),
                "encoding": pa.array(self.encoding, pa.string()),
                "place": pa.array(range(len(self.path)), pa.int64()),
                "source": pa.array(self.source, pa.string()),
                "key": pa.array(self.key, pa.string()),
            }
        )


def read(path: Path, options: ReadOptions) -> Dataset:
    """Columns path, offset and length (bytes), encoding, place, source and key.

    Raises DataError for what cannot be read from the middle: a .gz file, and text in UTF-16 or UTF-32.
    """
    faults: list[Fault] = []
    files = corpus_files(path, faults)
    found = {}
    for split, same in files.items():
        found[split] = _Blocks()
        length = text_blocks.block_size(sum(file.stat().st_size for file in same))
        for file in same:
            _add(found[split], file, text_names.relative_name(file, path), length, options.encoding, faults)
    if all(blocks.is_blank for blocks in found.values()):
        raise DataError(f"{path}: holds no text; give a file with some.")
    tables = {split: blocks.table() for split, blocks in found.items()}
    lines = sum(blocks.lines for blocks in found.values())
    total = sum(sum(blocks.length) for blocks in found.values())
    layout = f"plain text {text_names.shown_files(files)}: {plural(lines, 'line')}, {size(total)}{in_blocks(tables)}"
    return Dataset(short_name(path), layout, tables, (), tuple(faults))


def _add(blocks: _Blocks, file: Path, name: str, length: int, asked: str, faults: list[Fault]) -> None:
    """The blocks of one more file."""
    encoding, start = _encoding(file, name, asked)
    total = file.stat().st_size - start
    decoder = _Checked(encoding, name, start)
    offset, line, inside, end = start, 1, 0, b"\n"
    first = len(blocks.path)
    for block in text_blocks.blocks_of_stream(_pieces(file, start), length, total):
        inside += end != b"\n"
        decoder.add(block, line)
        blocks.is_blank = blocks.is_blank and block.isspace()
        blocks.path.append(str(file))
        blocks.offset.append(offset)
        blocks.length.append(len(block))
        blocks.source.append(f"{name}, line {line}")
        blocks.key.append(text_blocks.key_of(block))
        offset, line, end = offset + len(block), line + block.count(b"\n"), block[-1:]
    if decoder.refusal is not None:
        encoding = "" if asked else _guessed(file, start, total)
        if not encoding:
            raise decoder.refusal
        faults.append(found_encoding(encoding, *decoder.failed_at, name))
    elif decoder.marks:
        message = "byte-order marks within the file, passed over; were files joined to make this one?"
        faults.append(Fault("warning", "mark-within", f"{name}, line {decoder.marks[0]:,}", message))
    blocks.encoding += [encoding] * (len(blocks.path) - first)
    blocks.lines += line - (end == b"\n")
    if inside:
        faults.append(cut_within(name, inside))


def _encoding(file: Path, name: str, asked: str) -> tuple[str, int]:
    """The encoding to begin with and the bytes of its mark."""
    if file.suffix.lower() == ".gz":
        raise refusal("packed", name, "is packed, so that no block of it can be read by itself; unpack it.")
    head = text_names.head(file)
    start = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    encoding = "utf-8" if start else marked(head) or encoding_of(b"", asked, name)
    if "a\n b".encode(encoding) != b"a\n b":
        message = f"is {encoding}, whose lines cannot be found without reading it whole; save it as UTF-8."
        raise refusal("encoding", name, message)
    return encoding, start


def _pieces(file: Path, start: int) -> Iterator[bytes]:
    try:
        with file.open("rb") as opened:
            opened.seek(start)
            while piece := opened.read(PIECE_BYTES):
                yield piece
    except OSError as error:
        raise refusal("unreadable", file.name, f"cannot be read: {error.strerror or error}.") from error


def _guessed(file: Path, start: int, total: int) -> str:
    """latin-1 or cp1252, if that is what a file is that is not UTF-8, else ""; reads it once more."""
    evidence = Evidence()
    for block in text_blocks.blocks_of_stream(_pieces(file, start), text_blocks.LARGEST_BLOCK, total):
        evidence.add(block)
        if evidence.never:
            break
    return evidence.encoding()


class _Checked:
    """Whether a file is in its encoding, block by block, and where byte-order marks stand in it."""

    def __init__(self, encoding: str, name: str, offset: int) -> None:
        self.encoding, self.name, self.offset = encoding, name, offset
        self.refusal: DataError | None = None
        self.failed_at = (0, 0)  # the byte and its line
        self.marks: list[int] = []
        self.end = b"\n"

    def add(self, block: bytes, line: int) -> None:
        """Looks at the next block, which begins in this line."""
        if self.refusal is None:
            try:
                block.decode(self.encoding)
            except UnicodeDecodeError as error:
                self.refusal = undecodable(block, error, self.name, lines=line - 1, offset=self.offset)
                self.failed_at = block[error.start], line + block[: error.start].count(b"\n")
        if _MARK in block and ((block.startswith(_MARK) and self.end == b"\n") or _LINE_MARK in block):
            self.marks.append(line)
        self.end = block[-1:]
        self.offset += len(block)
