"""Whether one run is better than another on the same samples, or only luckier: intervals and tests of paired figures.

Two runs that answer the same samples are right and wrong on much the same ones, so the spread of their difference is
smaller than their own intervals suggest; everything here looks at differences sample by sample, or fold by fold.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from deepen.core import rng
from deepen.metrics.resample import DRAWS, LEVEL, MOST_NUMBERS, Interval, percentiles
from deepen.metrics.rows import PerRow

MOST_ENUMERATED = 16  # differences that are not zero, up to which every one of the 2 ** n sign patterns is tried
MOST_FLIPS, LEAST_FLIPS = 9_999, 999
MOST_SIGNS = 100_000_000  # flips times samples: a second or two
CHUNK = 4_000_000  # signs held at once

Method = Literal[
    "McNemar, exact",
    "sign flips, all of them",
    "sign flips, drawn",
    "corrected resampled t",
]


@dataclass(frozen=True)
class Difference:
    """How far one run is ahead of another in one figure, and whether that could be chance.

    value     of the first minus that of the second
    interval  95 %: where the difference would lie on other samples (or folds) drawn in the same way; None where it
              cannot be said
    p         the chance of a difference at least this far from zero if neither run were better; both directions count
    method    the test that gave p
    """

    value: float
    interval: Interval | None
    p: float
    method: Method


def paired_differences(
    figures: Sequence[PerRow], pairs: Sequence[tuple[int, int]], *, seed: int = 0
) -> list[Difference]:
    """The difference of each pair of runs in one figure, over the same samples in the same order.

    figures  one for each of R runs, each over n samples
    pairs    (i, j) of runs, for the figure of i minus that of j

    Shares such as accuracy: McNemar's exact test, and Tango's score interval, which does not shrink to a point where
    the runs never disagree. Other means: the sign-flip test, and the paired percentile bootstrap. A root of a mean
    (rmse) is tested by the mean below it, and its interval is that of the difference of the roots.
    """
    assert len({len(each.values) for each in figures}) == 1, "runs with different numbers of samples"
    if figures[0].is_share:
        return [_of_shares(figures[i].values > 0.5, figures[j].values > 0.5) for i, j in pairs]
    values = np.stack([each.values for each in figures], axis=1)  # [n, R]
    found = [each.figure() for each in figures]
    means = _resampled_means(values, seed=seed)  # [draws, R]
    roots = np.sqrt(means) if figures[0].is_root else means
    tests = sign_flip_tests(np.stack([values[:, i] - values[:, j] for i, j in pairs], axis=1), seed=seed)
    return [
        Difference(found[i] - found[j], percentiles(roots[:, i] - roots[:, j]), p, method)
        for (i, j), (p, method) in zip(pairs, tests, strict=True)
    ]


def mcnemar(only_first: int, only_second: int) -> float:
    """The p-value of the exact test that two runs are equally often right.

        p = min(1, 2 P(X <= min(b, c))),    X ~ Binomial(b + c, 1/2)

    only_first   b, the samples that the first alone gets right
    only_second  c, those that the second alone gets right

    Samples on which both are right, or both wrong, say nothing about which is better. Source: McNemar 1947; the exact
    form, for instance, Fleiss, Levin and Paik, Statistical Methods for Rates and Proportions, 3rd ed., section 13.1.

    >>> mcnemar(1, 5)  # 2 (1 + 6) / 64
    0.21875
    """
    from scipy.special import bdtr

    if only_first + only_second == 0:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), only_first + only_second, 0.5)))


def tango_interval(only_first: int, only_second: int, count: int, *, level: float = LEVEL) -> Interval:
    """The score interval of the difference of two shares over the same n samples.

        all d with |b - c - n d| <= z sqrt(n (2 q(d) + d (1 - d))),

    where q(d) is the most likely chance of "only the second is right" if the difference is d: the larger root of
    2 n q^2 + (d (2n - b + c) - b - c) q - c d (1 - d) = 0.

    Source: Tango 1998.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtri

    b, c, n, z = only_first, only_second, count, float(ndtri((1 + level) / 2))
    assert min(b, c) >= 0 and b + c <= n and n > 0

    def beyond(d: float) -> float:
        linear = d * (2 * n - b + c) - b - c
        q = (math.sqrt(max(0.0, linear**2 + 8 * n * c * d * (1 - d))) - linear) / (4 * n)
        return (b - c - n * d) - math.copysign(z, (b - c) / n - d) * math.sqrt(max(0.0, n * (2 * q + d * (1 - d))))

    middle, tiny = (b - c) / n, 1e-12
    low = -1.0 if middle - tiny <= -1 or beyond(-1 + tiny) <= 0 else brentq(beyond, -1 + tiny, middle - tiny)
    high = 1.0 if middle + tiny >= 1 or beyond(1 - tiny) >= 0 else brentq(beyond, middle + tiny, 1 - tiny)
    return float(low), float(high)  # type: ignore[arg-type]


def sign_flip_tests(differences: np.ndarray, *, seed: int = 0) -> list[tuple[float, Method]]:
    """The p-value of each column's mean under "the two runs could be exchanged on any sample", and how it was found.

        p = share of sign patterns s in {-1, 1}^n with |sum s[i] d[i]| >= |sum d[i]|

    differences  [n, P] float

    With few differences that are not zero all patterns are tried. Else they are drawn, the same for every column, and
    p = (1 + hits) / (1 + draws), so that it is never zero and never too small on the average.
    Sources: Fisher 1935, section 21; Phipson and Smyth 2010 for the drawn p.
    """
    exact = np.count_nonzero(differences, axis=0) <= MOST_ENUMERATED
    found: list[tuple[float, Method]] = [(1.0, "sign flips, all of them")] * differences.shape[1]
    for column in np.flatnonzero(exact):
        found[column] = (_enumerated(differences[:, column]), "sign flips, all of them")
    for column, p in zip(np.flatnonzero(~exact), _drawn(differences[:, ~exact], seed=seed), strict=True):
        found[column] = (p, "sign flips, drawn")
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of several tests, each made larger so that the chance of even one false alarm stays below a level.

        q[(k)] = max over j <= k of min(1, (m - j + 1) p[(j)]),    p[(1)] <= ... <= p[(m)]

    Holds whatever the tests have to do with each other. Source: Holm 1979.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def corrected_resampled_t(differences: Sequence[float], *, test_share: float) -> Difference:
    """The mean difference over the folds of a cross-validation.

        t = mean(d) / sqrt((1/K + n_test / n_train) var(d)),    K - 1 degrees of freedom

    differences  K numbers: the first run's figure minus the second's, on each fold
    test_share   n_test / n_train of one fold, 1 / (K - 1) for K equal folds

    The trainings of the folds share most of their samples, so their differences vary less than independent ones would,
    and a plain t-test raises far too many false alarms; the second term makes up for it.
    Source: Nadeau and Bengio 2003, section 4.1.
    """
    from scipy.special import stdtr, stdtrit

    count = len(differences)
    assert count >= 2 and test_share > 0
    mean = float(np.mean(differences))
    error = math.sqrt((1 / count + test_share) * float(np.var(differences, ddof=1)))
    margin = float(stdtrit(count - 1, (1 + LEVEL) / 2)) * error
    statistic = abs(mean) / error if error > 0 else math.inf if mean else 0.0
    p = 2 * float(stdtr(count - 1, -statistic))
    return Difference(mean, (mean - margin, mean + margin), p, "corrected resampled t")


def _of_shares(first: np.ndarray, second: np.ndarray) -> Difference:
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    interval = tango_interval(only_first, only_second, len(first))
    value = (only_first - only_second) / len(first)
    return Difference(value, interval, mcnemar(only_first, only_second), "McNemar, exact")


def _resampled_means(values: np.ndarray, *, seed: int) -> np.ndarray:
    """[draws, R]: the means over samples drawn with replacement, the same samples for every run."""
    count = len(values)
    draws = max(100, min(DRAWS, MOST_NUMBERS // max(values.size, 1)))
    generator = rng.generator(seed, "paired bootstrap")
    return np.array([values[generator.integers(count, size=count)].mean(axis=0) for _ in range(draws)])


def _enumerated(differences: np.ndarray) -> float:
    held = differences[differences != 0]
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(held))))  # [2 ** n, n]
    return float(np.mean(_reaches(signs @ held, held.sum(), np.abs(held).sum())))


def _drawn(differences: np.ndarray, *, seed: int) -> list[float]:
    count, columns = differences.shape
    if columns == 0:
        return []
    draws = max(LEAST_FLIPS, min(MOST_FLIPS, MOST_SIGNS // count))
    generator = rng.generator(seed, "sign flips")
    sums, scale = differences.sum(axis=0), np.abs(differences).sum(axis=0)
    hits = np.zeros(columns, np.int64)
    for start in range(0, draws, max(1, CHUNK // count)):
        rows = min(draws - start, max(1, CHUNK // count))
        signs = 2.0 * generator.integers(0, 2, (rows, count), dtype=np.int8) - 1
        hits += _reaches(signs @ differences, sums, scale).sum(axis=0)
    return [(1 + int(each)) / (1 + draws) for each in hits]


def _reaches(sums: np.ndarray, found: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Whether each sum is as far from zero as the one found; those that rounding alone sets apart are."""
    return np.abs(sums) >= np.abs(found) - 1e-12 * scale
