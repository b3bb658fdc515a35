"""How far one distribution is from another, both softened by a temperature: what a student learns from its teacher.

    q = softmax(wanted / T),    p = softmax(found / T),    T^2 KL(q || p) = T^2 sum over k of q_k (log q_k - log p_k)

A constant added to all of `wanted`, or of `found`, changes nothing, so either may be logits or logarithms of
probabilities. T^2 keeps the size of the gradient as T grows. Source: Hinton, Vinyals and Dean 2015, Distilling the
Knowledge in a Neural Network, section 2.
"""

from __future__ import annotations

import torch
from torch import Tensor


def softened_divergence(wanted: Tensor, found: Tensor, temperature: float) -> Tensor:
    """T^2 KL(q || p) along the last dimension, in nats.

    wanted, found  [..., K] float; -inf in `wanted` is a probability of 0, which asks nothing of `found`
    returns        [...], at least 0 up to rounding
    """
    log_q = torch.log_softmax(wanted / temperature, -1)
    log_p = torch.log_softmax(found / temperature, -1)
    q = log_q.exp()
    apart = torch.where(q > 0, log_q - log_p, 0.0)
    return temperature**2 * (q * apart).sum(-1)
