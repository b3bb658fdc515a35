"""How often each n-gram occurs in a text of numbered words, by sorting."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from deepen.ops.ngram_trie import MISSING, Trie, starts_of


@dataclass(frozen=True)
class NGramCounts:
    """The n-grams of a text.

    counts    for the orders 1 .. N: [G[n]] int64
    suffixes  for the orders 2 .. N: [G[n]] int64, the place of the n-gram's last n - 1 words in the order below
    """

    trie: Trie
    counts: tuple[np.ndarray, ...]
    suffixes: tuple[np.ndarray, ...]

    @property
    def order(self) -> int:
        return self.trie.order


def marked(streams: Iterable[np.ndarray], num_words: int, *, end: int | None = None) -> np.ndarray:
    """Texts one behind the other, with the beginning V before each, and, where `end` is given, after each such word.

    streams  each [n] of 0 .. V - 1
    returns  [n] int32; with `end` every line begins anew, else only every text

    >>> marked([np.array([0, 1, 2, 1]), np.array([2])], 3, end=1).tolist()
    [3, 0, 1, 3, 2, 1, 3, 2]
    """
    parts = []
    for stream in streams:
        ids = np.asarray(stream, np.int32)
        if len(ids) == 0:
            continue
        assert ids.min() >= 0 and ids.max() < num_words, "a word is not of this vocabulary"
        places = [0] if end is None else np.concatenate([[0], np.flatnonzero(ids[:-1] == end) + 1])
        parts.append(np.insert(ids, places, num_words))
    return np.concatenate(parts) if parts else np.zeros(0, np.int32)


def count_ngrams(text: np.ndarray, num_words: int, order: int) -> NGramCounts:
    """All n-grams of the orders 1 .. N that begin where a context may begin, and how often each occurs.

    text     [n] int, as `marked` gives it
    returns  the counts; that of the beginning itself is how often something follows it

    Each order takes one sort of its keys parent * (V + 1) + word. Memory for counting an order of 5 and estimating from
    it: about 230 bytes for a word of the text (WikiText-2).
    """
    text = np.asarray(text).astype(np.int64)
    reach = _words_since_beginning(text, num_words)
    counts = [np.bincount(text, minlength=num_words + 1).astype(np.int64)]
    words, starts, suffixes = [], [], []
    places = text  # of the n-gram that ends here, in the order below
    size = num_words + 1
    for n in range(2, order + 1):
        here = np.flatnonzero(reach >= n)
        keys, count, index = _distinct(places[here - 1] * (num_words + 1) + text[here])
        parents = keys // (num_words + 1)
        suffix = np.empty(len(keys), np.int64)
        suffix[index] = places[here]
        words.append((keys - parents * (num_words + 1)).astype(np.int32))
        starts.append(starts_of(parents, size))
        counts.append(count)
        suffixes.append(suffix)
        places = np.full(len(text), MISSING, np.int64)
        places[here] = index
        size = len(keys)
    return NGramCounts(Trie(num_words, tuple(words), tuple(starts)), tuple(counts), tuple(suffixes))


def adjusted_counts(counts: NGramCounts) -> list[np.ndarray]:
    """The counts of Kneser and Ney: of the highest order as they are, of lower ones how many words stand before.

        a(w[1..N]) = c(w[1..N]),    a(w[1..n]) = |{v: c(v w[1..n]) > 0}|,    a(<s> w[2..n]) = c(<s> w[2..n])

    returns  for the orders 1 .. N: [G[n]] int64; 0 for the beginning alone
    Source: Kneser and Ney 1995; the case of <s>, before which nothing stands, as in KenLM (Heafield et al. 2013).
    """
    found = list(counts.counts)
    for n in range(1, counts.order):
        before = np.bincount(counts.suffixes[n - 1], minlength=len(found[n - 1]))
        found[n - 1] = np.where(counts.trie.begun(n), counts.counts[n - 1], before)
    found[0] = found[0].copy()
    found[0][counts.trie.beginning] = 0
    return found


def counts_of_counts(counts: np.ndarray) -> np.ndarray:
    """[4] int64: how many n-grams have the counts 1, 2, 3 and 4."""
    return np.bincount(np.minimum(counts, 5), minlength=6)[1:5]


def _words_since_beginning(text: np.ndarray, beginning: int) -> np.ndarray:
    """[n] int64: how many words lie between the last beginning and here, both counted."""
    place = np.arange(len(text))
    return place - np.maximum.accumulate(np.where(text == beginning, place, 0)) + 1


def _distinct(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct keys ascending, how often each occurs, and for each of `keys` its place among them."""
    order = np.argsort(keys)
    ordered = keys[order]
    is_first = np.ones(len(keys), bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    firsts = np.flatnonzero(is_first)
    index = np.empty(len(keys), np.int64)
    index[order] = np.cumsum(is_first) - 1
    return ordered[firsts], np.diff(np.append(firsts, len(keys))), index
