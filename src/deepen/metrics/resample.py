"""How sure a figure is, given that other samples could have been drawn: 95 % intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from deepen.core import rng

LEVEL = 0.95
DRAWS = 1000
MOST_NUMBERS = 50_000_000  # draws times samples: about a second

Interval = tuple[float, float]


def binomial_interval(successes: int, trials: int, *, level: float = LEVEL) -> Interval:
    """The exact interval of a share such as accuracy: all p under which this count is not too unlikely.

    Unlike the bootstrap's it does not shrink to a point when every answer was right (20 of 20 gives 0.83 to 1).
    Source: Clopper and Pearson 1934.
    """
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, trials - successes + 1, tail))
    high = 1.0 if successes == trials else float(betaincinv(successes + 1, trials - successes, 1 - tail))
    return low, high


def bootstrap_mean(
    values: np.ndarray, *, seed: int = 0, level: float = LEVEL, after: Callable[[np.ndarray], np.ndarray] | None = None
) -> Interval:
    """The percentile bootstrap interval of after(mean(values)), such as a root mean square.

    values   [n] float, one per sample
    after    applied to the [draws] resampled means; none is the mean itself

    Source: Efron 1979. The same seed and values give the same interval.
    """
    count = len(values)
    draws = max(100, min(DRAWS, MOST_NUMBERS // max(count, 1)))
    generator = rng.generator(seed, "bootstrap")
    means = np.array([values[generator.integers(count, size=count)].mean() for _ in range(draws)])
    return percentiles(after(means) if after else means, level=level)


def bootstrap_counts(
    counts: np.ndarray, figure: Callable[[np.ndarray], float], *, seed: int = 0, level: float = LEVEL
) -> Interval:
    """The percentile bootstrap interval of a figure of a table of counts, such as macro F1 of a confusion matrix.

    counts   any shape, int: drawing n rows anew is one multinomial draw over the cells that are not empty
    figure   of such a table
    """
    cells = np.flatnonzero(counts)
    total = int(counts.sum())
    generator = rng.generator(seed, "bootstrap")
    drawn = generator.multinomial(total, counts.reshape(-1)[cells] / total, size=DRAWS)
    figures = np.empty(DRAWS)
    table = np.zeros(counts.size, dtype=np.int64)
    for index, draw in enumerate(drawn):
        table[cells] = draw
        figures[index] = figure(table.reshape(counts.shape))
    return percentiles(figures, level=level)


def percentiles(figures: np.ndarray, *, level: float = LEVEL) -> Interval:
    """The middle `level` of the figures, [n] float, as (low, high)."""
    tail = (1 - level) / 2
    with np.errstate(invalid="ignore"):  # an infinite figure has infinite ends
        low, high = np.quantile(figures, [tail, 1 - tail])
    return float(low), float(high)
