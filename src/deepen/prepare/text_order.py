"""Batches of rows of like length, so that little of a padded batch is padding."""

from __future__ import annotations

import numpy as np

from deepen.core import rng

POOL = 64  # batches among which rows are sorted: padding is 3 % where it would be 53, and company still changes


def bucketed(lengths: np.ndarray, num_batches: int, *, seed: int, epoch: int) -> list[np.ndarray]:
    """The batches of an epoch: row numbers, every row in exactly one, sizes that differ by one at most.

    The rows are shuffled, cut into pools of POOL batches, sorted by length within each pool (rows of equal length stay
    shuffled), and cut into batches, whose order is shuffled again. With few batches there are at least two pools, so
    that other rows meet in each epoch. A function of the arguments alone.

    lengths  [N] int64
    returns  num_batches arrays of int64
    """
    num_rows = len(lengths)
    assert 0 < num_batches <= max(1, num_rows), "no batch is empty"
    rows = rng.permutation(seed, epoch, num_rows)
    sizes = [len(part) for part in np.array_split(rows, num_batches)]
    order = rng.generator(seed, "order of buckets", epoch)
    order.shuffle(sizes)  # else the larger ones would always come from the first pools
    ends = np.cumsum(sizes)
    pool = max(1, min(POOL, num_batches // 2))
    for first in range(0, num_batches, pool):
        start, end = ends[first] - sizes[first], ends[min(first + pool, num_batches) - 1]
        part = rows[start:end]
        rows[start:end] = part[np.argsort(np.asarray(lengths)[part], kind="stable")]
    batches = np.split(rows, ends[:-1])
    return [batches[index] for index in order.permutation(num_batches)]
