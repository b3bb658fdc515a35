"""Kernel regression: an answer as the mean of what is known, each weighted by how near it is. The smallest attention.

    weight[q, n] = K(|x_q - x_n| / h) / sum over m of K(|x_q - x_m| / h),    answer[q] = sum over n of weight[q, n] y_n

    queries x_q  [Q] or [Q, D]
    keys x_n     [N] or [N, D]
    values y_n   [N] or [N, V]
    width h      a positive number or a tensor of one, which may be learned

Source: Nadaraya, On estimating regression, 1964; Watson, Smooth regression analysis, 1964.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Kernel = Literal["gaussian", "epanechnikov", "boxcar"]
KERNELS: tuple[Kernel, ...] = ("gaussian", "epanechnikov", "boxcar")


def kernel_weights(
    queries: Tensor, keys: Tensor, width: float | Tensor, kernel: Kernel = "gaussian", *, leave_one_out: bool = False
) -> Tensor:
    """The weight of each key for each query, [Q, N], adding up to 1; zeros for a query that no key is near enough to.

        gaussian      K(u) = exp(-u^2 / 2): a softmax of -u^2 / 2
        epanechnikov  K(u) = max(0, 1 - u^2)
        boxcar        K(u) = 1 where u < 1, else 0

    leave_one_out  query n does not see key n, as when the keys ask for themselves

    >>> kernel_weights(torch.tensor([0.0]), torch.tensor([0.0, 1.0, 5.0]), 2.0, "epanechnikov").mul(7).tolist()
    [[4.0, 3.0, 0.0]]
    """
    # the way by a matrix product, cdist's own choice for many points, is off by 1e-3 where points are close
    apart = torch.cdist(_points(queries), _points(keys), compute_mode="donot_use_mm_for_euclid_dist")
    u = apart / width  # [Q, N]
    if leave_one_out:
        u = u.masked_fill(torch.eye(*u.shape, dtype=torch.bool, device=u.device), math.inf)
    if kernel == "gaussian":
        scores = -(u**2) / 2
        near = torch.isfinite(scores)
        return torch.softmax(scores.masked_fill(~near, -1e30), 1) * near.any(1, keepdim=True)
    weights = (1 - u**2).clamp_min(0) if kernel == "epanechnikov" else (u < 1).to(u.dtype)
    total = weights.sum(1, keepdim=True)
    return weights / torch.where(total > 0, total, 1.0)


def kernel_regression(
    queries: Tensor, keys: Tensor, values: Tensor, width: float | Tensor, kernel: Kernel = "gaussian"
) -> Tensor:
    """The answer at each query, [Q] or [Q, V]."""
    return kernel_weights(queries, keys, width, kernel) @ values


def leave_one_out_error(keys: Tensor, values: Tensor, width: float | Tensor, kernel: Kernel = "gaussian") -> Tensor:
    """The mean squared error where each value is answered from all others: what a width is learned by, a scalar.

    Without leaving out, the narrowest kernel would win, by answering each key with its own value.
    Source: Haerdle and Marron, Optimal bandwidth selection in nonparametric regression function estimation, 1985.
    """
    return (kernel_weights(keys, keys, width, kernel, leave_one_out=True) @ values - values).pow(2).mean()


def _points(x: Tensor) -> Tensor:
    return x[:, None] if x.dim() == 1 else x
