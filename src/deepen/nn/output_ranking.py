"""Scores of words learned by ranking: the true word above words drawn at random."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from deepen.nn.output_full import FullSoftmax
from deepen.nn.output_sampled import NoiseWords, RowScores, num_rows_of
from deepen.ops.sampling import Noise, ranking_sum


class RankingOutput(nn.Module):
    """Learns that s_y stands above s_w by a margin, s = W h + b; the loss is ops/sampling.ranking_sum.

    Ranking says nothing about probabilities. So that perplexity is defined, evaluation takes the softmax over the
    scores: exact and normalized, but with the scale that the margin happened to give; do not expect it to compete with
    a loss that learns probabilities. Its use is the representation that it learns.
    Source: Collobert and Weston 2008; Collobert et al. 2011, Natural Language Processing (Almost) from Scratch, eq. 17.
    """

    def __init__(
        self,
        width: int,
        counts: Sequence[int],
        *,
        samples: int,
        noise: Noise,
        power: float,
        margin: float,
        tied: nn.Parameter | None = None,
    ) -> None:
        super().__init__()
        self.margin = margin
        self.full = FullSoftmax(width, len(counts), tied)
        self.noise = NoiseWords(counts, samples, noise, power)

    @property
    def num_words(self) -> int:
        return self.full.num_words

    def loss_sum(self, hidden: Tensor, targets: Tensor, rows_of: Tensor, num_rows: int | None = None) -> Tensor:
        """The summed hinge; rows_of and num_rows as in SampledOutput."""
        drawn = self.noise(num_rows_of(rows_of, num_rows))
        scores = RowScores(self.full, hidden, targets, rows_of, drawn, len(drawn))
        return ranking_sum(scores.of_targets, scores.of_drawn, scores.targets, drawn, margin=self.margin)

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """[n, V]: the softmax over the scores."""
        return self.full.log_probabilities(hidden)

    def target_log_probabilities(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """[n], 0 where the target is IGNORED."""
        return self.full.target_log_probabilities(hidden, targets)

    forward = log_probabilities
