from __future__ import annotations

import numpy as np
import pytest

from deepen.metrics.resample import binomial_interval, bootstrap_counts, bootstrap_mean, percentiles


def test_binomial_interval_against_the_closed_form_at_the_ends():
    # All of n right: the lower end p solves p^n = 0.025; none right is its mirror image.
    low, high = binomial_interval(20, 20)
    assert high == 1.0
    assert low == pytest.approx(0.025 ** (1 / 20), abs=1e-12)
    assert binomial_interval(0, 20) == pytest.approx((0.0, 1 - low), abs=1e-12)


def test_binomial_interval_against_scipy():
    # scipy.stats.binomtest(83, 101).proportion_ci(0.95, "exact"), scipy 1.17.1
    from scipy.stats import binomtest

    expected = binomtest(83, 101).proportion_ci(0.95, "exact")
    assert binomial_interval(83, 101) == pytest.approx((expected.low, expected.high), abs=1e-10)


def test_bootstrap_of_a_mean_is_near_the_normal_one_and_repeats():
    values = np.random.default_rng(3).normal(5.0, 2.0, size=1009)
    low, high = bootstrap_mean(values, seed=7)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)
    assert bootstrap_mean(values, seed=7) == (low, high)
    assert bootstrap_mean(values, seed=8) != (low, high)


def test_bootstrap_applies_the_function_after_averaging():
    values = np.full(13, 9.0)
    assert bootstrap_mean(values, after=np.sqrt) == (3.0, 3.0)


def test_bootstrap_of_counts_is_the_bootstrap_over_rows():
    # Accuracy of a confusion matrix, drawn cell by cell, against the exact quantiles of the binomial it must follow.
    from scipy.stats import binom

    counts = np.array([[40, 7], [11, 43]])
    low, high = bootstrap_counts(counts, lambda table: np.trace(table) / table.sum())
    assert low == pytest.approx(binom.ppf(0.025, 101, 83 / 101) / 101, abs=0.02)
    assert high == pytest.approx(binom.ppf(0.975, 101, 83 / 101) / 101, abs=0.02)


def test_percentiles_by_hand():
    assert percentiles(np.arange(101.0), level=0.9) == pytest.approx((5.0, 95.0))
