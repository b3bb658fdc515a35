from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.metrics.correlation import Correlation, pearson, ranks, spearman


def test_correlations_are_scipys():
    stats = pytest.importorskip("scipy.stats")
    draw = np.random.default_rng(0)
    for _ in range(20):
        x = draw.integers(0, 7, 31).astype(float)  # with ties
        y = x + draw.normal(0, 3, 31)
        assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
        assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
        assert np.array_equal(ranks(x), stats.rankdata(x))


def test_figures_by_hand():
    metrics = Correlation()
    metrics.add(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 2.0]), np.array([4, 2]))
    metrics.add(torch.tensor([2.0]), torch.tensor([4.0]), np.array([3]))
    # answers 1, 3, 2 and targets 1, 2, 4: deviations (-1, 1, 0) and (-4, -1, 5) / 3, so r = 1 / sqrt(2 * 14 / 3)
    found = metrics.result()
    assert found["pearson"] == pytest.approx(1 / np.sqrt(2 * 14 / 3))
    assert found["spearman"] == pytest.approx(0.5)
    assert found["rmse"] == pytest.approx(np.sqrt(5 / 3))
    assert [each.row for each in metrics.worst(2)] == [3, 2]


def test_ranks_merge_to_the_same_bits_in_any_order():
    draw = torch.Generator().manual_seed(0)
    answers, targets, rows = torch.randn(37, generator=draw), torch.randn(37, generator=draw), np.arange(37)
    whole = Correlation()
    whole.add(answers, targets, rows)
    parts = [Correlation(), Correlation()]
    for part, index in zip(parts, (slice(19, 37), slice(0, 20)), strict=True):  # row 19 is in both
        part.add(answers[index], targets[index], rows[index])
    merged = Correlation()
    merged.merge([part.state() for part in parts])
    assert merged.result() == whole.result() and merged.intervals() == whole.intervals()


def test_what_does_not_vary_has_no_correlation():
    metrics = Correlation()
    assert metrics.result() == {} and metrics.intervals() == {} and metrics.per_row() == {}
    metrics.add(torch.ones(5), torch.arange(5.0), np.arange(5))
    assert not {"pearson", "spearman"} & set(metrics.result())
    assert metrics.result()["rmse"] > 0


def test_intervals_hold_the_figure_and_shrink_with_samples():
    draw = torch.Generator().manual_seed(0)
    widths = []
    for count in (50, 2000):
        x = torch.randn(count, generator=draw)
        metrics = Correlation()
        metrics.add(x + torch.randn(count, generator=draw), x, np.arange(count))
        low, high = metrics.intervals()["pearson"]
        assert low < metrics.result()["pearson"] < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 4
