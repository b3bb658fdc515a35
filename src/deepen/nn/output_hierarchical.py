"""Normalized probabilities of words without a sum over all words: by classes of words, or along a binary tree."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepen.nn.output_full import positions_at_once
from deepen.ops.huffman import huffman_tree
from deepen.ops.losses import IGNORED


def frequency_classes(counts: Sequence[int], num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes that each hold about the same share of the text.

        class of w = floor(C * the share of all words in the text that are more frequent than w)

    counts   [V]; a count below 1 stands for 1
    returns  the words by falling count, [V], and the sizes of the classes in that order, none of them 0: a word with a
             share of several classes leaves some of them out, so there may be fewer than were asked for

    Source: Goodman 2001, Classes for Fast Maximum Entropy Training; the binning by frequency is Mikolov et al. 2011,
    Extensions of Recurrent Neural Network Language Model, section 3.
    """
    held = np.maximum(np.asarray(counts, dtype=np.int64), 1)
    words = np.argsort(-held, kind="stable")
    before = np.concatenate([[0], np.cumsum(held[words])[:-1]])
    classes = (before * num_classes) // held.sum()
    return words, np.unique(classes, return_counts=True)[1]


class ClassSoftmax(nn.Module):
    """log p(w | h) = log p(c(w) | h) + log p(w | c(w), h), both a softmax: over classes, and over a class's words.

    hidden [n, D], targets [n] int64 or IGNORED. Costs n (C + words of the class) D multiply-adds: n 2 sqrt(V) D where
    C is sqrt(V) and all classes have one size; here, with one share of the text each, frequent words have small ones.
    """

    def __init__(self, width: int, counts: Sequence[int], num_classes: int = 0) -> None:
        super().__init__()
        words, sizes = frequency_classes(counts, num_classes or max(2, round(math.sqrt(len(counts)))))
        self.sizes: list[int] = sizes.tolist()
        place_of = np.empty(len(words), dtype=np.int64)
        place_of[words] = np.arange(len(words))
        classes = np.repeat(np.arange(len(sizes)), sizes)
        self.classes = nn.Linear(width, len(sizes))
        self.words = nn.Linear(width, len(words))  # in the order of their classes
        self.register_buffer("place_of", torch.from_numpy(place_of), persistent=False)
        self.register_buffer("class_at", torch.from_numpy(classes), persistent=False)
        self.register_buffer("first_of", torch.from_numpy(np.cumsum(sizes) - sizes), persistent=False)
        nn.init.zeros_(self.classes.bias)
        nn.init.zeros_(self.words.bias)
        self.place_of: Tensor
        self.class_at: Tensor
        self.first_of: Tensor

    @property
    def num_words(self) -> int:
        return self.words.out_features

    def loss_sum(self, hidden: Tensor, targets: Tensor, rows_of: Tensor, num_rows: int | None = None) -> Tensor:
        """The summed cross-entropy in nats."""
        kept = targets != IGNORED
        losses, _ = self._losses(hidden[kept], targets[kept])
        return losses.sum()

    def target_log_probabilities(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """[n], 0 where the target is IGNORED."""
        kept = torch.nonzero(targets != IGNORED).squeeze(1)
        losses, order = self._losses(hidden[kept], targets[kept])
        return hidden.new_zeros(len(targets)).index_copy(0, kept[order], -losses)

    def _losses(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The losses [n] by falling frequency of the targets' classes, and the positions in that order."""
        places = self.place_of[targets]
        classes = self.class_at[places]
        order = torch.argsort(classes, stable=True)
        hidden, places, classes = hidden[order], places[order], classes[order]
        losses = F.cross_entropy(self.classes(hidden), classes, reduction="none")
        inside = self._inside_losses(hidden, places, classes)
        return losses + inside, order

    def _inside_losses(self, hidden: Tensor, places: Tensor, classes: Tensor) -> Tensor:
        """-log p(w | c(w), h) [n] of positions in the order of their classes; a product for each class that occurs."""
        if len(places) == 0:
            return 0 * self.words.weight.sum() + hidden.new_zeros(0)
        found, counts = torch.unique_consecutive(classes, return_counts=True)
        weights, biases = self.words.weight.split(self.sizes), self.words.bias.split(self.sizes)
        numbers, inside = counts.tolist(), (places - self.first_of[classes])
        parts = [
            F.cross_entropy(F.linear(h, weights[c], biases[c]), y, reduction="none")
            for c, h, y in zip(found.tolist(), hidden.split(numbers), inside.split(numbers), strict=True)
        ]
        return torch.cat(parts)

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """[n, V]"""
        scores = self.words(hidden)
        inside = torch.cat([torch.log_softmax(part, 1) for part in scores.split(self.sizes, 1)], 1)
        found = inside + torch.log_softmax(self.classes(hidden), 1)[:, self.class_at]
        return found[:, self.place_of]

    forward = log_probabilities


class HuffmanSoftmax(nn.Module):
    """log p(w | h) = sum over nodes m on the path to w of log sigma((1 - 2 bit) (v_m . h + b_m)).

    hidden [n, D], targets [n] int64 or IGNORED. Costs n D times the mean length of a code, which is at most one more
    than the entropy of the words in bits. The probabilities of a node's two branches add up to 1, so all words' do.
    Source: Morin and Bengio 2005, Hierarchical Probabilistic Neural Network Language Model; the tree of a Huffman code
    is Mikolov et al. 2013, Distributed Representations of Words and Phrases, section 2.1.
    """

    def __init__(self, width: int, counts: Sequence[int]) -> None:
        super().__init__()
        tree = huffman_tree(counts)
        self.nodes = nn.Linear(width, len(counts) - 1)
        nn.init.zeros_(self.nodes.bias)
        self.register_buffer("starts", torch.from_numpy(tree.starts), persistent=False)
        self.register_buffer("path_nodes", torch.from_numpy(tree.nodes), persistent=False)
        signs = torch.from_numpy(1 - 2 * tree.bits.astype(np.float32))
        self.register_buffer("path_signs", signs, persistent=False)
        self.starts: Tensor
        self.path_nodes: Tensor
        self.path_signs: Tensor
        self.mean_length = float(np.average(tree.lengths, weights=np.maximum(np.asarray(counts), 1e-9)))
        self._levels = _levels(tree.starts, tree.nodes)

    @property
    def num_words(self) -> int:
        return self.nodes.out_features + 1

    def loss_sum(self, hidden: Tensor, targets: Tensor, rows_of: Tensor, num_rows: int | None = None) -> Tensor:
        """The summed cross-entropy in nats."""
        kept = torch.nonzero(targets != IGNORED).squeeze(1)
        steps, _ = self._steps(hidden, targets, kept)
        return -steps.sum()

    def target_log_probabilities(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """[n], 0 where the target is IGNORED."""
        kept = torch.nonzero(targets != IGNORED).squeeze(1)
        found = hidden.new_zeros(len(targets))
        for some in kept.split(positions_at_once(64 * hidden.shape[1])):
            steps, positions = self._steps(hidden, targets, some)
            found = found.index_add(0, positions, steps)
        return found

    def _steps(self, hidden: Tensor, targets: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """log p of each branch on the paths of these positions' targets [M], and the position each belongs to [M]."""
        starts, ends = self.starts[targets[kept]], self.starts[targets[kept] + 1]
        lengths = ends - starts
        positions = torch.repeat_interleave(kept, lengths)
        within = torch.arange(len(positions), device=kept.device) - torch.repeat_interleave(
            lengths.cumsum(0) - lengths, lengths
        )
        entries = torch.repeat_interleave(starts, lengths) + within
        nodes = self.path_nodes[entries]
        scores = (hidden.index_select(0, positions) * F.embedding(nodes, self.nodes.weight)).sum(1)
        return F.logsigmoid(self.path_signs[entries] * (scores + self.nodes.bias[nodes])), positions

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """[n, V], down the tree level by level."""
        scores = F.linear(hidden, self.nodes.weight, self.nodes.bias).T.contiguous()  # [V - 1, n]
        reached = torch.zeros_like(scores)  # log p of coming to each inner node
        words = scores.new_empty(self.num_words, len(hidden))
        device = hidden.device
        for level in self._levels:
            entries, children, words_at, words_entries = (part.to(device) for part in level)
            for to, which, at in ((reached, entries, children), (words, words_entries, words_at)):
                parents = self.path_nodes[which]
                branch = F.logsigmoid(self.path_signs[which][:, None] * scores[parents])
                to.index_copy_(0, at, reached[parents] + branch)
        return words.T

    forward = log_probabilities


def _levels(starts: np.ndarray, nodes: np.ndarray) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """What each level of the tree leads to: entries of paths that go on to an inner node, those nodes; words that end
    there, and the entries that lead to them.
    """
    lengths = np.diff(starts)
    word = np.repeat(np.arange(len(lengths)), lengths)
    depth = np.arange(len(nodes)) - starts[:-1][word]
    is_last = depth == lengths[word] - 1
    levels = []
    for level in range(int(lengths.max())):
        going_on = np.flatnonzero((depth == level) & ~is_last)
        children, first = np.unique(nodes[np.minimum(going_on + 1, len(nodes) - 1)], return_index=True)
        ending = np.flatnonzero((depth == level) & is_last)
        parts = (going_on[first], children, word[ending], ending)
        levels.append(tuple(torch.from_numpy(part) for part in parts))
    return levels
