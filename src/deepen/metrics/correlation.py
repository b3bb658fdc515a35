"""How well answered numbers follow the true ones: Pearson's and Spearman's correlation beside the errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from deepen.core import rng
from deepen.metrics.regress import Miss, Regression
from deepen.metrics.resample import DRAWS, MOST_NUMBERS, Interval, percentiles
from deepen.metrics.rows import PerRow

if TYPE_CHECKING:
    from torch import Tensor


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """The linear correlation of two arrays [n], in [-1, 1]; NaN where one of them does not vary.

        sum (x - mean x)(y - mean y) / sqrt(sum (x - mean x)^2 sum (y - mean y)^2)

    Source: Pearson 1896.

    >>> round(pearson(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 7.0])), 4)
    0.9934
    """
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(np.clip((x @ y) / scale, -1, 1)) if scale > 0 else float("nan")


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's correlation of the ranks, ties given the mean of theirs. Source: Spearman 1904."""
    return pearson(ranks(x), ranks(y))


def ranks(x: np.ndarray) -> np.ndarray:
    """Each number's place in ascending order, from 1; equal numbers share the mean of theirs: [n] float64.

    >>> ranks(np.array([5.0, 1.0, 5.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, group, counts = np.unique(x, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[group]


class Correlation:
    """Regression's figures and both correlations; the same samples give the same bits in any order.

    model  the network that was scored last, where a report is to look into it; else None
    """

    def __init__(self) -> None:
        self.model: Any = None
        self.regression = Regression()

    def add(self, predictions: Tensor | np.ndarray, targets: Tensor | np.ndarray, rows: np.ndarray) -> None:
        """Adds a batch: predictions [B] and targets [B] float, rows [B]. Waits for no device."""
        self.regression.add(predictions, targets, rows)

    def state(self) -> dict[str, Tensor]:
        """What was added, as tensors [n] on the CPU."""
        return self.regression.state()

    def merge(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Replaces what is held by the union of all ranks' states, each row once."""
        self.regression.merge(states)

    def result(self) -> dict[str, float]:
        """The figures by name, empty when no sample was added: pearson, spearman, then those of Regression.

        A correlation is left out where the answers or the targets do not vary.
        """
        found = {}
        for name, figure in _CORRELATIONS.items():
            value = figure(*self.regression.pairs()) if len(self.regression.pairs()[0]) else float("nan")
            if np.isfinite(value):
                found[name] = value
        return found | self.regression.result()

    def intervals(self, *, seed: int = 0) -> dict[str, Interval]:
        """95 % bootstrap intervals over samples by name."""
        found = self.result()
        pairs = self.regression.pairs()
        own = {name: _bootstrapped(*pairs, figure, seed) for name, figure in _CORRELATIONS.items() if name in found}
        return own | self.regression.intervals(seed=seed)

    def per_row(self) -> dict[str, PerRow]:
        """Those figures that are a mean over samples or the root of one; a correlation is neither."""
        return self.regression.per_row()

    def worst(self, number: int) -> list[Miss]:
        """The answers furthest off, at most `number`, the worst first."""
        return self.regression.worst(number)


_CORRELATIONS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"pearson": pearson, "spearman": spearman}


def _bootstrapped(
    x: np.ndarray, y: np.ndarray, figure: Callable[[np.ndarray, np.ndarray], float], seed: int
) -> Interval:
    """The percentile bootstrap interval of a figure of pairs; draws in which one side does not vary are passed over."""
    count = len(x)
    draws = max(100, min(DRAWS, MOST_NUMBERS // (10 * count)))
    generator = rng.generator(seed, "bootstrap")
    drawn = (generator.integers(count, size=count) for _ in range(draws))
    figures = np.array([figure(x[rows], y[rows]) for rows in drawn])
    return percentiles(figures[np.isfinite(figures)]) if np.isfinite(figures).any() else (-1.0, 1.0)
