"""A corpus as one stream of ids, and the stretches of it that are read at once.

    blocks of whole lines, in the order of their places -> lines -> ids, `<eos>` behind each line -> one stream

The stream begins with what stands before a line (`<eos>`, or a line break), which is read and not predicted, so that
every token of the text is predicted once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from deepen.core import rng
from deepen.core.errors import DataError
from deepen.prepare.text import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

EOS = "<eos>"
LONGEST_HELD = 256  # ids of a line that are written again with each new one
_LINE = re.compile(r", line (\d+)$")


@dataclass(frozen=True)
class Stretches:
    """Parts of a stream, one a row. Row i reads from begin[i] on and is scored on the tokens start[i] + 1 .. stop[i].

    begin  [N] int64, at most start: what is read before, to warm up
    start  [N] int64
    stop   [N] int64, the place of the last token that is predicted
    """

    begin: np.ndarray
    start: np.ndarray
    stop: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    def tensors(self) -> dict[str, Tensor]:
        """By name, [N] int64."""
        import torch

        return {name: torch.from_numpy(getattr(self, name)) for name in ("begin", "start", "stop")}


@dataclass(frozen=True)
class Parts:
    """A table's text in the order of the corpus (its rows are in another), line by line or block by block.

    texts    lines without their ends, or whole blocks
    block    [n] int64, in which block each stands
    first    [number of blocks] int64, the first text of each block
    sources  of the blocks, such as `novel.txt, line 312`
    """

    texts: list[str]
    block: np.ndarray
    first: np.ndarray
    sources: list[str]

    @staticmethod
    def of(table: pa.Table, by_line: bool) -> Parts:
        """All parts of a table with the columns `text`, `source` and, where the rows are in another order, `place`."""
        if "place" in table.column_names:
            order = np.argsort(table.column("place").to_numpy(), kind="stable")
            table = table.take(pa.array(order))
        blocks = [lines_of(each) or [""] if by_line else [each] for each in table.column("text").to_pylist()]
        sizes = np.array([len(block) for block in blocks], np.int64)
        texts = [line for block in blocks for line in block]
        first = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        return Parts(texts, np.repeat(np.arange(len(blocks)), sizes), first, table.column("source").to_pylist())

    def sources_of(self, texts: np.ndarray) -> list[str]:
        """Where each of these texts stands: its block, or the line where the block says its first line."""
        return [
            nth_source(self.sources[self.block[number]], number - int(self.first[self.block[number]]))
            for number in texts.tolist()
        ]


class Numbered(Protocol):
    """Texts as ids, as arrays or as tensors on the CPU: text i is values[starts[i] : starts[i + 1]]."""

    @property
    def values(self) -> Any: ...

    @property
    def starts(self) -> Any: ...


class Ids(NamedTuple):
    """Texts as ids, all one behind the other [total], and where each starts [N + 1]."""

    values: np.ndarray
    starts: np.ndarray


@dataclass(frozen=True)
class Stream:
    """A text as ids one behind the other.

    ids     [total] int32, the first of which stands before the text
    begins  [N + 1] int64: part i is the ids from begins[i] on, up to begins[i + 1], its end included
    """

    ids: np.ndarray
    begins: np.ndarray

    def part_of(self, places: np.ndarray) -> np.ndarray:
        """The part in which each place stands; the last one for a place behind all."""
        found = np.searchsorted(self.begins, places, side="right") - 1
        return np.clip(found, 0, len(self.begins) - 2)


def lines_of(text: str) -> list[str]:
    """The lines of a block without their ends; a line break at the end of the text begins no further line.

    >>> lines_of("one\\n\\ntwo\\n")
    ['one', '', 'two']
    """
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def nth_source(source: str, number: int) -> str:
    """The source of a text that stands so many behind the first of its block.

    >>> nth_source("novel.txt, line 312", 5), nth_source("novel.txt", 5)
    ('novel.txt, line 317', 'novel.txt')
    """
    numbered = _LINE.search(source) if number else None
    return f"{source[: numbered.start(1)]}{int(numbered.group(1)) + number}" if numbered else source


def stream_of(parts: Numbered, *, start: int, end: int | None) -> Stream:
    """All parts one behind the other.

    parts  ids of N texts
    start  the id that stands before the first
    end    the id behind each part, None for none
    """
    starts = np.asarray(parts.starts)
    own = np.diff(starts)
    begins = 1 + np.concatenate([[0], np.cumsum(own + (end is not None))]).astype(np.int64)
    ids = np.full(int(begins[-1]), start if end is None else end, np.int32)
    ids[0] = start
    part = np.repeat(np.arange(len(own)), own)
    ids[np.arange(len(part)) - starts[part] + begins[part]] = np.asarray(parts.values)
    return Stream(ids, begins)


def training_rows(total: int, length: int) -> int:
    """How many windows of `length` predicted tokens every offset below `length` leaves in a stream of `total` ids.

    Raises DataError for a stream that is too short for one.
    """
    if total < 2 * length + 1:
        most = (total - 1) // 2
        mend = f"take --sequence-length {most} or less, or more text" if most >= 1 else "give more text"
        raise DataError(
            f"--sequence-length {length}: expected at least two windows of text, {2 * length:,} tokens, but the "
            f"training text has {total - 1:,}; {mend}."
        )
    return (total - 1) // length - 1


def offset_of(seed: int, epoch: int, length: int) -> int:
    """Where the first window of an epoch begins: in [0, length), a pure function of (seed, epoch).

    Source: random offsets are those of Zhang et al., Dive into Deep Learning, section 9.3 (both ways of reading).
    """
    return int(rng.generator(seed, "offset", epoch).integers(length))


def windows(num_rows: int, length: int, total: int) -> Stretches:
    """The training windows at offset 0, one behind the other; the last one holds what is left."""
    start = np.arange(num_rows, dtype=np.int64) * length
    stop = np.append(start[1:], total - 1)
    return Stretches(start, start, stop)


def stretches(total: int, size: int, context: int) -> Stretches:
    """Parts that score every token of a stream but its first exactly once.

    size     the most tokens that are scored of a part
    context  tokens that are read before the first scored one, fewer only at the beginning of the stream
    """
    start = np.arange(0, total - 1, size, dtype=np.int64)
    return Stretches(np.maximum(0, start - context), start, np.minimum(start + size, total - 1))


def whole_parts(begins: np.ndarray, *, scores_ends: bool) -> Stretches:
    """Each part of a stream for itself: a row reads the token before the part and then the part.

    begins       [N + 1] as of `Stream`, of parts that have an end
    scores_ends  whether the end is predicted too
    """
    return Stretches(begins[:-1] - 1, begins[:-1] - 1, begins[1:] - (1 if scores_ends else 2))


def lanes(num_rows: int, num_batches: int) -> list[np.ndarray]:
    """Batches in which each row's successor stands in the next batch: sequential partitioning.

    The rows are cut into lanes of `num_batches` that follow one another; batch t holds the t-th row of each lane.

    >>> [batch.tolist() for batch in lanes(7, 3)]
    [[0, 3, 6], [1, 4], [2, 5]]
    """
    return [np.arange(t, num_rows, num_batches, dtype=np.int64) for t in range(num_batches)]


def shuffled(num_rows: int, num_batches: int, *, seed: int, epoch: int) -> list[np.ndarray]:
    """Batches of rows in random order: random sampling."""
    return np.array_split(rng.permutation(seed, epoch, num_rows), num_batches)


def pieces(tokenizer: Tokenizer, before: Sequence[int], ids: Iterable[int], *, end: int | None) -> Iterator[str]:
    """The text that ids add to what stands before them, piece by piece.

    before  ids of the line that is gone on with
    end     the id that ends a line, for which a line break is written; None if none does

    Bytes that are no whole character yet wait for the next ones.
    """
    held = list(before)
    said = tokenizer.text(held)
    for index in ids:
        if index == end:
            yield "\n"
            held, said = [], ""
            continue
        held.append(index)
        text = tokenizer.text(held)
        if text.endswith("\ufffd") and len(held) <= LONGEST_HELD:
            continue
        if len(text) > len(said):
            yield text[len(said) :]
        said = text
        if len(held) > LONGEST_HELD:
            held = held[-LONGEST_HELD // 2 :]
            said = tokenizer.text(held)
    rest = tokenizer.text(held)
    if len(rest) > len(said):
        yield rest[len(said) :]
