"""GloVe: vectors whose products are the logarithms of how often words stand near each other.

    J = sum over pairs (i, j) with x_ij > 0 of f(x_ij) (v_i . c_j + a_i + b_j - log x_ij)^2
    f(x) = (x / x_max)^power for x < x_max, else 1
    x_ij = sum over each time that i and j stand in one line, at most `window` words apart, of 1 / their distance

Trained pair by pair with AdaGrad, whose sums begin at 1.

Source: Pennington, Socher and Manning 2014, GloVe: Global Vectors for Word Representation; Duchi, Hazan and Singer 2011
(AdaGrad). As in the authors' program a step is along f(x) (...) v, which is half the derivative, and is divided by the
root of the sum of squares before this step.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import numpy as np

from deepen.ops.word2vec import is_compiled


@dataclass(frozen=True)
class Cooccurrence:
    """Pairs of words that stand near each other, each pair once in both orders.

    rows, columns  [n] int32
    weights        [n] float64: x_ij
    """

    rows: np.ndarray
    columns: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.weights)


@dataclass(frozen=True)
class Tables:
    """What is trained, all float32: vectors and contexts [V, D], their biases [V], and AdaGrad's sums of each."""

    vectors: np.ndarray
    contexts: np.ndarray
    vector_biases: np.ndarray
    context_biases: np.ndarray
    vector_squares: np.ndarray
    context_squares: np.ndarray
    vector_bias_squares: np.ndarray
    context_bias_squares: np.ndarray


class Counting:
    """Adds up how often words stand near each other, block by block, in memory for the distinct pairs alone.

    Counts are whole numbers by distance until the end, so that the order of the blocks changes nothing.
    """

    def __init__(self, num_words: int, window: int) -> None:
        self._num_words, self._window = num_words, window
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []  # sorted keys and their counts, the longest run first

    def add(self, ids: np.ndarray, starts: np.ndarray) -> None:
        """Counts the pairs of a block: ids [n] int32, line i being ids[starts[i] : starts[i + 1]]."""
        line = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        keys = []
        for distance in range(1, self._window + 1):
            near = line[distance:] == line[:-distance]
            a, b = ids[:-distance][near].astype(np.uint64), ids[distance:][near].astype(np.uint64)
            first, second = np.minimum(a, b), np.maximum(a, b)
            pair = first * np.uint64(self._num_words) + second
            keys.append(pair * np.uint64(self._window) + np.uint64(distance - 1))
        found, counts = np.unique(np.concatenate(keys), return_counts=True)
        self._runs.append((found, counts))
        while len(self._runs) > 1 and len(self._runs[-2][0]) < 2 * len(self._runs[-1][0]):
            self._merge_last_two()

    def result(self) -> Cooccurrence:
        """Everything added so far, by row and column ascending."""
        while len(self._runs) > 1:
            self._merge_last_two()
        keys, counts = self._runs[0] if self._runs else (np.zeros(0, np.uint64), np.zeros(0, np.int64))
        pair, distance = np.divmod(keys, np.uint64(self._window))
        pairs, begins = np.unique(pair, return_index=True)
        parts = counts / (distance.astype(np.float64) + 1)
        weights = np.add.reduceat(parts, begins) if len(pairs) else parts
        a, b = (each.astype(np.int32) for each in np.divmod(pairs, np.uint64(self._num_words)))
        apart = a != b
        weights = np.where(apart, weights, 2 * weights)  # a word beside itself is near it in both orders at once
        rows, columns = np.concatenate([a, b[apart]]), np.concatenate([b, a[apart]])
        order = np.lexsort((columns, rows))
        return Cooccurrence(rows[order], columns[order], np.concatenate([weights, weights[apart]])[order])

    def _merge_last_two(self) -> None:
        (a, m), (b, n) = self._runs[-2:]
        keys = np.concatenate([a, b])
        order = np.argsort(keys, kind="stable")
        keys, counts = keys[order], np.concatenate([m, n])[order]
        begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.zeros(0, np.int64)
        self._runs[-2:] = [(keys[begins], np.add.reduceat(counts, begins) if len(keys) else counts)]


def train_pairs(
    rows: np.ndarray,
    columns: np.ndarray,
    weights: np.ndarray,
    tables: Tables,
    *,
    rates: tuple[float, float],
    most: float,
    power: float,
) -> float:
    """Trains all tables in place on pairs in their order; returns the sum of f(x) (...)^2 over them.

    rows, columns  [n] int32, weights [n] float64 above 0
    rates          the learning rate at the first pair and behind the last, between them linear; 0 changes nothing
    most, power    x_max and the power of f
    """
    arrays = tuple(getattr(tables, name) for name in Tables.__dataclass_fields__)
    return _kernel().train_pairs(rows, columns, weights, *arrays, float(rates[0]), float(rates[1]), most, power)


@cache
def _kernel() -> ModuleType:
    return importlib.import_module("deepen.ops.glove_kernel" if is_compiled() else "deepen.ops.glove_loop")


def weight_of(count: float, most: float, power: float) -> float:
    """f(x)

    >>> round(weight_of(50, 100, 0.75), 4)
    0.5946
    """
    return min(1.0, math.pow(count / most, power))
