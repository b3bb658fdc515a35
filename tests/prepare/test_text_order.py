"""Batches of like length: every row once, sizes near-equal, little padding, other company in each epoch."""

from __future__ import annotations

import numpy as np
import pytest

from deepen.core import rng
from deepen.prepare.text_order import bucketed


@pytest.mark.parametrize(("num_rows", "num_batches"), [(1, 1), (7, 7), (101, 3), (1009, 37), (2003, 211)])
def test_every_row_is_in_one_batch_and_sizes_differ_by_one_at_most(num_rows, num_batches):
    lengths = np.random.default_rng(num_rows).integers(0, 53, num_rows)
    batches = bucketed(lengths, num_batches, seed=5, epoch=2)
    sizes = [len(batch) for batch in batches]
    assert len(batches) == num_batches and max(sizes) - min(sizes) <= 1 and min(sizes) >= 1
    assert sorted(np.concatenate(batches).tolist()) == list(range(num_rows))
    assert all(batch.dtype == np.int64 for batch in batches)


def test_a_function_of_seed_and_epoch_alone():
    lengths = np.random.default_rng(0).integers(1, 53, 1009)

    def order(seed, epoch):
        return np.concatenate(bucketed(lengths, 37, seed=seed, epoch=epoch)).tolist()

    assert order(3, 1) == order(3, 1)
    assert len({tuple(order(seed, epoch)) for seed in (3, 4) for epoch in (0, 1)}) == 4


def padding(batches, lengths):
    """The share of a padded batch that is padding, over all batches."""
    cells = sum(len(batch) * lengths[batch].max() for batch in batches)
    return 1 - lengths.sum() / cells


def test_little_of_a_batch_is_padding():
    lengths = np.random.default_rng(1).geometric(0.05, 10_007)
    plain = np.array_split(rng.permutation(0, 0, len(lengths)), 313)
    assert padding(plain, lengths) > 0.7
    assert padding(bucketed(lengths, 313, seed=0, epoch=0), lengths) < 0.16


def test_long_rows_come_early_and_late_and_meet_others_in_each_epoch():
    lengths = np.arange(1009)
    company, places = set(), []
    for epoch in range(5):
        batches = bucketed(lengths, 64, seed=0, epoch=epoch)
        place = next(index for index, batch in enumerate(batches) if 1008 in batch)
        places.append(place)
        company.add(tuple(sorted(batches[place].tolist())))
    assert len(company) == 5 and len(set(places)) > 1


def test_few_batches_are_not_the_same_ones_in_each_epoch():
    lengths = np.arange(101)
    first, second = (bucketed(lengths, 4, seed=0, epoch=epoch) for epoch in (0, 1))
    assert {tuple(sorted(batch)) for batch in first} != {tuple(sorted(batch)) for batch in second}
