from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepen.core.figures import Bars, Gallery, Points, Rows, Sample
from deepen.metrics.regress import Regression, Scale, figures_of

N = 101


def _data(seed: int = 0, *, n: int = N) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    targets = torch.exp(torch.randn(n, generator=generator) + 3)
    return targets * torch.exp(0.2 * torch.randn(n, generator=generator)), targets


def _filled(
    predictions: torch.Tensor, targets: torch.Tensor, rows: np.ndarray | None = None, *, scale: Scale = "linear"
) -> Regression:
    metrics = Regression(scale=scale)
    metrics.add(predictions, targets, np.arange(len(targets)) if rows is None else rows)
    return metrics


def test_figures_equal_scikit_learn():
    predictions, targets = _data()
    result = _filled(predictions, targets, scale="log").result()
    p, y = predictions.double().numpy(), targets.double().numpy()
    assert result["rmse"] == pytest.approx(reference.root_mean_squared_error(y, p), abs=1e-9)
    assert result["mae"] == pytest.approx(reference.mean_absolute_error(y, p), abs=1e-9)
    assert result["median_absolute_error"] == pytest.approx(reference.median_absolute_error(y, p), abs=1e-9)
    assert result["r2"] == pytest.approx(reference.r2_score(y, p), abs=1e-12)
    expected = reference.root_mean_squared_error(np.log(y), np.log(p))
    assert result["rmse_log"] == pytest.approx(expected, abs=1e-9)


def test_by_hand():
    result = _filled(torch.tensor([1.0, 2.0, 6.0]), torch.tensor([1.0, 4.0, 4.0])).result()
    assert result["rmse"] == pytest.approx(math.sqrt(8 / 3))
    assert result["mae"] == pytest.approx(4 / 3)
    assert result["median_absolute_error"] == 2.0
    assert result["r2"] == pytest.approx(1 - 8 / 6)
    assert "rmse_log" not in result


def test_targets_that_do_not_vary_have_no_r2():
    assert "r2" not in _filled(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 3.0])).result()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=N, max_size=N), st.integers(0, 10**6))
def test_merging_any_partition_into_ranks_gives_the_same_bits(ranks: list[int], seed: int):
    predictions, targets = _data()
    order = np.random.default_rng(seed).permutation(N)
    states = []
    for rank in range(3):
        rows = order[np.array(ranks)[order] == rank]
        states.append(_filled(predictions[rows], targets[rows], rows).state() if len(rows) else {})
    merged = Regression()
    merged.merge(states)
    assert merged.result() == _filled(predictions, targets).result()


def test_101_samples_padded_over_two_ranks_count_101():
    predictions, targets = _data()
    padded = np.append(np.arange(N), 0)
    states = [_filled(predictions[rows], targets[rows], rows).state() for rows in (padded[0::2], padded[1::2])]
    merged = Regression()
    merged.merge(states)
    assert len(merged.pairs()[0]) == N
    assert merged.result() == _filled(predictions, targets).result()


def test_intervals_hold_their_figures_and_repeat():
    metrics = _filled(*_data(), scale="log")
    result, intervals = metrics.result(), metrics.intervals(seed=2)
    assert set(intervals) == {"rmse", "mae", "rmse_log"}
    assert all(low < result[name] < high for name, (low, high) in intervals.items())
    assert intervals == metrics.intervals(seed=2)


def test_worst_is_by_difference_or_by_ratio():
    predictions, targets = torch.tensor([10.0, 110.0]), torch.tensor([5.0, 100.0])
    assert _filled(predictions, targets).worst(1)[0].row == 1
    assert _filled(predictions, targets, scale="log").worst(1)[0].row == 0


def test_nothing_added_gives_no_figures():
    assert Regression().result() == {}
    assert Regression().intervals() == {}
    assert figures_of(Regression()) == []


def test_figures_and_their_sizes():
    predictions, targets = _data(1, n=3001)
    figures = figures_of(_filled(predictions, targets), name="price", samples=lambda row: Sample([f"row {row}"]))
    points, errors, worst = figures
    assert isinstance(points, Points) and len(points.points) == 2000 and points.x_label == "true price"
    assert isinstance(errors, Bars) and sum(errors.values) == 3001 and 10 <= len(errors.names) <= 22
    assert isinstance(worst, Gallery) and worst.samples[0].caption[2].startswith("row ")
    assert isinstance(figures_of(_filled(predictions, targets))[2], Rows)


@pytest.mark.parametrize("shift", [0.0, 1e-30, 1e30])
def test_errors_of_one_size_or_none_still_make_bars(shift: float):
    targets = torch.arange(13, dtype=torch.float64)
    bars = figures_of(_filled(targets + shift, targets))[1]
    assert isinstance(bars, Bars) and sum(bars.values) == 13


def test_an_infinite_answer_is_shown_and_not_hidden():
    metrics = _filled(torch.tensor([1.0, float("inf")]), torch.tensor([1.0, 2.0]))
    assert metrics.result()["rmse"] == math.inf
    assert len(figures_of(metrics)) == 3


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_the_values_per_row_mean_the_figures_in_the_order_of_the_rows(scale: Scale):
    predictions, targets = _data(7)
    order = np.random.default_rng(0).permutation(len(targets))
    metrics = Regression(scale=scale)
    metrics.add(predictions[order], targets[order], order)
    found, figures = metrics.per_row(), metrics.result()
    assert {name: each.figure() for name, each in found.items()} == pytest.approx(
        {name: figures[name] for name in found}
    )
    assert set(found) == {"rmse", "mae"} | ({"rmse_log"} if scale == "log" else set())
    assert found["mae"].values.tolist() == pytest.approx((predictions - targets).abs().tolist())
    assert Regression().per_row() == {}
