"""Scores of all words by one linear map, and the softmax over all of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepen.core.errors import ShapeError
from deepen.ops.losses import IGNORED, cross_entropy_sum

MOST_SCORES = 2**24  # held at once while evaluating: 64 MiB of float32


class FullSoftmax(nn.Module):
    """log p(w | h) = s_w - log sum over all v of exp(s_v),    s = W h + b.

    hidden [n, D], targets [n] int64 or IGNORED. Costs n V D multiply-adds. `tied` is an embedding's weight [V, D] that
    becomes W (Press and Wolf 2017; Inan et al. 2017). Label smoothing is of the loss alone.
    """

    def __init__(
        self, width: int, num_words: int, tied: nn.Parameter | None = None, *, label_smoothing: float = 0.0
    ) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.linear = nn.Linear(width, num_words)
        nn.init.zeros_(self.linear.bias)
        if tied is not None:
            self.linear.weight = fitting_tie(tied, num_words, width)

    @property
    def num_words(self) -> int:
        return self.linear.out_features

    def loss_sum(self, hidden: Tensor, targets: Tensor, rows_of: Tensor, num_rows: int | None = None) -> Tensor:
        """The summed cross-entropy in nats, with smoothed targets where that is asked for."""
        return cross_entropy_sum(self.linear(hidden), targets, label_smoothing=self.label_smoothing)

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """[n, V]"""
        return torch.log_softmax(self.linear(hidden), 1)

    def target_log_probabilities(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """[n], 0 where the target is IGNORED; as many positions at once as memory allows."""
        at_once = positions_at_once(self.num_words)
        parts = [
            -F.cross_entropy(self.linear(h), y, reduction="none", ignore_index=IGNORED)
            for h, y in zip(hidden.split(at_once), targets.split(at_once), strict=True)
        ]
        return torch.cat(parts)

    forward = log_probabilities


def fitting_tie(tied: nn.Parameter, num_words: int, width: int) -> nn.Parameter:
    """The embedding's weight itself. Raises ShapeError unless it is [V, D]."""
    if tied.shape != (num_words, width):
        raise ShapeError(
            f"tied weights need an embedding [{num_words}, {width}] (words, width of the hidden states), but it is "
            f"{list(tied.shape)}; give both the same width, or leave the tie out."
        )
    return tied


def positions_at_once(num_words: int) -> int:
    """How many positions can have their scores of all words in memory."""
    return max(1, MOST_SCORES // num_words)
