"""Blocks of a corpus as ids, one at a time: a corpus need never be in memory as a whole.

    block -> its lines -> tokens -> ids without unknown ones, and where each line begins

Ids are kept for the next epoch as long as memory is set aside for them; the other blocks are read and looked up anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Lock

import numpy as np

from deepen.core.memory import available_bytes
from deepen.prepare.corpus import lines_of
from deepen.prepare.text import Tokenizer

SHARE_KEPT = 0.25  # of the memory that is free
KEPT_WHERE_UNKNOWN = 1 << 30


class CorpusStream:
    """The ids of blocks; threads may ask at once.

    read   the text of a block by its number
    first  ids below it are no words, such as that of <unk>, and are left out with them
    """

    def __init__(
        self,
        num_blocks: int,
        read: Callable[[int], str],
        tokenizer: Tokenizer,
        *,
        first: int = 1,
        keep: int | None = None,
    ) -> None:
        self.num_blocks = num_blocks
        self._read, self._tokenizer, self._first = read, tokenizer, first
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._room = int((available_bytes() or KEPT_WHERE_UNKNOWN) * SHARE_KEPT) if keep is None else keep
        self._lock = Lock()

    def block(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The ids [n] int32 of a block's known words, and the starts [lines + 1] int64 of its lines among them."""
        kept = self._kept.get(number)
        if kept is not None:
            return kept
        found = block_ids(self._read(number), self._tokenizer, first=self._first)
        size = found[0].nbytes + found[1].nbytes
        with self._lock:
            if size <= self._room and number not in self._kept:
                self._room -= size
                self._kept[number] = found
        return found


def block_ids(text: str, tokenizer: Tokenizer, *, first: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The ids [n] int32 of a text's known words and where its lines begin among them; empty lines are left out."""
    rows = list(tokenizer.many_ids(lines_of(text)))
    ids = np.concatenate([np.zeros(0, np.int32), *rows])
    line = np.repeat(np.arange(len(rows)), np.fromiter(map(len, rows), np.int64, len(rows)))
    is_known = ids >= first
    lengths = np.bincount(line[is_known], minlength=1)
    return ids[is_known], np.concatenate([[0], np.cumsum(lengths[lengths > 0])]).astype(np.int64)


def texts_of(num_blocks: int, read: Callable[[int], str]) -> Iterator[str]:
    """Every block's text in turn."""
    for number in range(num_blocks):
        yield read(number)
