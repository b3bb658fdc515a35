"""The adaptive softmax: frequent words in one softmax, rare ones in a few large clusters behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepen.core.errors import OptionError
from deepen.nn.output_full import fitting_tie, positions_at_once
from deepen.ops.losses import IGNORED

MOST_CLUSTERS = 4
EACH_PRODUCT = 100  # words that one more product is worth
CANDIDATES = 60  # ranks at which a cluster may begin
MOST_PIECES = 64  # runs of words with rising numbers, above which a cluster's rows are gathered one by one


def best_cutoffs(counts: Sequence[int], most: int = MOST_CLUSTERS) -> tuple[int, ...]:
    """The ranks at which clusters begin so that a position costs least; () where one softmax over all is as cheap.

        cost = S + J + sum over clusters j of P(j) |C_j| + 100 J,    S the words before the first, J the clusters

    counts  [V]; P(j) is the share of a cluster's words in the text

    By dynamic programming over 60 ranks, the same distance apart in their logarithm.
    """
    held = -np.sort(-np.maximum(np.asarray(counts, np.float64), 1))
    before = np.concatenate([[0.0], np.cumsum(held) / held.sum()])  # share of the words of lower rank
    ranks = np.unique(np.append(np.geomspace(1, len(held), CANDIDATES).astype(np.int64), len(held)))
    sizes = ranks[None] - ranks[:, None]  # a cluster from one rank to another
    costs = np.where(sizes > 0, (before[ranks][None] - before[ranks][:, None]) * sizes + EACH_PRODUCT + 1, np.inf)
    rest = np.where(ranks == len(held), 0.0, np.inf)  # of the words from a rank on, by the clusters so far
    best, chosen = float(len(held)), ()
    ways: list[np.ndarray] = []
    for _ in range(most):
        totals = costs + rest[None]
        ways.insert(0, totals.argmin(1))
        rest = totals.min(1)
        start = int((ranks + rest).argmin())
        if ranks[start] + rest[start] < best:
            best, place, found = float(ranks[start] + rest[start]), start, []
            for way in ways:
                found.append(int(ranks[place]))
                place = int(way[place])
            chosen = tuple(found)
    return chosen


class PartLinear(nn.Linear):
    """x [..., I] -> [..., O], or only the outputs from `begin` to `end`."""

    def forward(self, input: Tensor, begin: int = 0, end: int | None = None) -> Tensor:
        if begin == 0 and end is None:
            return super().forward(input)
        return F.linear(input, self.weight[begin:end], self.bias[begin:end])


class AdaptiveSoftmax(nn.Module):
    """p(w | h) from a softmax over the S most frequent words and J clusters;  p(j | h) p(w | j, h) in cluster j.

    hidden [n, D], targets [n] int64 or IGNORED. Costs n (S + J + the mean size of the clusters that are asked) D
    multiply-adds, for the counts of a text of 33,278 words about a tenth of V. With `tied` every word's weights are its
    row of that embedding, and only the clusters' vectors and the biases are the layer's own.
    Source: Grave, Joulin, Cissé, Grangier and Jégou 2017, Efficient softmax approximation for GPUs; here clusters are
    not narrower than the rest, so that their words can share the embedding's vectors.

    Where words are numbered by falling counts, as vocabularies do but for a few, each cluster is some runs of rows of
    the weights, which are read where they lie; otherwise its rows are gathered first, which takes about twice as long.
    """

    def __init__(
        self, width: int, counts: Sequence[int], *, cutoffs: Sequence[int] = (), tied: nn.Parameter | None = None
    ) -> None:
        super().__init__()
        number = len(counts)
        cutoffs = tuple(cutoffs) or best_cutoffs(counts)
        if list(cutoffs) != sorted(set(cutoffs)) or (cutoffs and not 0 < cutoffs[0] <= cutoffs[-1] < number):
            raise OptionError(
                f"output.cutoffs {list(cutoffs)!r}: expected rising ranks between 1 and {number - 1:,}, below the "
                "number of words; leave them out to have them chosen."
            )
        self.cutoffs = (*cutoffs, number)
        self.linear = PartLinear(width, number)
        nn.init.zeros_(self.linear.bias)
        if tied is not None:
            self.linear.weight = fitting_tie(tied, number, width)
        self.clusters = nn.Linear(width, len(cutoffs)) if cutoffs else None
        words = np.argsort(-np.maximum(np.asarray(counts, np.int64), 1), kind="stable")
        rank_of = np.empty(number, np.int64)
        rank_of[words] = np.arange(number)
        self.register_buffer("words", torch.from_numpy(words.copy()), persistent=False)
        self.register_buffer("rank_of", torch.from_numpy(rank_of), persistent=False)
        self.words: Tensor
        self.rank_of: Tensor
        pieces = _pieces(words, self.cutoffs)
        self.is_gathered = len(pieces) > MOST_PIECES
        if self.is_gathered:  # then the pieces are the clusters, in the order of ranks
            pieces = [(low, high, index) for index, (low, high) in enumerate(_ranges(self.cutoffs))]
        self.pieces = sorted(pieces)
        self.pieces_of = [
            [self.pieces.index(piece) for piece in pieces if piece[2] == index] for index in range(len(self.cutoffs))
        ]

    @property
    def num_words(self) -> int:
        return self.linear.out_features

    def loss_sum(self, hidden: Tensor, targets: Tensor, rows_of: Tensor, num_rows: int | None = None) -> Tensor:
        """The summed cross-entropy in nats."""
        return -self._target_logs(hidden, targets).sum()

    def target_log_probabilities(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """[n], 0 where the target is IGNORED; as many positions at once as memory allows."""
        at_once = positions_at_once(int(np.diff((0, *self.cutoffs)).max()))
        parts = zip(hidden.split(at_once), targets.split(at_once), strict=True)
        return torch.cat([self._target_logs(*each) for each in parts])

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """[n, V]"""
        scores = self.linear(hidden)
        if self.is_gathered:
            scores = scores[:, self.words]
        parts = scores.split([high - low for low, high, _ in self.pieces], 1)
        heads = self.clusters(hidden) if self.clusters is not None else None
        added = [-_log_sum(self._joined(parts, 0, heads))]  # what makes a cluster's scores log probabilities
        for index in range(1, len(self.cutoffs)):
            assert heads is not None
            added.append(added[0] + heads[:, index - 1, None] - _log_sum(self._joined(parts, index)))
        found = torch.cat([part + added[index] for part, (_, _, index) in zip(parts, self.pieces, strict=True)], 1)
        return found[:, self.rank_of] if self.is_gathered else found

    forward = log_probabilities

    def _target_logs(self, hidden: Tensor, targets: Tensor) -> Tensor:
        first = self.cutoffs[0]
        kept = targets != IGNORED
        ranks = self.rank_of[targets.masked_fill(~kept, 0)]
        cluster = torch.bucketize(ranks, torch.tensor(self.cutoffs, device=ranks.device), right=True)  # 0: no cluster
        classes = torch.where(cluster > 0, first + cluster - 1, ranks).masked_fill(~kept, IGNORED)
        maps = self._maps()
        heads = self.clusters(hidden) if self.clusters is not None else None
        head = self._joined([maps[piece](hidden) for piece in self.pieces_of[0]], None, heads)
        found = -F.cross_entropy(head, classes, reduction="none", ignore_index=IGNORED)
        for index in range(1, len(self.cutoffs)):
            places = torch.nonzero(kept & (cluster == index)).squeeze(1)
            own = hidden[places]
            scores = self._joined([maps[piece](own) for piece in self.pieces_of[index]], None)
            inside = -F.cross_entropy(scores, ranks[places] - self.cutoffs[index - 1], reduction="none")
            found = found.index_add(0, places, inside)
        return found

    def _maps(self) -> list[Callable[[Tensor], Tensor]]:
        """From hidden states to the scores of each piece."""
        linear = self.linear
        if self.is_gathered:
            if not isinstance(linear, nn.Linear):  # of whole numbers: those of all words at once
                return [partial(_some_of, linear, self.words[low:high]) for low, high, _ in self.pieces]
            parts = [self.words[low:high] for low, high, _ in self.pieces]
            return [
                partial(F.linear, weight=F.embedding(words, linear.weight), bias=linear.bias[words]) for words in parts
            ]
        if not torch.is_grad_enabled() or not isinstance(linear, nn.Linear):
            return [partial(linear, begin=low, end=high) for low, high, _ in self.pieces]
        sizes = [high - low for low, high, _ in self.pieces]  # one split, whose gradient is put together once
        weights, biases = linear.weight.split(sizes), linear.bias.split(sizes)
        return [partial(F.linear, weight=w, bias=b) for w, b in zip(weights, biases, strict=True)]

    def _joined(self, parts: Sequence[Tensor], index: int | None, more: Tensor | None = None) -> Tensor:
        """Parts side by side, those of a cluster where one is named, and `more` behind them."""
        own = parts if index is None else [parts[piece] for piece in self.pieces_of[index]]
        own = [*own] if more is None else [*own, more]
        return torch.cat(own, 1) if len(own) > 1 else own[0]


def _ranges(cutoffs: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip((0, *cutoffs[:-1]), cutoffs, strict=True))


def _pieces(words: np.ndarray, cutoffs: Sequence[int]) -> list[tuple[int, int, int]]:
    """The runs of words with rising numbers, in the order of ranks: first number, one behind the last, cluster."""
    breaks = np.union1d(np.nonzero(np.diff(words) != 1)[0] + 1, cutoffs).astype(np.int64)
    starts = np.concatenate([[0], breaks[:-1]]).astype(np.int64)
    clusters = np.searchsorted(cutoffs, starts, side="right")
    return [
        (int(words[start]), int(words[end - 1]) + 1, int(cluster))
        for start, end, cluster in zip(starts, breaks, clusters, strict=True)
    ]


def _some_of(linear: nn.Module, words: Tensor, hidden: Tensor) -> Tensor:
    return linear(hidden)[:, words]


def _log_sum(scores: Tensor) -> Tensor:
    """ln of the sum of exp of each row [n, 1]."""
    most = scores.detach().amax(1, keepdim=True)
    return (scores - most).exp().sum(1, keepdim=True).log() + most
