"""Whitening: linear maps after which the dimensions of data are uncorrelated and vary equally.

With mean m and covariance U diag(l) U^T of the data, and e > 0 so that directions without variance are not blown up:

    PCA   y = diag(l + e)^(-1/2) U^T (x - m)          the dimensions are directions, the one of most variance first
    ZCA   y = U diag(l + e)^(-1/2) U^T (x - m)        of all whitened data the nearest to x: an image stays an image

Source: Bell and Sejnowski 1997, The "independent components" of natural scenes are edge filters; Krizhevsky 2009,
Learning Multiple Layers of Features from Tiny Images, appendix A.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LEAST_SHARE = 1e-9  # of all variance; directions with less are not told apart, as their own rounding is as large


@dataclass(frozen=True)
class Spectrum:
    """Mean and covariance of data, the covariance by its directions of most variance.

        covariance = U diag(variances) U^T + rest (I - U U^T)

    mean        [D]
    directions  [D, k]: U, orthonormal columns, the one of most variance first
    variances   [k]
    rest        the mean variance of the directions that are left out; with k = D there are none
    """

    mean: Tensor
    directions: Tensor
    variances: Tensor
    rest: float


def spectrum(data: Tensor, most: int | None = None) -> Spectrum:
    """The mean and covariance of data, with at most `most` directions of their own.

    data     [N, D] float, N at least 1
    returns  float64; directions on which the data do not vary at all are among the rest

    The covariance divides by N. The smaller of the two products, [D, D] or [N, N], is decomposed.
    """
    data = data.double()
    count, size = data.shape
    mean = data.mean(0)
    centred = data - mean
    if size <= count:
        variances, directions = torch.linalg.eigh(centred.T @ centred / count)
    else:
        variances, left = torch.linalg.eigh(centred @ centred.T / count)
        directions = centred.T @ left / (variances.clamp(min=1e-300) * count).sqrt()
    variances, directions = variances.flip(0).clamp(min=0), directions.flip(1)
    total = float(centred.square().sum() / count)
    kept = int((variances > LEAST_SHARE * max(total, 1e-300)).sum())
    kept = min(kept, size if most is None else most)
    rest = max(0.0, total - float(variances[:kept].sum())) / (size - kept) if kept < size else 0.0
    return Spectrum(mean, directions[:, :kept].contiguous(), variances[:kept].contiguous(), rest)


def pca_whitened(data: Tensor, found: Spectrum, *, epsilon: float) -> Tensor:
    """[N, D] -> [N, k]: the coordinates along the directions, each over its deviation."""
    return (data - found.mean) @ (found.directions / (found.variances + epsilon).sqrt())


def zca_whitened(data: Tensor, found: Spectrum, *, epsilon: float) -> Tensor:
    """The same turned back, so that an image stays an image.   [N, D] -> [N, D]

    Directions that are left out are all divided by sqrt(rest + epsilon), or become 0 where that is 0:

        y = (x - m) / sqrt(rest + e) + U (diag(l + e)^(-1/2) - (rest + e)^(-1/2)) U^T (x - m)
    """
    centred = data - found.mean
    outside = (found.rest + epsilon) ** -0.5 if found.rest + epsilon > 0 else 0.0
    inside = (found.variances + epsilon) ** -0.5 - outside
    return centred * outside + (centred @ found.directions * inside) @ found.directions.T
