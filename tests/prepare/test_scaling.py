"""Whitening of a table's number columns."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from deepen.core.errors import OptionError
from deepen.prepare import tabular
from deepen.prepare.scaling import LIMIT, learn_whitening, whitened
from deepen.prepare.tabular import ColumnOptions


def rows(count, seed=0):
    draw = np.random.default_rng(seed)
    area = draw.uniform(20, 150, count)
    return pa.table(
        {
            "area": [f"{value:.1f}" for value in area],
            "rooms": [
                f"{value / 25 + noise:.2f}" for value, noise in zip(area, draw.normal(0, 0.5, count), strict=True)
            ],
            "age": ["" if value > 90 else f"{value:.1f}" for value in draw.uniform(0, 100, count)],
            "city": [("Oslo", "Lima", "Kyoto")[each] for each in draw.integers(0, 3, count)],
            "rent": ["1"] * count,
            "source": [f"row {row}" for row in range(count)],
        }
    )


def correlation(a, b):
    return float(np.corrcoef(a, b)[0, 1])


def test_columns_are_uncorrelated_near_themselves_and_missing_signs_stay():
    table = rows(1_009)
    plain_state = tabular.learn(table, "rent", ColumnOptions(), [])
    state = json.loads(json.dumps(tabular.learn(table, "rent", ColumnOptions(whiten=True), [])))
    plain, _, _ = tabular.encode(table, plain_state, "train", [])
    white, categories, kept = tabular.encode(table, state, "train", [])
    assert tabular.measures_of(state).tolist() == [True, True, True, False]
    assert correlation(plain[:, 0], plain[:, 1]) > 0.8
    assert abs(correlation(white[:, 0], white[:, 1])) < 0.1  # not 0: variances have 0.01 added, and 4 is the limit
    assert white[:, :3].std(0) == pytest.approx([1, 1, 1], abs=0.05)
    assert all(correlation(plain[:, i], white[:, i]) > 0.8 for i in range(3))
    assert np.array_equal(plain[:, 3], white[:, 3])
    assert white.dtype == np.float32 and np.abs(white).max() <= LIMIT
    assert tabular.shape_of(state) == tabular.shape_of(plain_state) == (4, (4,))
    assert len(kept) == len(categories) == 1_009


def test_other_rows_are_whitened_by_what_training_learned():
    state = tabular.learn(rows(503), "rent", ColumnOptions(whiten=True), [])
    some = rows(53, seed=1)
    whole, _, _ = tabular.encode(some, state, "test", [])
    alone, _, _ = tabular.encode(some.slice(17, 1), state, "test", [])
    assert np.allclose(whole[17:18], alone, atol=1e-6)


def test_whitening_is_the_matrix_of_the_textbook():
    draw = np.random.default_rng(0)
    numbers = (draw.normal(size=(307, 5)) @ draw.normal(size=(5, 5)) / 3).astype(np.float32)
    is_measure = np.array([True, True, False, True, False])
    found = whitened(numbers, is_measure, learn_whitening(numbers, is_measure))
    data = numbers[:, is_measure].astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(data.T, bias=True))
    expected = (data - data.mean(0)) @ vectors @ np.diag((values + 0.01) ** -0.5) @ vectors.T
    assert np.abs(found[:, is_measure] - expected.clip(-LIMIT, LIMIT)).max() < 1e-4
    assert np.array_equal(found[:, ~is_measure], numbers[:, ~is_measure])


def test_too_many_columns_are_refused():
    with pytest.raises(OptionError, match=r"--columns\.whiten: expected at most 1,024 inputs to whiten.* are 1,031"):
        learn_whitening(np.zeros((2, 1_031), np.float32), np.ones(1_031, bool))
