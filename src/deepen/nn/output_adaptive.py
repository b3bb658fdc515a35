"""The adaptive softmax: frequent words in one softmax, rare ones in a few large clusters behind it."""

from __future__ import annotations

from collections.abc import Sequence

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


class AdaptiveSoftmax(nn.Module):
    """p(w | h) from a softmax over the S most frequent words and J clusters;  p(j | h) p(w | j, h) in cluster j.

    hidden [n, D], targets [n] int64 or IGNORED. Costs n (S + J + the mean size of the clusters that are asked) D
    multiply-adds, for the counts of a text of 33,278 words about a tenth of V. With `tied` every word's weights are its
    row of that embedding, and only the clusters' vectors and the biases are the layer's own.
    Source: Grave, Joulin, Cissé, Grangier and Jégou 2017, Efficient softmax approximation for GPUs; here clusters are
    not narrower than the rest, so that their words can share the embedding's vectors.
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
        self.linear = nn.Linear(width, number)
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
        head = torch.log_softmax(self._head(hidden), 1)
        first = self.cutoffs[0]
        parts = [head[:, :first]]
        for index in range(len(self.cutoffs) - 1):
            inside = torch.log_softmax(self._scores(hidden, index), 1)
            parts.append(inside + head[:, first + index, None])
        return torch.cat(parts, 1)[:, self.rank_of]

    forward = log_probabilities

    def _target_logs(self, hidden: Tensor, targets: Tensor) -> Tensor:
        first = self.cutoffs[0]
        kept = targets != IGNORED
        ranks = self.rank_of[targets.masked_fill(~kept, 0)]
        cluster = torch.bucketize(ranks, torch.tensor(self.cutoffs, device=ranks.device), right=True)  # 0: no cluster
        classes = torch.where(cluster > 0, first + cluster - 1, ranks).masked_fill(~kept, IGNORED)
        found = -F.cross_entropy(self._head(hidden), classes, reduction="none", ignore_index=IGNORED)
        for index in range(len(self.cutoffs) - 1):
            places = torch.nonzero(kept & (cluster == index + 1)).squeeze(1)
            scores = self._scores(hidden[places], index)
            inside = -F.cross_entropy(scores, ranks[places] - self.cutoffs[index], reduction="none")
            found = found.index_add(0, places, inside)
        return found

    def _head(self, hidden: Tensor) -> Tensor:
        """[n, S + J]"""
        scores = self._of(hidden, 0, self.cutoffs[0])
        return scores if self.clusters is None else torch.cat([scores, self.clusters(hidden)], 1)

    def _scores(self, hidden: Tensor, index: int) -> Tensor:
        """[n, words of a cluster]"""
        return self._of(hidden, self.cutoffs[index], self.cutoffs[index + 1])

    def _of(self, hidden: Tensor, low: int, high: int) -> Tensor:
        """The scores of the words of these ranks."""
        words = self.words[low:high]
        return F.linear(hidden, F.embedding(words, self.linear.weight), self.linear.bias[words])
