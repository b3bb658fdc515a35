"""Output layers that learn from the target and a few words drawn at random, and are exact when evaluated.

Each row of a batch draws its own words (nn/dropout.row_uniform), which its positions share: the draws are a function of
the seed, the epoch and the row, whatever batch the row stands in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepen.nn.dropout import row_uniform
from deepen.nn.output_full import FullSoftmax
from deepen.ops.losses import IGNORED
from deepen.ops.sampling import (
    Noise,
    drawn_words,
    importance_sum,
    noise_contrastive_sum,
    noise_log_probabilities,
    sampled_softmax_sum,
)


class NoiseWords(nn.Module):
    """Draws k words for each row from a noise distribution; all words, each once, where k is no less than V.

    All words once is what V draws from the uniform distribution are on average, so log(k q(w)) is 0 then.
    """

    def __init__(self, counts: Sequence[int], k: int, noise: Noise, power: float) -> None:
        super().__init__()
        log_q = noise_log_probabilities(counts, noise, power=power)
        cumulative = log_q.exp().cumsum(0)
        self.num_words, self.k = len(counts), min(k, len(counts))
        expected = torch.zeros_like(log_q) if self.takes_all else log_q + math.log(self.k)
        self.register_buffer("cumulative", cumulative / cumulative[-1], persistent=False)
        self.register_buffer("log_expected", expected.float(), persistent=False)  # log(k q(w)), how often w is drawn
        self.cumulative: Tensor
        self.log_expected: Tensor

    @property
    def takes_all(self) -> bool:
        """Whether every word is taken once, so that nothing is drawn."""
        return self.k == self.num_words

    def forward(self, num_rows: int) -> Tensor:
        """[num_rows, k] int64"""
        device = self.cumulative.device
        if self.takes_all:
            return torch.arange(self.k, device=device).expand(num_rows, -1)
        return drawn_words(self.cumulative, row_uniform(num_rows, self.k, device))


class RowScores:
    """The scores of the targets [B, T] and of each row's drawn words [B, T, k], positions put into their rows.

    targets  [B, T] int64, IGNORED where a row has fewer positions than another
    """

    def __init__(
        self, full: FullSoftmax, hidden: Tensor, targets: Tensor, rows_of: Tensor, drawn: Tensor, num_rows: int
    ) -> None:
        hidden, self.targets = by_row(hidden, targets, rows_of, num_rows)
        words = torch.cat([self.targets.clamp(min=0).reshape(-1), drawn.reshape(-1)])
        weights = F.embedding(words, full.linear.weight)  # one gather: its gradient is a matrix [V, D] to fill
        biases = full.linear.bias.index_select(0, words)
        num_targets = self.targets.numel()
        theirs = weights[:num_targets].view(hidden.shape)
        drawn_weights = weights[num_targets:].view(*drawn.shape, hidden.shape[2])
        self.of_targets = (hidden * theirs).sum(2) + biases[:num_targets].view(self.targets.shape)
        self.of_drawn = torch.baddbmm(
            biases[num_targets:].view(drawn.shape[0], 1, drawn.shape[1]), hidden, drawn_weights.transpose(1, 2)
        )


class SampledOutput(nn.Module):
    """The softmax over all words, learned from drawn words: kind "sampled", "importance" or "nce".

    The loss of each kind stands in ops/sampling.py; evaluation is FullSoftmax's. A step costs n k D multiply-adds and
    the gathering of B k weight vectors for B rows. For "nce" the biases begin at ln Z + log q(w), the scores at which
    the words' probabilities are those of the noise (with weights 0), since its scores have to find their level.
    """

    def __init__(
        self,
        kind: Literal["sampled", "importance", "nce"],
        width: int,
        counts: Sequence[int],
        *,
        samples: int,
        noise: Noise,
        power: float,
        log_partition: float = 0.0,
        tied: nn.Parameter | None = None,
    ) -> None:
        super().__init__()
        self.kind, self.log_partition = kind, log_partition
        self.full = FullSoftmax(width, len(counts), tied)
        self.noise = NoiseWords(counts, samples, noise, power)
        if kind == "nce":
            log_q = noise_log_probabilities(counts, noise, power=power)
            with torch.no_grad():
                self.full.linear.bias.copy_(log_q + log_partition)

    @property
    def num_words(self) -> int:
        return self.full.num_words

    def loss_sum(self, hidden: Tensor, targets: Tensor, rows_of: Tensor, num_rows: int | None = None) -> Tensor:
        """The summed loss of its kind; not a cross-entropy over all words.

        rows_of   [n] int64: the place in the batch of each position's row
        num_rows  of the batch; by default the last row that has a position is the last of the batch
        """
        drawn = self.noise(num_rows_of(rows_of, num_rows))
        scores = RowScores(self.full, hidden, targets, rows_of, drawn, len(drawn))
        expected = self.noise.log_expected
        corrected = scores.of_drawn - expected[drawn][:, None, :]
        if self.kind == "sampled":
            return sampled_softmax_sum(scores.of_targets, corrected, scores.targets, drawn)
        if self.kind == "importance":
            return importance_sum(scores.of_targets, corrected, scores.targets)
        of_targets = scores.of_targets - expected[scores.targets.clamp(min=0)] - self.log_partition
        return noise_contrastive_sum(of_targets, corrected - self.log_partition, scores.targets)

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """[n, V]: the softmax over all scores, also for "nce", whose scores are only nearly normalized."""
        return self.full.log_probabilities(hidden)

    def target_log_probabilities(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """[n], 0 where the target is IGNORED."""
        return self.full.target_log_probabilities(hidden, targets)

    forward = log_probabilities


def num_rows_of(rows_of: Tensor, given: int | None) -> int:
    """The number of rows in the batch: the given one, else one more than the last place that occurs."""
    if given is not None:
        return given
    return int(rows_of.max()) + 1 if len(rows_of) else 0


def by_row(hidden: Tensor, targets: Tensor, rows_of: Tensor, num_rows: int) -> tuple[Tensor, Tensor]:
    """hidden [B, T, D] and targets [B, T] from positions [n] in any order; T is the most positions that a row has."""
    if num_rows == 0:
        return hidden.view(0, 0, hidden.shape[-1]), targets.view(0, 0)
    counts = torch.bincount(rows_of, minlength=num_rows)
    longest = int(counts.max())
    even = torch.arange(num_rows, device=rows_of.device).repeat_interleave(longest)
    if len(rows_of) == len(even) and torch.equal(rows_of, even):
        return hidden.view(num_rows, longest, -1), targets.view(num_rows, longest)
    order = torch.argsort(rows_of, stable=True)
    rows = rows_of[order]
    places = rows * longest + torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
    padded = hidden.new_zeros(num_rows * longest, hidden.shape[1]).index_copy(0, places, hidden[order])
    filled = targets.new_full((num_rows * longest,), IGNORED).index_copy(0, places, targets[order])
    return padded.view(num_rows, longest, -1), filled.view(num_rows, longest)
