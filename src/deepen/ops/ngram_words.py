"""Lines of words parted by blanks as one text of numbers, fast: what stands between a file and an n-gram model.

Numba's compiled loop, where it is installed and the text is long, gives the same numbers as a dictionary, but for this:
it knows a word by 64 bits of a hash, as KenLM does, so that another word is taken for it with a chance of 2^-64.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from deepen.ops.ngram_scoring import is_compilable

LONG_BYTES = 1_000_000  # text from which compiling is worth its time
MULTIPLIER = 0x9E3779B97F4A7C15
SEED = 0xCBF29CE484222325
EMPTY = -1
SLOT = np.dtype([("key", np.uint64), ("number", np.int64)])
_WORD = re.compile(r"[^ \t\n\v\f\r]+")  # only white space of ASCII parts words, U+00A0 does not


class WordNumbers:
    """The number of each word, and of lines of them.

    words     [V], the words 0 .. V - 1
    unknown   the number of every other word
    compiled  whether numba is used; default: if it is installed, from a megabyte of text on
    """

    def __init__(self, words: Sequence[str], unknown: int, *, compiled: bool | None = None) -> None:
        self.words, self.unknown = list(words), unknown
        self._compiled = compiled
        self._numbers = {word: number for number, word in enumerate(self.words)}
        self._table: np.ndarray | None = None

    def marked(self, lines: Sequence[str], *, beginning: int | None, end: int | None) -> np.ndarray:
        """The lines one behind the other, [n] int32; where given, `beginning` stands before each and `end` behind it.

        >>> WordNumbers(["a", "b"], unknown=2).marked(["b  a", "c"], beginning=4, end=3).tolist()
        [4, 1, 0, 3, 4, 2, 3]
        """
        marks = (EMPTY if beginning is None else beginning, EMPTY if end is None else end)
        texts = pa.array(lines, pa.large_string())
        data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)
        wanted = self._compiled if self._compiled is not None else len(data) >= LONG_BYTES
        if not (wanted and is_compilable()):
            return self._by_dictionary(lines, *marks)
        offsets = np.frombuffer(texts.buffers()[1] or bytes(8), np.int64)[: len(lines) + 1]
        found = np.empty((len(data) + len(lines)) // 2 + 2 * len(lines) + 1, np.int32)
        number = _compile()[1](data, offsets, self._hashed(), self.unknown, *marks, found)
        return found[:number]

    def _by_dictionary(self, lines: Sequence[str], beginning: int, end: int) -> np.ndarray:
        known, unknown, found = self._numbers, self.unknown, []
        before, behind = ([] if mark == EMPTY else [mark] for mark in (beginning, end))
        for line in lines:
            found += before
            found += [known.get(word, unknown) for word in _WORD.findall(line)]
            found += behind
        return np.array(found, np.int32)

    def _hashed(self) -> np.ndarray:
        """An open table of the words' hashes and numbers."""
        if self._table is None:
            names = [word.encode() for word in self.words]
            letters = np.frombuffer(b"".join(names) or b"\0", np.uint8)
            bits = max(1, int(np.ceil(np.log2(2 * len(names) + 1))))
            slots = np.zeros(1 << bits, SLOT)
            slots["number"] = EMPTY
            _compile()[0](letters, np.cumsum([0, *(len(name) for name in names)]), slots)
            self._table = slots
        return self._table


@cache
def _compile() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Numba's versions of the two loops, kept on disk between processes where that is possible."""
    import numba

    compiled = numba.njit(cache=True)
    return compiled(_fill), compiled(_look_up)


def _fill(letters: np.ndarray, begins: np.ndarray, slots: np.ndarray) -> None:
    """Puts each word into the first free slot from the one that its hash names."""
    mask = len(slots) - 1
    for word in range(len(begins) - 1):
        key = np.uint64(SEED)
        for place in range(begins[word], begins[word + 1]):
            key = (key ^ np.uint64(letters[place])) * np.uint64(MULTIPLIER)
        slot = np.int64(key >> np.uint64(32)) & mask
        while slots[slot].number >= 0:
            slot = (slot + 1) & mask
        slots[slot].key = key
        slots[slot].number = word


def _look_up(
    data: np.ndarray,
    offsets: np.ndarray,
    slots: np.ndarray,
    unknown: int,
    beginning: int,
    end: int,
    found: np.ndarray,
) -> int:
    """The words of each line, byte by byte; returns how many numbers there are."""
    mask = len(slots) - 1
    count = 0
    for line in range(len(offsets) - 1):
        if beginning >= 0:
            found[count] = beginning
            count += 1
        at, stop = offsets[line], offsets[line + 1]
        while at < stop:
            letter = data[at]
            at += 1
            if letter == 32 or 9 <= letter <= 13:
                continue
            key = (np.uint64(SEED) ^ np.uint64(letter)) * np.uint64(MULTIPLIER)
            while at < stop:
                letter = data[at]
                if letter <= 32 and (letter == 32 or 9 <= letter <= 13):
                    break
                key = (key ^ np.uint64(letter)) * np.uint64(MULTIPLIER)
                at += 1
            slot = np.int64(key >> np.uint64(32)) & mask
            number = unknown
            while slots[slot].number >= 0:
                if slots[slot].key == key:
                    number = slots[slot].number
                    break
                slot = (slot + 1) & mask
            found[count] = number
            count += 1
        if end >= 0:
            found[count] = end
            count += 1
    return count
