"""The terms of the evidence lower bound: a divergence in closed form, likelihoods, and normal draws.

    log p(x)  >=  E_q(z|x) [log p(x|z)]  -  KL(q(z|x) || p(z)),     p(z) = Normal(0, I)

Source: Kingma and Welling, Auto-Encoding Variational Bayes, 2014.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

HALF_STEP = 2.0**-25  # uniform draws are multiples of 2^-24 in [0, 1); the middle of each step lies within (0, 1)


def divergence_from_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """The Kullback-Leibler divergence of Normal(mean, exp(log_variance)) from Normal(0, I), in nats.

        KL = 1/2 sum_d (mu_d^2 + sigma_d^2 - 1 - log sigma_d^2)

    mean, log_variance  [B, D] float
    returns             [B], at least 0

    Source: Kingma and Welling 2014, appendix B.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


def bernoulli_log_likelihood(logits: Tensor, targets: Tensor) -> Tensor:
    """log p(x|z) where each value is 1 with probability sigmoid(logit), in nats.

        sum over values of  x log p + (1 - x) log(1 - p)

    For values between 0 and 1, such as grey pixels, this is the usual cross-entropy, which is no density of them:
    figures compare among networks of the same likelihood only.

    logits, targets  [B, ...], targets in [0, 1]
    returns          [B]
    """
    return -F.binary_cross_entropy_with_logits(logits, targets, reduction="none").flatten(1).sum(dim=1)


def gaussian_log_likelihood(means: Tensor, targets: Tensor, log_deviation: Tensor | float) -> Tensor:
    """log p(x|z) where each value is normal around its mean, in nats (of a density, so it may be positive).

        sum over values of  -(x - m)^2 / (2 s^2) - log s - log(2 pi) / 2

    means, targets  [B, ...]
    log_deviation   log s, a scalar
    returns         [B]
    """
    log_deviation = torch.as_tensor(log_deviation, dtype=means.dtype, device=means.device)
    squares = (targets - means).square().flatten(1).sum(dim=1)
    num_values = means[0].numel()
    return -0.5 * squares * torch.exp(-2 * log_deviation) - num_values * (log_deviation + 0.5 * math.log(2 * math.pi))


def normal_from_uniform(uniform: Tensor) -> Tensor:
    """Standard normal draws from uniform ones, by the inverse of the distribution function.

    uniform  any shape, in [0, 1) in steps of 2^-24, as nn.dropout.row_uniform and core.rng.uniform draw
    returns  the same shape; none lies beyond 5.4
    """
    return torch.special.ndtri(uniform.double() + HALF_STEP).to(uniform.dtype)
