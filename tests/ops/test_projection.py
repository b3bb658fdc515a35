import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from deepen.ops import projection
from deepen.ops.projection import neighbour_map, principal_components, principal_map, total_variance


def rows(count, width, seed=0):
    draw = torch.Generator().manual_seed(seed)
    mixed = torch.randn(width, width, generator=draw, dtype=torch.float64)
    return torch.randn(count, width, generator=draw, dtype=torch.float64) @ mixed + 3


def assert_is_sklearns(found, values, count):
    mean, directions, variances = found
    reference = PCA(count, svd_solver="full").fit(values.numpy())
    assert np.allclose(mean, reference.mean_, atol=1e-9)
    assert np.allclose(variances, reference.explained_variance_ * (len(values) - 1) / len(values), rtol=1e-7)
    cosines = (directions.numpy() * reference.components_).sum(axis=1)
    assert np.allclose(np.abs(cosines), 1, atol=1e-7)
    assert all(row[row.abs().argmax()] > 0 for row in directions)


@pytest.mark.parametrize("parts", [1, 4])
def test_components_are_sklearns_up_to_sign(parts):
    values = rows(101, 7)
    assert_is_sklearns(principal_components(values.chunk(parts), 5), values, 5)


def test_wide_rows_go_another_way_to_the_same_components(monkeypatch):
    values = rows(23, 41)
    straight = principal_components([values], 5)
    monkeypatch.setattr(projection, "LARGEST_SCATTER", 40)
    assert_is_sklearns(principal_components(values.chunk(3), 5), values, 5)
    for a, b in zip(principal_components([values], 5), straight, strict=True):
        assert torch.allclose(a, b, atol=1e-7)


def test_directions_that_the_rows_do_not_span_are_zero(monkeypatch):
    values = rows(3, 7)
    monkeypatch.setattr(projection, "LARGEST_SCATTER", 5)
    _, directions, variances = principal_components([values], 5)
    assert directions.shape == (5, 7)
    assert torch.allclose(directions @ directions.T, torch.diag(torch.tensor([1.0, 1, 0, 0, 0])).double(), atol=1e-7)
    assert variances[2:].abs().max() < 1e-12


def test_a_large_common_value_costs_no_digits():
    values = rows(101, 7)
    near, far = principal_components([values], 3), principal_components([values + 1e6], 3)
    assert torch.allclose(near[2], far[2], rtol=1e-6)


def test_the_total_variance_is_the_sum_of_all():
    values = rows(101, 7)
    assert total_variance(values.chunk(3)) == pytest.approx(float(principal_components([values], 7)[2].sum()))


def test_maps_repeat_and_keep_neighbours():
    centres = torch.randn(3, 11, generator=torch.Generator().manual_seed(1)) * 9
    values = (centres[:, None] + torch.randn(3, 17, 11, generator=torch.Generator().manual_seed(2))).flatten(0, 1)
    assert np.allclose(principal_map(values), principal_map(values.flip(0))[::-1])
    found = neighbour_map(values)
    assert np.array_equal(found, neighbour_map(values))
    assert trustworthiness(values.numpy(), found, n_neighbors=5) > 0.9


def test_a_map_of_equal_rows_is_drawn_too():
    assert np.isfinite(neighbour_map(torch.ones(11, 3))).all()


@pytest.mark.parametrize("width", [7, 4_099])
def test_a_row_that_weighs_three_is_three_rows(width):
    """From the scatter of columns, and from the products of rows."""
    draw = torch.Generator().manual_seed(4)
    rows = torch.randn(31, width, generator=draw, dtype=torch.float64) * torch.linspace(1, 3, width)
    times = torch.randint(0, 4, (31,), generator=draw)
    again = rows.repeat_interleave(times, dim=0)
    weighted = principal_components(rows.split(11), 3, times.float())
    for a, b in zip(weighted, principal_components([again], 3), strict=True):
        torch.testing.assert_close(a, b)
