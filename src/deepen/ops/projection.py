"""Directions of greatest variance, and maps of many dimensions in two."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

LARGEST_SCATTER = 4_096  # with more values per row than this, directions are found from at most as many rows
MOST_NEIGHBOURS = 30.0


def principal_components(
    parts: Iterable[Tensor], count: int, weights: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The mean of the rows, the `count` directions of greatest variance, and the variance along each.

        C = sum_n v_n (x_n - m)(x_n - m)^T / sum_n v_n,     C w_i = lambda_i w_i,     lambda_1 >= lambda_2 >= ...

    parts    each [B, P] float; together N rows. Up to P = 4,096 all of them count, added up in float64; beyond that the
             first 4,096 rows, whose products with each other have the same eigenvalues
    weights  [N], the v_n, of which the mean m is one too; None for 1 each
    returns  mean [P], directions [count, P] of length 1, variances [count], all float64. The value of largest size in a
             direction is positive. Where the rows span fewer directions, the rest are zero.

    Source: Pearson 1901; Hotelling 1933.
    """
    parts = iter(parts)
    first = next(parts).double()
    weights = None if weights is None else weights.double().cpu()
    if first.shape[1] <= LARGEST_SCATTER:
        return _from_scatter(first, parts, count, weights)
    rows = [first]
    while sum(map(len, rows)) < LARGEST_SCATTER and (part := next(parts, None)) is not None:
        rows.append(part.double())
    return _from_products(torch.cat(rows)[:LARGEST_SCATTER], count, weights)


def total_variance(parts: Iterable[Tensor]) -> float:
    """The mean squared distance of the rows from their mean: the sum of all the variances of their directions."""
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for part in parts:
        wide = part.double()
        count, total, squares = count + len(wide), total + wide.sum(dim=0), squares + wide.square().sum(dim=0)
    return float((squares / count - (total / count).square()).sum())


def principal_map(vectors: Tensor) -> np.ndarray:
    """The rows in the plane of their two greatest variances, [N, 2] float64. `vectors` [N, D], N at least 1."""
    mean, directions, _ = principal_components([vectors], 2)
    return ((vectors.double() - mean) @ directions.T).numpy()


def neighbour_map(vectors: Tensor) -> np.ndarray:
    """The rows in a plane where near neighbours stay near, [N, 2] float64; the same rows give the same map.

    Distances between far groups and sizes of groups mean little in such a map. `vectors` [N, D], N at least 5.
    Source: van der Maaten and Hinton, Visualizing Data using t-SNE, 2008, as scikit-learn has it.
    """
    from sklearn.manifold import TSNE

    perplexity = min(MOST_NEIGHBOURS, (len(vectors) - 1) / 3)
    start = principal_map(vectors)
    spread = start[:, 0].std()
    start = (start / (spread if spread > 0 else 1.0) * 1e-4).astype(np.float32)
    method: Any = TSNE(2, perplexity=perplexity, init=start, random_state=0)  # type: ignore[arg-type]
    return method.fit_transform(vectors.float().numpy()).astype(float)


def _from_scatter(
    first: Tensor, parts: Iterable[Tensor], count: int, weights: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Deviations are taken from the first part's mean, so that a large common value costs no digits."""
    around = first.mean(dim=0)
    seen, whole, total = 0, 0.0, torch.zeros_like(around)
    products = torch.zeros(len(around), len(around), dtype=torch.float64)
    part: Tensor | None = first
    parts = iter(parts)
    while part is not None:
        off = part.double() - around
        own = _weighted(off, weights, seen)
        seen, whole, total = seen + len(off), whole + _sum_of(off, weights, seen), total + own.sum(dim=0)
        products += own.T @ off
        part = next(parts, None)
    shift = total / whole
    values, vectors = torch.linalg.eigh(products / whole - torch.outer(shift, shift))
    return _ordered(around + shift, values, vectors.T, count)


def _from_products(rows: Tensor, count: int, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    whole = _sum_of(rows, weights, 0)
    mean = rows.mean(dim=0) if weights is None else _weighted(rows, weights, 0).sum(dim=0) / whole
    off = _weighted(rows - mean, None if weights is None else weights.sqrt(), 0)
    values, vectors = torch.linalg.eigh(off @ off.T / whole)
    lengths = (values.clamp(min=0) * whole).sqrt()
    is_real = lengths > 1e-9 * lengths.max().clamp(min=1e-300)
    directions = torch.where(is_real[:, None], (vectors.T @ off) / lengths.clamp(min=1e-300)[:, None], 0.0)
    return _ordered(mean, values, directions, count)


def _weighted(rows: Tensor, weights: Tensor | None, first: int) -> Tensor:
    """The rows by their weights, which stand from place `first` on."""
    return rows if weights is None else rows * weights[first : first + len(rows), None]


def _sum_of(rows: Tensor, weights: Tensor | None, first: int) -> float:
    """How many rows, or what they weigh."""
    return float(len(rows)) if weights is None else float(weights[first : first + len(rows)].sum())


def _ordered(mean: Tensor, values: Tensor, directions: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    values, directions = values.flip(0)[:count].clamp(min=0), directions.flip(0)[:count]
    largest = directions.abs().argmax(dim=1, keepdim=True)
    signs = torch.where(directions.gather(1, largest) < 0, -1.0, 1.0)
    missing = count - len(values)
    pad = torch.zeros(missing, directions.shape[1], dtype=directions.dtype)
    return mean, torch.cat([directions * signs, pad]), torch.cat([values, torch.zeros(missing, dtype=values.dtype)])
