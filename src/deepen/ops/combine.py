"""Outputs of several networks as one output, in the terms of a single network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def mean_class_logits(outputs: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Logits whose softmax is the mean of the networks' class probabilities.

        p = sum_m w[m] * softmax(z[m]),    result = log p

    outputs  M tensors [B, K] float, the columns of all in one order
    weights  M numbers > 0 that add up to 1
    returns  [B, K] float64; of one network its own logits, as they are

    The mean of probabilities never has a larger cross-entropy than the mean of the networks' own (Jensen's inequality).
    Source: Lakshminarayanan, Pritzel and Blundell 2017, section 2.4 (there the weights are equal).

    >>> torch.softmax(mean_class_logits([torch.tensor([[0.0, 0.0]]), torch.tensor([[50.0, 0.0]])], [0.5, 0.5]), 1)
    tensor([[0.7500, 0.2500]], dtype=torch.float64)
    """
    if len(outputs) == 1:
        return outputs[0]
    parts = [each.double().log_softmax(1) for each in outputs]
    return torch.logsumexp(torch.stack(parts) + _column(weights, parts[0]).log(), dim=0)


def mean_values(outputs: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The weighted mean of predicted numbers.

    outputs  M tensors [B] float, in one unit
    weights  M numbers > 0 that add up to 1
    returns  [B] float64; of one network its own numbers, as they are

    >>> mean_values([torch.tensor([1.0]), torch.tensor([4.0])], [0.25, 0.75]).tolist()
    [3.25]
    """
    if len(outputs) == 1:
        return outputs[0]
    return torch.stack([each.double() * weight for each, weight in zip(outputs, weights, strict=True)]).sum(dim=0)


def _column(weights: Sequence[float], like: Tensor) -> Tensor:
    """[M, 1, 1] float64 on the device of `like`."""
    return torch.tensor(list(weights), dtype=torch.float64, device=like.device)[:, None, None]
