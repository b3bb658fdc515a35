"""The pieces of a word: its character n-grams, hashed into buckets, and the rows that buckets have in a table.

    "where" -> <where> -> <wh whe her ere re>, ... up to n = 6, and the word itself

Only buckets that some word of the vocabulary falls into have a row: the others would never be trained, and only add
noise to words that were never seen.

Source: Bojanowski et al. 2017, Enriching Word Vectors with Subword Information, section 3.2. The hash is FNV-1a of the
UTF-8 bytes as fastText computes it, with the bytes taken as signed numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from deepen.core.errors import OptionError

_OFFSET, _PRIME, _32_BITS = 2166136261, 16777619, 0xFFFFFFFF
_SIGN = 0xFFFFFF00  # what a byte above 127 has before it as a negative number of 32 bits


@dataclass(frozen=True)
class PieceOptions:
    """The pieces of words (models with subwords)."""

    shortest: int = field(default=3, metadata={"help": "letters of the shortest piece", "least": 1})
    longest: int = field(default=6, metadata={"help": "letters of the longest piece", "least": 1})
    buckets: int = field(default=2_000_000, metadata={"help": "values of the hash", "least": 1})

    def __post_init__(self) -> None:
        """Raises OptionError if there is no length."""
        if self.longest < self.shortest:
            raise OptionError(
                f"--pieces.longest {self.longest}: expected at least --pieces.shortest, which is {self.shortest}."
            )


@dataclass(frozen=True)
class PieceTable:
    """Which rows each word is the mean of. Row w is word w's own; behind those of the words come those of buckets.

    buckets  [B] int64, ascending: the bucket of row V + i
    rows     [total] int32; word w has rows[starts[w] : starts[w + 1]], its own first
    starts   [V + 1] int64
    """

    words: Sequence[str]
    options: PieceOptions
    buckets: np.ndarray
    rows: np.ndarray
    starts: np.ndarray

    @staticmethod
    def of(words: Sequence[str], options: PieceOptions, *, without: int = 0) -> PieceTable:
        """The table of a vocabulary; its first `without` words, such as <unk>, have no pieces but themselves."""
        found = [buckets_of(word, options) if place >= without else [] for place, word in enumerate(words)]
        flat = np.array([bucket for each in found for bucket in each], np.int64)
        buckets, places = np.unique(flat, return_inverse=True)
        lengths = np.array([len(each) + 1 for each in found], np.int64)
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows = np.empty(int(starts[-1]), np.int32)
        own = np.zeros(len(rows), bool)
        own[starts[:-1]] = True
        rows[own] = np.arange(len(words))
        rows[~own] = len(words) + places
        return PieceTable(words, options, buckets, rows, starts)

    @property
    def num_rows(self) -> int:
        """V + B"""
        return len(self.words) + len(self.buckets)

    @cached_property
    def of_bucket(self) -> dict[int, int]:
        """The row of each bucket that has one."""
        return {bucket: len(self.words) + place for place, bucket in enumerate(self.buckets.tolist())}

    def of_unseen(self, word: str) -> list[int]:
        """The rows of a word outside the vocabulary: those of its pieces that the vocabulary knows, perhaps none."""
        return [self.of_bucket[bucket] for bucket in buckets_of(word, self.options) if bucket in self.of_bucket]


def pieces_of(word: str, options: PieceOptions) -> list[str]:
    """The n-grams of <word>, in the order of `buckets_of`.

    >>> pieces_of("a", PieceOptions(shortest=2, longest=3))
    ['<a', '<a>', 'a>']
    """
    whole = f"<{word}>"
    lengths = range(options.shortest, options.longest + 1)
    spans = [(begin, begin + length) for begin in range(len(whole)) for length in lengths]
    brackets = ((0, 1), (len(whole) - 1, len(whole)))
    return [whole[begin:end] for begin, end in spans if end <= len(whole) and (begin, end) not in brackets]


def buckets_of(word: str, options: PieceOptions) -> list[int]:
    """The bucket of each n-gram of <word>, those of the earliest letters first; a bracket alone is none.

    >>> buckets_of("a", PieceOptions(shortest=3, longest=6, buckets=100))
    [0]
    """
    letters = [letter.encode("utf-8", "surrogatepass") for letter in f"<{word}>"]
    found = []
    for begin in range(len(letters)):
        value = _OFFSET
        for length, letter in enumerate(letters[begin : begin + options.longest], start=1):
            for byte in letter:
                value = ((value ^ (byte | _SIGN if byte > 127 else byte)) * _PRIME) & _32_BITS
            is_bracket = length == 1 and begin in (0, len(letters) - 1)
            if length >= options.shortest and not is_bracket:
                found.append(value % options.buckets)
    return found
