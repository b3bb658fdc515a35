"""Partial dependence against scikit-learn's, computed by force."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.inspection import partial_dependence

from deepen.ops.partial_dependence import individual_expectations


def function(x):
    """[N, 4] -> [N, 1]"""
    return (torch.sin(x[:, 0]) * x[:, 1] + x[:, 2] ** 2 - x[:, 3])[:, None]


class Same(RegressorMixin, BaseEstimator):
    """The function as an estimator."""

    def fit(self, x, y):
        self.fitted_ = True
        return self

    def predict(self, x):
        return function(torch.from_numpy(np.asarray(x, np.float64)))[:, 0].numpy()


def test_it_equals_scikit_learns_for_means_and_single_rows():
    rows = np.random.default_rng(3).normal(size=(37, 4))
    rows[:, 0] = np.round(rows[:, 0] * 2)  # few values, so that the grid is all of them
    estimator = Same().fit(rows, np.zeros(37))
    expected = partial_dependence(estimator, rows, [0], method="brute", kind="both", grid_resolution=50)
    grid = torch.from_numpy(expected["grid_values"][0])
    found = individual_expectations(function, torch.from_numpy(rows), (0,), grid[:, None])
    assert found.shape == (len(grid), 37, 1)
    torch.testing.assert_close(found[:, :, 0].T, torch.from_numpy(expected["individual"][0]))
    torch.testing.assert_close(found[:, :, 0].mean(1), torch.from_numpy(expected["average"][0]))


def test_inputs_of_one_column_are_set_together_and_rows_stay_as_they_were():
    rows = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    before = rows.clone()
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    found = individual_expectations(lambda x: x, rows, (3, 1), values)
    assert torch.equal(rows, before)
    for v in range(3):
        assert torch.equal(found[v, :, [0, 2]], rows[:, [0, 2]])
        assert found[v, :, 3].unique().tolist() == [values[v, 0]] and found[v, :, 1].unique().tolist() == [values[v, 1]]
