"""Whitening: what comes out is white, equals the textbook's matrices, and is the same by either decomposition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from deepen.ops.whitening import pca_whitened, spectrum, zca_whitened


def data(count, size, seed=0):
    draw = torch.Generator().manual_seed(seed)
    mix = torch.randn(size, size, generator=draw, dtype=torch.float64)
    return torch.randn(count, size, generator=draw, dtype=torch.float64) @ mix + 3


def covariance(x):
    centred = x - x.mean(0)
    return centred.T @ centred / len(x)


@pytest.mark.parametrize("whitened", [pca_whitened, zca_whitened])
def test_what_comes_out_is_white(whitened):
    x = data(211, 13)
    y = whitened(x, spectrum(x), epsilon=0.0)
    assert torch.allclose(y.mean(0), torch.zeros(13, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(covariance(y), torch.eye(13, dtype=torch.float64), atol=1e-8)


def test_zca_is_the_inverse_square_root_of_the_covariance():
    x = data(211, 13)
    values, vectors = np.linalg.eigh(covariance(x).numpy() + 0.1 * np.eye(13))
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    expected = (x.numpy() - x.numpy().mean(0)) @ root
    assert np.abs(zca_whitened(x, spectrum(x), epsilon=0.1).numpy() - expected).max() < 1e-9


def test_pca_is_scikit_learns():
    x = data(211, 13)
    expected = PCA(5, whiten=True).fit_transform(x.numpy()) * np.sqrt(211 / 210)  # it divides by N - 1
    found = pca_whitened(x, spectrum(x, most=5), epsilon=0.0).numpy()
    assert np.abs(np.abs(found) - np.abs(expected)).max() < 1e-8  # the sign of a direction is free


def test_both_decompositions_find_the_same():
    few = data(7, 13)
    by_rows, by_columns = spectrum(few), spectrum(torch.cat([few, few]))
    assert by_rows.directions.shape == by_columns.directions.shape == (13, 6)
    assert torch.allclose(by_rows.variances, by_columns.variances, rtol=1e-9)
    for epsilon in (0.01, 1.0):
        a, b = (zca_whitened(few, found, epsilon=epsilon) for found in (by_rows, by_columns))
        assert torch.allclose(a, b, atol=1e-8)


def test_directions_left_out_share_the_rest_of_the_variance():
    x = data(307, 11)
    whole, cut = spectrum(x), spectrum(x, most=4)
    assert cut.rest == pytest.approx(float(whole.variances[4:].mean()), rel=1e-9)
    values = torch.cat([cut.variances, torch.full((7,), cut.rest, dtype=torch.float64)])
    matrix = whole.directions @ torch.diag((values + 0.1) ** -0.5) @ whole.directions.T
    assert torch.allclose(zca_whitened(x, cut, epsilon=0.1), (x - x.mean(0)) @ matrix, atol=1e-9)


def test_flat_directions_and_flat_data_stay_finite():
    x = data(53, 5)
    x[:, 2] = 4.0
    assert torch.isfinite(zca_whitened(x, spectrum(x), epsilon=0.1)).all()
    flat = torch.full((7, 5), 3.0)
    assert not zca_whitened(flat.double(), spectrum(flat), epsilon=0.1).any()
