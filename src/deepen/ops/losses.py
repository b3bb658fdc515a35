"""Losses as a sum and a count, so that micro-batches and ranks add up to the same step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch.nn.functional as F
from torch import Tensor

IGNORED = -100


@dataclass(frozen=True)
class Loss:
    """A sum over targets; the engine divides by the count over all micro-batches and ranks.

    sum      scalar, with its graph
    parts    named scalars without graph for the log, each also a sum over targets
    """

    sum: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


def spread_over(what: str, more: str = "", *, search: str | None = "0..0.2") -> dict[str, Any]:
    """What `label_smoothing` says of itself, the target being spread over `what`; `search` is where `tune` looks."""
    help = f"share of the target spread over all {what}{more}"
    proposed = {} if search is None else {"search": search}
    return {"help": help, "least": 0.0, "below": 1.0, **proposed, "prepares": False}


def cross_entropies(logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """The negative log-likelihood of each target, in nats.

        -(1 - e) log p[b, y_b, ...]  -  (e / K) sum_k log p[b, k, ...],     p = softmax(logits) over k

    logits   [B, K, ...] float
    targets  [B, ...] int64 in [0, K), or IGNORED
    returns  [B, ...]; 0 where the target is IGNORED

    Source: Szegedy et al., Rethinking the Inception Architecture, 2016, section 7, for the smoothing e.
    """
    return F.cross_entropy(logits, targets, reduction="none", label_smoothing=label_smoothing, ignore_index=IGNORED)


def likelihood_sum(log_p: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """The sum of `cross_entropies` [B] where the logarithms of the probabilities [B, K] are known, and finite."""
    own = F.nll_loss(log_p, targets, ignore_index=IGNORED, reduction="sum")
    if label_smoothing == 0:
        return own
    spread = -log_p.mean(1).masked_fill(targets == IGNORED, 0.0).sum()
    return (1 - label_smoothing) * own + label_smoothing * spread


def cross_entropy_sum(
    logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, weights: Tensor | None = None
) -> Tensor:
    """The sum over b of w_b times `cross_entropies`, in nats.

    logits   [B, K] float
    targets  [B] int64 in [0, K), or IGNORED for rows that count for nothing
    weights  [B] float, None for 1 each
    returns  scalar; 0 for an empty batch or one whose targets are all ignored
    """
    if logits.shape[0] == 0:
        return logits.sum()
    if weights is not None:
        return weighted_sum(cross_entropies(logits, targets, label_smoothing=label_smoothing), weights)
    return F.cross_entropy(logits, targets, reduction="sum", label_smoothing=label_smoothing, ignore_index=IGNORED)


def squared_error_sum(predictions: Tensor, targets: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """The sum over b of w_b (prediction - target)^2, all `[B]` float; w is 1 where no weights are given."""
    return weighted_sum(F.mse_loss(predictions, targets, reduction="sum" if weights is None else "none"), weights)


def huber_sum(predictions: Tensor, targets: Tensor, *, delta: float = 1.0, weights: Tensor | None = None) -> Tensor:
    """The weighted sum over b of Huber's loss: e^2 / 2 within delta, delta (|e| - delta / 2) beyond. Huber 1964."""
    how = "sum" if weights is None else "none"
    return weighted_sum(F.huber_loss(predictions, targets, reduction=how, delta=delta), weights)


def weighted_sum(losses: Tensor, weights: Tensor | None) -> Tensor:
    """A sum as it is, or that of losses [B] by their weights [B]."""
    return losses.sum() if weights is None else (losses * weights).sum()
