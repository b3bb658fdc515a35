"""word2vec's training on a block of text: skip-gram and CBOW, with negative sampling or a Huffman tree, with subwords.

Words are ids; a block is some lines of them. What a window of w_p, the words around it within a distance drawn evenly
from 1 to `window`, teaches is told by its loss, and each block goes downhill window by window:

    negative sampling      L(h, o) = -log s(h . c_o) - sum over K words n drawn from q of log s(-h . c_n)
    hierarchical softmax   L(h, o) = -sum over inner nodes i above o of log s(+-h . c_i)
    s(x) = 1 / (1 + exp(-x)),    q(w) proportional to count(w)^0.75

    skip-gram              sum over words j around p of L(v_j, w_p), the K draws shared by the window
    skip-gram-subword      sum over words j around p of L(h_p, w_j), K draws for each; h_p the mean of w_p's pieces
    cbow, cbow-subword     L(h, w_p), h the mean of all pieces of the words around p

Frequent words are left out at random before windows are laid: w is kept with chance (sqrt(f / t) + 1) t / f, f its part
of the text. In a window all gradients are taken at the same point, and then each is followed. The mean h hands its
whole gradient to every row it was made of, as word2vec and fastText do: so many times the derivative as there are rows.

Source: Mikolov et al. 2013, Efficient Estimation of Word Representations in Vector Space, and Distributed
Representations of Words and Phrases and their Compositionality (negative sampling, subsampling); Bojanowski et al.
2017, Enriching Word Vectors with Subword Information; Ji et al. 2016, arXiv 1604.04661 (draws shared by a window). The
chance to be kept is that of word2vec.c, which is not the paper's 1 - sqrt(t / f).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import numpy as np

from deepen.ops.huffman import huffman_tree

NOISE_POWER = 0.75
LANES = 16  # numbers that compiled rows are worked on at once
LOSS_EVERY = 16  # windows of which one counts for the loss: the others would cost a tenth of the time
_ALWAYS = np.uint64(1 << 32)
_NO_PATHS = (np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(1, np.int64))


@dataclass(frozen=True)
class Sampling:
    """What is drawn, and what words are told apart by.

    keep      [V] uint64: a word stays if 32 random bits are below it; 2^32 means always
    limits    [V] uint64 and others [V] int32: the alias table of the noise; both empty with a Huffman tree
    nodes     [total] int32, signs [total] float32 and paths [V + 1] int64: the inner nodes above each word and 1 where
              the score should be large; empty with negative sampling
    window    the largest distance
    negative  draws of noise, 0 with a Huffman tree
    """

    keep: np.ndarray
    limits: np.ndarray
    others: np.ndarray
    nodes: np.ndarray
    signs: np.ndarray
    paths: np.ndarray
    window: int
    negative: int


def sampling(counts: Sequence[int] | np.ndarray, *, window: int, negative: int, sample: float) -> Sampling:
    """The sampling for words of these counts; `negative` 0 chooses the Huffman tree, `sample` 0 keeps every word."""
    known = np.asarray(counts, dtype=np.int64)
    if negative:
        limits, others = alias_table(known.astype(np.float64) ** NOISE_POWER * (known > 0))
        return Sampling(keep_limits(known, sample), limits, others, *_NO_PATHS, window, negative)
    tree = huffman_tree(known)
    signs = (1 - tree.bits).astype(np.float32)
    none = (np.zeros(0, np.uint64), np.zeros(0, np.int32))
    return Sampling(keep_limits(known, sample), *none, tree.nodes.astype(np.int32), signs, tree.starts, window, 0)


def keep_limits(counts: np.ndarray, sample: float) -> np.ndarray:
    """2^32 times the chance of each word to be kept, [V] uint64.

        (sqrt(f / t) + 1) t / f,    f = count / all,    t = sample;    at most 1

    >>> (keep_limits(np.array([99, 1]), 0.01) / 2**32).round(4).tolist()
    [0.1106, 1.0]
    """
    if sample == 0:
        return np.full(len(counts), _ALWAYS)
    scaled = np.maximum(counts, 1) / (sample * max(1, counts.sum()))
    chance = np.minimum(1.0, (np.sqrt(scaled) + 1) / scaled)
    return np.where(chance >= 1, _ALWAYS, (chance * 2.0**32).astype(np.uint64))


def alias_table(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays [V] by which one look draws a word: w evenly, then w with chance limits[w] / 2^32, else others[w].

    Source: Walker 1977; made in one pass, Vose 1991.
    """
    size = len(weights)
    scaled = weights / weights.sum() * size
    limits, others = np.ones(size), np.arange(size)
    small, large = np.flatnonzero(scaled < 1).tolist(), np.flatnonzero(scaled >= 1).tolist()
    left = scaled.tolist()
    while small and large:
        low, high = small.pop(), large[-1]
        limits[low], others[low] = left[low], high
        left[high] -= 1 - left[low]
        if left[high] < 1:
            small.append(large.pop())
    return np.minimum(limits * 2.0**32, 2.0**32).astype(np.uint64), others.astype(np.int32)


@dataclass(frozen=True)
class Pieces:
    """The rows of the table that each word is the mean of: rows[starts[w] : starts[w + 1]].

    rows    [total] int32
    starts  [V + 1] int64
    """

    rows: np.ndarray
    starts: np.ndarray

    @staticmethod
    def whole(num_words: int) -> Pieces:
        """Each word is its own only piece."""
        return Pieces(np.arange(num_words, dtype=np.int32), np.arange(num_words + 1, dtype=np.int64))


def skip_gram_block(
    ids: np.ndarray,
    starts: np.ndarray,
    vectors: np.ndarray,
    contexts: np.ndarray,
    how: Sampling,
    *,
    rates: tuple[float, float],
    key: int,
    loss_every: int = LOSS_EVERY,
) -> tuple[float, int]:
    """Trains both tables in place on a block, and returns the summed loss of some pairs, and of how many.

    ids         [n] int32, all in [0, V)
    starts      [lines + 1] int64: line i is ids[starts[i] : starts[i + 1]]
    vectors     [V, D] float32, C-contiguous
    contexts    [V, D] float32, C-contiguous; with a Huffman tree row i is that of inner node i
    rates       the learning rate at the block's beginning and end, between them linear; 0 changes nothing
    key         of the draws, a 64-bit number
    loss_every  of so many windows one counts for the loss
    """
    return _kernels().skip_gram(ids, starts, vectors, contexts, *_given(how, rates, key, loss_every))


def skip_gram_subword_block(
    ids: np.ndarray,
    starts: np.ndarray,
    table: np.ndarray,
    contexts: np.ndarray,
    pieces: Pieces,
    how: Sampling,
    *,
    rates: tuple[float, float],
    key: int,
    loss_every: int = LOSS_EVERY,
) -> tuple[float, int]:
    """The same for words that are the mean of rows of `table` [R, D]."""
    arrays = (ids, starts, table, contexts, pieces.rows, pieces.starts)
    return _kernels().skip_gram_subword(*arrays, *_given(how, rates, key, loss_every))


def cbow_block(
    ids: np.ndarray,
    starts: np.ndarray,
    table: np.ndarray,
    contexts: np.ndarray,
    pieces: Pieces,
    how: Sampling,
    *,
    rates: tuple[float, float],
    key: int,
    loss_every: int = LOSS_EVERY,
) -> tuple[float, int]:
    """The same for a word told from the mean of the words around it; the loss is by word, not by pair."""
    arrays = (ids, starts, table, contexts, pieces.rows, pieces.starts)
    return _kernels().cbow(*arrays, *_given(how, rates, key, loss_every))


@cache
def is_compiled() -> bool:
    """Whether numba is there, without which the blocks are slow loops."""
    return importlib.util.find_spec("numba") is not None


@cache
def _kernels() -> ModuleType:
    if is_compiled():
        return importlib.import_module("deepen.ops.word2vec_kernels")
    return importlib.import_module("deepen.ops.word2vec_loops")


def _given(how: Sampling, rates: tuple[float, float], key: int, loss_every: int) -> tuple[object, ...]:
    tables = (how.keep, how.limits, how.others, how.nodes, how.signs, how.paths)
    return (*tables, how.window, how.negative, float(rates[0]), float(rates[1]), np.uint64(key), loss_every)


Block = Callable[..., tuple[float, int]]
