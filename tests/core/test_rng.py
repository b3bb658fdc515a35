"""Draws that depend on where they are used and on nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deepen.core import rng

SOURCE = Path(__file__).resolve().parents[2] / "src"


def test_keys_are_equal_for_equal_arguments_and_differ_for_others():
    assert rng.key(1, "order", 2) == rng.key(1, "order", 2)
    others = [(1,), (2,), (1, 2), (12,), (1, "2", 3), (1, 23), (1, "order"), (-1,), (1, "a", "b"), (1, "ab"), (1, "")]
    assert len({rng.key(*other) for other in others}) == len(others)
    assert 0 <= rng.key(3) < 2**64


def test_keys_are_the_same_in_another_process_and_for_ever():
    """What a stored run depends on: were these to change, no old run could be resumed."""
    said = "from deepen.core import rng; print(rng.key(7, 'augment', 3), *rng.permutation(7, 3, 5))"
    command = [sys.executable, "-c", said]
    texts = {
        subprocess.run(command, env={"PYTHONPATH": str(SOURCE), "PYTHONHASHSEED": seed}, capture_output=True).stdout
        for seed in ("1", "2")
    }
    here = f"{rng.key(7, 'augment', 3)} {' '.join(map(str, rng.permutation(7, 3, 5)))}\n"
    assert texts == {here.encode()}


@pytest.mark.parametrize("num_rows", [0, 1, 2, 997])
def test_an_order_is_a_permutation(num_rows):
    order = rng.permutation(5, 11, num_rows)
    assert order.dtype == np.int64 and sorted(order) == list(range(num_rows))


def test_orders_of_epochs_and_seeds_differ():
    orders = {tuple(rng.permutation(seed, epoch, 31)) for seed in range(5) for epoch in range(7)}
    assert len(orders) == 35


def test_the_draws_of_a_row_do_not_depend_on_its_batch():
    rows = rng.permutation(1, 2, 101)
    whole = rng.uniform(9, 4, rows, 7, "augment")
    parts = np.concatenate([rng.uniform(9, 4, part, 7, "augment") for part in np.array_split(rows, 13)])
    assert np.array_equal(whole, parts)
    assert np.array_equal(whole[:, :3], rng.uniform(9, 4, rows, 3, "augment"))  # asking for more changes none


def test_draws_are_uniform_and_unrelated():
    draws = rng.uniform(0, 0, np.arange(20_011), 5, "x")
    assert draws.dtype == np.float32 and draws.min() >= 0 and draws.max() < 1
    counts = np.histogram(draws, 100, (0, 1))[0]
    expected = draws.size / 100
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert 60 < chi_squared < 150  # 99 degrees of freedom: 0.1 % lie outside of about (62, 149)
    columns = np.corrcoef(draws.T) - np.eye(5)
    assert np.abs(columns).max() < 0.03
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 0.03
    others = [
        rng.uniform(*place, np.arange(20_011), 1, use)[:, 0]
        for place, use in (((0, 1), "x"), ((1, 0), "x"), ((0, 0), "y"))
    ]
    assert all(abs(np.corrcoef(draws[:, 0], other)[0, 1]) < 0.03 for other in others)


def test_row_keys_do_not_collide():
    keys = rng.row_keys(3, 5, np.arange(200_003), "dropout")
    assert keys.dtype == np.uint64 and len(np.unique(keys)) == 200_003


def test_a_generator_is_a_function_of_its_place():
    assert rng.generator(1, "split").integers(0, 2**62) == rng.generator(1, "split").integers(0, 2**62)
    assert rng.generator(1, "split").integers(0, 2**62) != rng.generator(1, "other").integers(0, 2**62)
