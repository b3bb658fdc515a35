"""The n-grams of a text as a trie in flat arrays: each n-gram is its first n - 1 words and one word more.

Words are numbers 0 .. V - 1. The number V stands for the beginning, after which nothing is remembered: it is part of
contexts and never predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

MISSING = -1


@dataclass(frozen=True)
class Trie:
    """N-grams of the orders 1 to N, each order sorted by its words from the first to the last.

    num_words  V; order 1 holds the words 0 .. V - 1 and the beginning V, all of them
    words      for the orders 2 .. N: [G[n]] int32, the last word
    starts     for the orders 2 .. N: [G[n - 1] + 1] int32 or int64; the n-grams starts[p] .. starts[p + 1] - 1 are
               those whose first n - 1 words are the n-gram p of the order below

    4 bytes for an n-gram and 4 for one that others may go on from (8 from 2^31 n-grams of an order on).
    """

    num_words: int
    words: tuple[np.ndarray, ...]
    starts: tuple[np.ndarray, ...]

    @property
    def order(self) -> int:
        """N"""
        return len(self.words) + 1

    @property
    def beginning(self) -> int:
        """V"""
        return self.num_words

    @property
    def sizes(self) -> list[int]:
        """How many n-grams there are of each order."""
        return [self.num_words + 1, *(len(words) for words in self.words)]

    def parents(self, order: int) -> np.ndarray:
        """[G[order]] int64: the place of each n-gram's first words in the order below."""
        starts = self.starts[order - 2]
        return np.repeat(np.arange(len(starts) - 1), np.diff(starts))

    def keys(self, order: int) -> np.ndarray:
        """[G[order]] int64, ascending: parent * (V + 1) + word, one number for one n-gram."""
        return self.parents(order) * (self.num_words + 1) + self.words[order - 2]

    @cached_property
    def all_keys(self) -> tuple[np.ndarray, ...]:
        """`keys` of the orders 2 .. N, kept: 8 bytes for an n-gram."""
        return tuple(self.keys(order) for order in range(2, self.order + 1))

    def grams(self, order: int, rows: slice = slice(None)) -> np.ndarray:
        """[n, order] int32: these n-grams, word by word."""
        place = np.arange(self.sizes[order - 1])[rows]
        found = np.empty((len(place), order), np.int32)
        for column in range(order - 1, 0, -1):
            found[:, column] = self.words[column - 1][place]
            place = np.searchsorted(self.starts[column - 1], place, side="right") - 1
        found[:, 0] = place
        return found

    def find(self, gram: Sequence[int] | np.ndarray) -> int:
        """The place of an n-gram among those of its order, or MISSING."""
        place = int(gram[0])
        for order, word in enumerate(gram[1:], start=2):
            low, high = self.starts[order - 2][place : place + 2]
            among = self.words[order - 2][low:high]
            at = int(np.searchsorted(among, word))
            if at == len(among) or among[at] != word:
                return MISSING
            place = int(low) + at
        return place

    def find_all(self, grams: np.ndarray) -> np.ndarray:
        """The places of many n-grams of one order, [n, order] -> [n] int64, MISSING where there is none."""
        place = grams[:, 0].astype(np.int64)
        for order in range(2, grams.shape[1] + 1):
            place = located(self.all_keys[order - 2], place, grams[:, order - 1], self.num_words + 1)
        return place

    def begun(self, order: int) -> np.ndarray:
        """[G[order]] bool: the n-gram starts at the beginning. They are the last ones of each order."""
        first = self.num_words
        for starts in self.starts[: order - 1]:
            first = int(starts[first])
        return np.arange(self.sizes[order - 1]) >= first


@dataclass(frozen=True)
class BackoffModel:
    """Probabilities of n-grams, and what a context that has no n-gram for a word hands on to the shorter context.

        log p(w | h) = probability(h w)                     where the n-gram h w is there
                       backoff(h) + log p(w | h')           else; h' is h without its first word, and backoff(h) is 0
                                                            where h is not there

    probabilities  for the orders 1 .. N: [G[n]] float32, log10
    backoffs       for the orders 1 .. N - 1: [G[n]] float32, log10

    Every n-gram is found through its first words. `is_closed` says that each n-gram's last words are there as well, as
    in a model from counts; then a word that a context does not have need not be looked for in a longer one.
    Source: Katz 1987; the file format of ARPA and of Stolcke 2002 holds the same.
    """

    trie: Trie
    probabilities: tuple[np.ndarray, ...]
    backoffs: tuple[np.ndarray, ...]
    is_closed: bool = True

    @property
    def num_words(self) -> int:
        return self.trie.num_words

    @property
    def order(self) -> int:
        return self.trie.order

    def num_bytes(self) -> int:
        """What the arrays take."""
        held = (*self.trie.words, *self.trie.starts, *self.probabilities, *self.backoffs)
        return sum(array.nbytes for array in held)


def uniform(num_words: int) -> BackoffModel:
    """The model that knows nothing: every word has the probability 1 / V."""
    probability = np.full(num_words + 1, -np.log10(num_words), np.float32)
    probability[num_words] = NEVER
    return BackoffModel(Trie(num_words, (), ()), (probability,), ())


NEVER = np.float32(-99)  # log10 of the probability of what is not predicted, as ARPA files write it


def located(keys: np.ndarray, parents: np.ndarray, words: np.ndarray, base: int) -> np.ndarray:
    """Where the n-grams (parent, word) stand among ascending keys parent * base + word: [n] int64, or MISSING.

    A parent of MISSING has none. The keys that are asked for are sorted first: neighbours then meet in the cache.
    """
    found = np.full(len(parents), MISSING, np.int64)
    asked = np.flatnonzero(parents >= 0)
    if len(asked) == 0 or len(keys) == 0:
        return found
    wanted = parents[asked].astype(np.int64) * base + words[asked]
    order = np.argsort(wanted)
    wanted = wanted[order]
    place = np.searchsorted(keys, wanted)
    place[place == len(keys)] = 0
    is_there = keys[place] == wanted
    found[asked[order[is_there]]] = place[is_there]
    return found


def starts_of(parents: np.ndarray, num_parents: int) -> np.ndarray:
    """[num_parents + 1] from ascending parents: where the first child of each stands."""
    counts = np.bincount(parents, minlength=num_parents)
    starts = np.zeros(num_parents + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts.astype(np.int32) if starts[-1] < 2**31 else starts
