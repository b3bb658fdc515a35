"""Paired tests: by hand, against enumeration and scipy, and how often they raise a false alarm."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import optimize, stats

from deepen.metrics.paired import (
    corrected_resampled_t,
    holm,
    mcnemar,
    paired_differences,
    sign_flip_tests,
    tango_interval,
)
from deepen.metrics.rows import PerRow


def shares(*columns: np.ndarray) -> list[PerRow]:
    return [PerRow(np.asarray(each, np.float64), "max", is_share=True) for each in columns]


def means(*columns: np.ndarray, is_root: bool = False) -> list[PerRow]:
    return [PerRow(np.asarray(each, np.float64), "min", is_root=is_root) for each in columns]


def one(figures: list[PerRow], **keywords: int):
    return paired_differences(figures, [(0, 1)], **keywords)[0]


# McNemar


def test_mcnemar_by_hand() -> None:
    # 1 against 5: P(X <= 1) of 6 fair coins is (1 + 6) / 64, twice that
    assert mcnemar(1, 5) == mcnemar(5, 1) == pytest.approx(14 / 64)
    assert mcnemar(0, 10) == pytest.approx(2 / 1024)
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(4, 4) == 1.0  # twice P(X <= 4) of 8 is more than 1


@pytest.mark.parametrize(("b", "c"), [(0, 1), (2, 3), (3, 17), (40, 61), (500, 431)])
def test_mcnemar_equals_the_binomial_test_of_scipy(b: int, c: int) -> None:
    assert mcnemar(b, c) == pytest.approx(stats.binomtest(b, b + c, 0.5).pvalue, rel=1e-9)


def test_shares_are_tested_on_the_samples_where_just_one_run_is_right() -> None:
    first = np.array([1] * 40 + [1] * 9 + [0] * 2 + [0] * 12)
    second = np.array([1] * 40 + [0] * 9 + [1] * 2 + [0] * 12)
    found = one(shares(first, second))
    assert found.value == pytest.approx(7 / 63)
    assert found.p == pytest.approx(2 * sum(math.comb(11, k) for k in range(3)) / 2**11)
    assert found.interval is not None and found.interval[0] < 7 / 63 < found.interval[1]
    assert found.method == "McNemar, exact"


# Tango's interval


def score(b: int, c: int, n: int, d: float) -> float:
    """The score statistic with the share q of "only the second" found by maximizing the likelihood numerically."""

    def loss(q: float) -> float:
        p, rest = q + d, 1 - 2 * q - d
        return -(
            b * math.log(max(p, 1e-300)) + c * math.log(max(q, 1e-300)) + (n - b - c) * math.log(max(rest, 1e-300))
        )

    bounds = (max(0.0, -d), (1 - d) / 2)
    q = optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    return (b - c - n * d) / math.sqrt(n * (2 * q + d - d * d))


@pytest.mark.parametrize(("b", "c", "n"), [(7, 2, 59), (12, 12, 101), (1, 6, 23), (31, 3, 47)])
def test_tango_ends_where_the_score_is_the_normal_quantile(b: int, c: int, n: int) -> None:
    low, high = tango_interval(b, c, n)
    assert low < (b - c) / n < high
    assert score(b, c, n, low) == pytest.approx(1.959964, abs=1e-4)
    assert score(b, c, n, high) == pytest.approx(-1.959964, abs=1e-4)
    assert tango_interval(c, b, n) == pytest.approx((-high, -low), abs=1e-9)


def test_tango_does_not_shrink_to_a_point_without_disagreement() -> None:
    # by hand: q = 0 for d > 0, so n d = z sqrt(n d (1 - d)), which gives d = z^2 / (n + z^2)
    z2 = 1.959964**2
    assert tango_interval(0, 0, 97) == pytest.approx((-z2 / (97 + z2), z2 / (97 + z2)), abs=1e-6)


def test_tango_at_the_ends() -> None:
    low, high = tango_interval(5, 0, 5)
    assert high == 1.0 and 0 < low < 1
    assert tango_interval(0, 5, 5) == pytest.approx((-1.0, -low))


# sign flips


def test_sign_flips_by_hand() -> None:
    # |+-1 +-2 +-4| >= 7 for two of the eight patterns; >= 5 (as 1 - 2 - 4 = -5) for four of them
    found = sign_flip_tests(np.array([[1.0, 1.0], [2.0, -2.0], [4.0, -4.0]]))
    assert found == [(0.25, "sign flips, all of them"), (0.5, "sign flips, all of them")]


def test_sign_flips_equal_full_enumeration() -> None:
    generator = np.random.default_rng(0)
    differences = generator.normal(0.3, 1, 11)
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=11)
    ]
    expected = np.mean(np.array(sums) >= abs(differences.sum()) - 1e-12)
    padded = np.concatenate([differences, np.zeros(29)])[:, None]  # zeros change nothing
    assert sign_flip_tests(padded) == [(pytest.approx(expected), "sign flips, all of them")]


def test_drawn_sign_flips_agree_with_scipys_permutation_test() -> None:
    generator = np.random.default_rng(1)
    differences = generator.normal(0.25, 1, 61)
    (p, method), *_ = sign_flip_tests(differences[:, None])
    reference = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=99_999, rng=np.random.default_rng(2)
    )
    assert method == "sign flips, drawn"
    assert p == pytest.approx(reference.pvalue, abs=4 * math.sqrt(0.05 / 9_999))
    assert sign_flip_tests(differences[:, None]) == [(p, method)]  # the same draws each time


def test_a_column_is_tested_the_same_whatever_stands_beside_it() -> None:
    generator = np.random.default_rng(3)
    differences = generator.normal(0.1, 1, (37, 3))
    differences[5:, 1] = 0.0  # few enough to be enumerated
    together = sign_flip_tests(differences)
    assert together == [sign_flip_tests(differences[:, [column]])[0] for column in range(3)]
    assert [method for _, method in together] == ["sign flips, drawn", "sign flips, all of them", "sign flips, drawn"]


# bootstrap


def test_the_interval_of_a_mean_difference_is_that_of_normal_theory() -> None:
    generator = np.random.default_rng(4)
    base = generator.exponential(5.0, 4_001)  # what both runs find hard
    found = one(means(base + generator.normal(0.5, 1.0, 4_001), base))
    error = 1.96 / math.sqrt(4_001)
    assert found.interval == pytest.approx((found.value - error, found.value + error), abs=0.15 * error)


def test_the_interval_of_a_root_is_that_of_the_difference_of_roots() -> None:
    generator = np.random.default_rng(5)
    errors = generator.normal(0, 2.0, 3_001)
    first, second = (1.5 * errors) ** 2, errors**2
    found = one(means(first, second, is_root=True))
    assert found.value == pytest.approx(0.5 * math.sqrt(np.mean(second)))  # 1.5 s - s on any resample
    resampled = [
        math.sqrt(np.mean(second[np.random.default_rng(seed).integers(3_001, size=3_001)])) / 2 for seed in range(400)
    ]
    assert found.interval == pytest.approx(tuple(np.quantile(resampled, [0.025, 0.975])), abs=0.01)
    assert found.p < 0.001


def test_a_run_beside_itself() -> None:
    values = np.random.default_rng(6).exponential(1.0, 53)
    found = one(means(values, values))
    assert (found.value, found.interval, found.p) == (0.0, (0.0, 0.0), 1.0)
    right = values > 0.5
    found = one(shares(right, right))
    assert (found.value, found.p) == (0.0, 1.0)


# how often


def test_no_difference_raises_an_alarm_about_as_often_as_it_may() -> None:
    generator = np.random.default_rng(7)
    trials, alarms, alarms_of_shares = 400, 0, 0
    for _ in range(trials):
        hard = generator.normal(0, 2, 43)
        flips = hard + generator.normal(0, 1, (2, 43))
        alarms += sign_flip_tests((flips[0] - flips[1])[:, None])[0][0] <= 0.05
        alarms_of_shares += one(shares(*(flips > 0))).p <= 0.05
    spread = 3.3 * math.sqrt(0.05 * 0.95 * trials)
    assert abs(alarms - 0.05 * trials) < spread
    assert 0 < alarms_of_shares < 0.05 * trials + spread  # an exact test of counts keeps below its level


def test_a_planted_difference_is_found() -> None:
    generator = np.random.default_rng(8)
    found_means, found_shares = 0, 0
    for _ in range(40):
        hard = generator.normal(0, 2, 401)
        first, second = hard + generator.normal(0.3, 0.5, 401), hard + generator.normal(0, 0.5, 401)
        found_means += sign_flip_tests((first - second)[:, None])[0][0] < 0.05
        found_shares += one(shares(first > -1, second > -1)).p < 0.05
    assert found_means == 40  # an effect of 0.3 with an error of 0.035
    assert found_shares >= 25


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(9)
    trials, held, held_of_shares = 200, 0, 0
    for _ in range(trials):
        cells = generator.choice(4, 89, p=(0.6, 0.15, 0.05, 0.2))  # both, only the first, only the second, none
        low, high = tango_interval(int(np.sum(cells == 1)), int(np.sum(cells == 2)), 89)
        held_of_shares += low <= 0.1 <= high
        noise = generator.exponential(1, 89)
        low, high = one(means(noise + 0.2 + generator.normal(0, 1, 89), noise)).interval or (0.0, 0.0)
        held += low <= 0.2 <= high
    assert 0.90 <= held / trials <= 0.99
    assert 0.90 <= held_of_shares / trials <= 0.99


# several tests at once


def test_holm_by_hand() -> None:
    # sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.04, the last raised to what stands before it
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.3]) == [0.3]
    assert holm([]) == []


def test_holm_keeps_the_chance_of_any_false_alarm_where_the_best_is_picked_from_the_data() -> None:
    generator = np.random.default_rng(10)
    trials, alarms, unguarded = 300, 0, 0
    pairs = list(itertools.combinations(range(4), 2))
    for _ in range(trials):
        runs = generator.normal(0, 1, (31, 4)) + generator.normal(0, 2, (31, 1))
        order = np.argsort(-runs.mean(axis=0))
        columns = np.stack([runs[:, order[i]] - runs[:, order[j]] for i, j in pairs], axis=1)
        p = [float(each) for each in stats.ttest_1samp(columns, 0).pvalue]
        alarms += min(holm(p)) <= 0.05
        unguarded += min(p[:3]) <= 0.05  # the best against each other run, uncorrected
    assert alarms <= 0.05 * trials + 3.3 * math.sqrt(0.05 * 0.95 * trials)
    assert unguarded > 0.1 * trials


# folds


def test_corrected_resampled_t_by_hand() -> None:
    # mean 0.02, variance 0.0001, factor 1/3 + 1/2: t = 0.02 / sqrt(5/6 * 0.0001) = 2.19089 with 2 degrees of freedom
    found = corrected_resampled_t([0.01, 0.02, 0.03], test_share=0.5)
    t = 0.02 / math.sqrt(5 / 6 * 1e-4)
    assert found.value == pytest.approx(0.02)
    assert found.p == pytest.approx(1 - t / math.sqrt(t * t + 2))  # Student's distribution with 2 degrees of freedom
    margin = 4.302653 * math.sqrt(5 / 6 * 1e-4)
    assert found.interval == pytest.approx((0.02 - margin, 0.02 + margin), rel=1e-6)


def test_without_overlap_it_would_be_the_plain_t_test() -> None:
    differences = np.random.default_rng(11).normal(0.2, 1, 7)
    reference = stats.ttest_1samp(differences, 0)
    assert corrected_resampled_t(differences.tolist(), test_share=1e-12).p == pytest.approx(reference.pvalue, rel=1e-6)
    assert corrected_resampled_t(differences.tolist(), test_share=1 / 6).p > reference.pvalue


def test_folds_without_any_spread() -> None:
    assert corrected_resampled_t([0.0, 0.0, 0.0], test_share=0.5).p == 1.0
    assert corrected_resampled_t([0.5, 0.5, 0.5], test_share=0.5).p == 0.0
