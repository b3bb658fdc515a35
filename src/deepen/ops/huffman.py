"""The Huffman code of a vocabulary: frequent words get short paths from the root of a binary tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepen.core.errors import ShapeError


@dataclass(frozen=True)
class HuffmanTree:
    """The path of every word, all paths one after the other.

    starts  [V + 1] int64: word w has the entries starts[w] to starts[w + 1]
    nodes   [total] int64 in [0, V - 1): the inner nodes from the root, which is V - 2, to the word's parent
    bits    [total] int8: the branch taken at each of them
    """

    starts: np.ndarray
    nodes: np.ndarray
    bits: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """[V] int64: the number of branches down to each word."""
        return np.diff(self.starts)

    def code(self, word: int) -> str:
        """The word's code, such as "011"."""
        return "".join(str(bit) for bit in self.bits[self.starts[word] : self.starts[word + 1]])


def huffman_tree(counts: Sequence[int] | np.ndarray) -> HuffmanTree:
    """The tree that makes sum_w counts[w] * length[w] as small as any prefix code can.

    The two lightest subtrees are joined until one is left; of equally light ones the words come before inner nodes, and
    among words the one that stands first. The lighter of the two gets bit 0.

    counts  [V], V at least 2, none negative

    Source: Huffman 1952, A method for the construction of minimum-redundancy codes; joined from two sorted queues,
    which is linear after sorting (van Leeuwen 1976).

    >>> [huffman_tree([5, 1, 2]).code(word) for word in range(3)]
    ['1', '00', '01']
    """
    weights = np.asarray(counts, dtype=np.int64)
    if len(weights) < 2 or weights.min() < 0:
        raise ShapeError(
            f"a Huffman tree needs at least 2 counts, none negative, but there are {len(weights)}"
            f"{f', the least {weights.min()}' if len(weights) else ''}; give one count for each word."
        )
    parents, bits = _joined(weights)
    return _paths(parents, bits, len(weights))


def _joined(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The parent of each node, [2V - 1], words first and then inner nodes in the order they were made, and its bit."""
    num_words = len(weights)
    order = np.argsort(weights, kind="stable")
    leaves, leaf_weights = order.tolist(), weights[order].tolist()
    made: list[int] = []  # weights of inner nodes, which come in ascending order by themselves
    parents = np.zeros(2 * num_words - 1, dtype=np.int64)
    bits = np.zeros(2 * num_words - 1, dtype=np.int8)
    leaf = inner = 0
    for parent in range(num_words, 2 * num_words - 1):
        weight = 0
        for bit in (0, 1):
            if leaf < num_words and (inner >= len(made) or leaf_weights[leaf] <= made[inner]):
                child, weight, leaf = leaves[leaf], weight + leaf_weights[leaf], leaf + 1
            else:
                child, weight, inner = num_words + inner, weight + made[inner], inner + 1
            parents[child], bits[child] = parent, bit
        made.append(weight)
    return parents, bits


def _paths(parents: np.ndarray, bits: np.ndarray, num_words: int) -> HuffmanTree:
    """Root first, for every word; all words climb at once."""
    root = 2 * num_words - 2
    at = np.arange(num_words)
    words, steps_up, nodes, taken = [], [], [], []
    step = 0
    climbing = np.arange(num_words)
    while len(climbing):
        words.append(climbing)
        steps_up.append(np.full(len(climbing), step))
        taken.append(bits[at])
        at = parents[at]
        nodes.append(at - num_words)
        left = at != root
        climbing, at, step = climbing[left], at[left], step + 1
    word, up = np.concatenate(words), np.concatenate(steps_up)
    order = np.lexsort((-up, word))
    starts = np.zeros(num_words + 1, dtype=np.int64)
    np.cumsum(np.bincount(word, minlength=num_words), out=starts[1:])
    return HuffmanTree(starts, np.concatenate(nodes)[order], np.concatenate(taken)[order])
