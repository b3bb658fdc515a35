"""k-means by Lloyd's algorithm, and the start that k-means++ gives it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from deepen.ops.losses import weighted_sum

MOST_STEPS = 300
CHUNK_VALUES = 1 << 24  # distances held at once


@dataclass(frozen=True)
class Partition:
    """Rows in K groups.

    centres  [K, D] float64, the mean of each group
    groups   [N] int64, the nearest centre of each row
    inertia  the sum of squared distances to the nearest centre, each by its row's weight
    steps    passes until nothing changed
    """

    centres: Tensor
    groups: Tensor
    inertia: float
    steps: int


def squared_distances(vectors: Tensor, centres: Tensor) -> Tensor:
    """|x - c|^2 between every row and every centre, [N, K], at least 0; the same for a row whatever stands beside it.

    vectors  [N, D] float
    centres  [K, D] float

    Where a graph is traced for export it multiplies out, in float64 and from the middle of the centres, so that no
    digit of float32 is lost: ONNX has no operator for distances.
    """
    if torch.compiler.is_exporting():
        middle = centres.double().mean(dim=0)
        off, shifted = vectors.double() - middle, centres.double() - middle
        squares = off.square().sum(dim=1, keepdim=True) - 2 * off @ shifted.T + shifted.square().sum(dim=1)
        return squares.clamp(min=0).to(vectors.dtype)
    return torch.cdist(vectors, centres, compute_mode="donot_use_mm_for_euclid_dist").square()


def seeded_centres(vectors: Tensor, count: int, draw: np.random.Generator, weights: Tensor | None = None) -> Tensor:
    """`count` rows far from each other, [count, D]: each drawn with a chance that grows with its squared distance.

    weights  [N] float64 by which the chance grows too, None for 1 each

    Where fewer rows differ than centres are asked for, some rows stand twice.
    Source: Arthur and Vassilvitskii, k-means++, 2007 (one candidate per draw).
    """
    chosen = [int(draw.integers(len(vectors))) if weights is None else _drawn(weights, draw)]
    nearest = _to_one(vectors, chosen[0])
    for _ in range(count - 1):
        chosen.append(_drawn(nearest if weights is None else nearest * weights, draw))
        nearest = torch.minimum(nearest, _to_one(vectors, chosen[-1]))
    return vectors[torch.tensor(chosen)].clone()


def lloyd(
    vectors: Tensor, centres: Tensor, *, weights: Tensor | None = None, most_steps: int = MOST_STEPS
) -> Partition:
    """The groups that Lloyd's algorithm comes to from these centres.

        g_n = argmin_k |x_n - c_k|^2,     c_k = mean of the x_n with g_n = k,     until no g_n changes

    vectors  [N, D] float64
    centres  [K, D] float64
    weights  [N] float64, by which a row counts in its mean; None for 1 each

    A centre that loses all rows is put on the row that is furthest from its own. Source: Lloyd 1957, published 1982.
    """
    groups, steps = torch.full((len(vectors),), -1), 0
    for _ in range(most_steps):
        steps += 1
        distances, found = _nearest(vectors, centres)
        found = _without_empty(distances, found, len(centres))
        if torch.equal(found, groups):
            break
        groups = found
        centres = _means(vectors, groups, centres, weights)
    distances, groups = _nearest(vectors, centres)
    return Partition(centres, groups, float(weighted_sum(distances, weights)), steps)


def best_partition(
    vectors: Tensor, count: int, draw: np.random.Generator, *, starts: int, weights: Tensor | None = None
) -> Partition:
    """The partition of least inertia among `starts` runs of Lloyd's algorithm from k-means++ starts."""
    seeds = (seeded_centres(vectors, count, draw, weights) for _ in range(starts))
    runs = [lloyd(vectors, centres, weights=weights) for centres in seeds]
    return min(runs, key=lambda run: run.inertia)


def _drawn(chances: Tensor, draw: np.random.Generator) -> int:
    """A row by chances [N] that need not add up to 1."""
    reached = chances.cumsum(0)
    at = draw.random() * float(reached[-1])
    return min(int(torch.searchsorted(reached, at, right=True)), len(chances) - 1)


def _means(vectors: Tensor, groups: Tensor, centres: Tensor, weights: Tensor | None) -> Tensor:
    """The mean of each group's rows, [K, D]; a centre whose rows weigh nothing stays where it is."""
    if weights is None:
        counts = torch.bincount(groups, minlength=len(centres)).clamp(min=1)
        return torch.zeros_like(centres).index_add_(0, groups, vectors) / counts[:, None]
    counts = torch.zeros_like(centres[:, 0]).index_add_(0, groups, weights)[:, None]
    sums = torch.zeros_like(centres).index_add_(0, groups, vectors * weights[:, None])
    return torch.where(counts > 0, sums / counts.clamp(min=1e-300), centres)


def _to_one(vectors: Tensor, row: int) -> Tensor:
    return (vectors - vectors[row]).square().sum(dim=1)


def _nearest(vectors: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """The squared distance to the nearest centre and its number, [N] each; expanded, as it is done N times K times.

    Products lose digits where the rows lie far from zero, so both are moved by the centres' mean first.
    """
    middle = centres.mean(dim=0)
    off, shifted = vectors - middle, centres - middle
    size = max(1, CHUNK_VALUES // len(centres))
    found = []
    for part in off.split(size):
        products = shifted.square().sum(dim=1) - 2 * part @ shifted.T
        least, group = products.min(dim=1)
        found.append(((least + part.square().sum(dim=1)).clamp(min=0), group))
    return torch.cat([each[0] for each in found]), torch.cat([each[1] for each in found])


def _without_empty(distances: Tensor, groups: Tensor, count: int) -> Tensor:
    """Gives each group without rows the row that is furthest from its centre, of a group that can spare it."""
    sizes = torch.bincount(groups, minlength=count)
    if bool((sizes > 0).all()):
        return groups
    groups = groups.clone()
    order = iter(distances.argsort(descending=True).tolist())
    for empty in torch.nonzero(sizes == 0)[:, 0].tolist():
        row = next((row for row in order if sizes[groups[row]] > 1), None)
        if row is None:
            break
        sizes[groups[row]] -= 1
        sizes[empty] += 1
        groups[row] = empty
    return groups
