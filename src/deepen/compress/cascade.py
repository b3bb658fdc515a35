"""Thresholds of a cascade: a sample goes on to the next run where the run before it is not sure enough.

Run i answers a sample if its confidence, the probability of the class that it answers, is above its threshold t[i];
else the next run is asked. The last one answers whatever reaches it.

    answered by i   where c[i] > t[i] and c[j] <= t[j] for all j < i

At threshold 0 a run answers all that it is asked, at 1 nothing.

How much a cascade loses is known from few samples: those on which its answer and the last run's are not both right or
both wrong. A wish about accuracy therefore counts as kept where the loss on the samples at hand and one standard error
of it stay within the wish (Breiman et al. 1984, Classification and Regression Trees, section 3.4.3, for the rule).

    d = right[by] - right[last],    mean(d) - sqrt((mean(d^2) - mean(d)^2) / n) >= wished accuracy - mean(right[last])

Source: Viola and Jones 2001; Goodfellow, Bengio and Courville, Deep Learning, section 12.1.5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from deepen.core.errors import OptionError
from deepen.engine.task import SharedOutputs

CELLS = 200_000  # combinations of thresholds that are tried: of two runs every one that differs up to this many samples
EXACT = 1e-12
ACCURACY = "-0.2%"
_ACCURACY = re.compile(r"\s*([+-]?)(\d+(?:\.\d+)?)(%?)\s*")


@dataclass(frozen=True)
class Wish:
    """What a cascade shall keep to.

    accuracy    at least this: "93%" or "0.93", or "-0.2%": the last run's, changed by that part of itself
    cost_share  the mean cost of a sample, at most this part of the last run's alone; the most accurate is taken then
    """

    accuracy: str | None = None
    cost_share: float | None = None
    flags: tuple[str, str] = ("--accuracy", "--cost-share")

    def __post_init__(self) -> None:
        if self.accuracy is not None and self.cost_share is not None:
            raise OptionError(f"{self.flags[0]} and {self.flags[1]} are two wishes; leave one out.")
        if self.cost_share is not None and not self.cost_share > 0:
            raise OptionError(f"{self.flags[1]}: expected a part of the last run's cost, but is {self.cost_share!r}.")
        self.least(1.0)

    def least(self, of_last: float) -> float:
        """The accuracy that is wished for where the last run's is this one."""
        return least_accuracy(self.accuracy or ACCURACY, of_last=of_last, flag=self.flags[0])


@dataclass(frozen=True)
class Operation:
    """What thresholds come to on the samples they were chosen on.

    thresholds  one for each run but the last
    accuracy    share of right answers
    cost        mean of a sample, in the unit of the costs given
    """

    thresholds: tuple[float, ...]
    accuracy: float
    cost: float


def least_accuracy(text: str, *, of_last: float, flag: str = "--accuracy") -> float:
    """The accuracy that is wished for, as a share. Raises OptionError for what is none.

    >>> round(least_accuracy("-0.2%", of_last=0.9), 4)
    0.8982
    """
    found = _ACCURACY.fullmatch(text)
    if found is None or (found[1] and not found[3]):
        raise OptionError(f"{flag} {text!r}: expected one such as 93%, 0.93, or -0.2% against the last run's.")
    value = float(found[2]) / (100 if found[3] else 1)
    if found[1]:
        return of_last * (1 + value if found[1] == "+" else 1 - value)
    if value > 1:
        raise OptionError(f"{flag} {text!r}: expected at most 1, or 100%.")
    return value


def is_of_classes(task: Any) -> bool:
    """Whether a task's outputs are the logits of classes of which one is right.

    A task says so by how its runs are combined: of such logits, by the mean of their softmax.
    """
    if not isinstance(task, SharedOutputs) or len(task.terms.labels) < 2:
        return False
    few = torch.arange(len(task.terms.labels), dtype=torch.float64)
    sides = [few.sin()[None] * 2, few.cos()[None] + 1]
    mean = (sides[0].softmax(1) + sides[1].softmax(1)) / 2
    return torch.allclose(task.combine(sides, [0.5, 0.5]).double().softmax(1), mean, atol=1e-4)


def answered_by(confidences: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """[n] the number of the run that answers each sample.

    confidences  [M - 1, n] of each run but the last; NaN is not sure
    thresholds   M - 1
    """
    sure = np.concatenate([confidences > np.array(thresholds)[:, None], np.ones((1, confidences.shape[1]), bool)])
    return sure.argmax(0)


def operation(
    confidences: np.ndarray, right: np.ndarray, costs: Sequence[float], thresholds: Sequence[float]
) -> Operation:
    """What given thresholds come to; shapes as in `choose`."""
    by = answered_by(confidences, thresholds)
    accuracy = float(right[by, np.arange(len(by))].mean())
    return Operation(tuple(thresholds), accuracy, float(np.cumsum(costs)[by].mean()))


def choose(
    confidences: np.ndarray, right: np.ndarray, costs: Sequence[float], wish: Wish, *, whole: float | None = None
) -> Operation:
    """The cheapest thresholds that are accurate enough, or the most accurate ones that are cheap enough.

    confidences  [M - 1, n] in (0, 1], of each run but the last
    right        [M, n] bool, whether each run's answer is the right one
    costs        M, of asking each run for one sample, in any unit, positive
    whole        what the wish's cost share is a part of; default: the last run's

    Of two runs all thresholds are tried; of M of them, for each run about 200,000 ^ (1 / (M - 1)) that part the samples
    evenly, in all combinations.
    Raises OptionError where no thresholds keep to the wish.
    """
    assert right.shape == (len(confidences) + 1, confidences.shape[1]) and len(costs) == len(right)
    cuts = [_cuts(each, max(3, int(CELLS ** (1 / len(confidences))))) for each in confidences]
    accuracy, errors, cost = _tables(confidences, right, [each / (whole or costs[-1]) for each in costs], cuts)
    if wish.cost_share is not None:
        fit = cost <= wish.cost_share + EXACT
        order = (cost, -accuracy)
    else:
        fit = accuracy - errors >= wish.least(float(right[-1].mean())) - EXACT
        order = (-accuracy, cost)
    if not fit.any():
        raise OptionError(_unmet(wish, accuracy - errors, cost))
    places = np.flatnonzero(fit)
    order = [each.ravel()[places].round(12) for each in order]  # the last one counts first
    best = np.unravel_index(places[np.lexsort(order)[0]], fit.shape)
    thresholds = [float(own[index]) for own, index in zip(cuts, best, strict=True)]
    return operation(confidences, right, costs, thresholds)


def _tables(
    confidences: np.ndarray, right: np.ndarray, costs: Sequence[float], cuts: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of all combinations of thresholds, each with one dimension for each run but the last: accuracy, the standard
    error of its difference from the last run's, and cost.

    A sample is counted once in a cell by how many cuts lie below each confidence; sums over the cells up to a place are
    then what goes on at the thresholds there.
    """
    count = confidences.shape[1]
    shape = tuple(len(own) for own in cuts)
    bins = [np.searchsorted(own, each, side="left") for own, each in zip(cuts, confidences, strict=True)]
    better, apart, cost = np.zeros(shape), np.zeros(shape), np.full(shape, float(costs[0]))
    for number in range(len(confidences)):
        own = slice(number + 1)
        wide = (*shape[own], *([1] * (len(shape) - number - 1)))
        gain = right[number].astype(np.float64) - right[-1]
        for held, weights in ((better, gain), (apart, gain**2)):
            on = _going_on(bins[own], shape[own], weights)
            held += (on[..., -1:] - on).reshape(wide) / count
        cost += _going_on(bins[own], shape[own], np.ones(count)).reshape(wide) * costs[number + 1] / count
    errors = np.sqrt(np.maximum(apart - better**2, 0) / count)
    return float(right[-1].mean()) + better, errors, cost


def _going_on(bins: Sequence[np.ndarray], shape: tuple[int, ...], weights: np.ndarray) -> np.ndarray:
    """The sum of the weights of those samples that no run is sure of, at each combination of thresholds."""
    cells = np.ravel_multi_index(tuple(bins), shape)
    sums = np.bincount(cells, weights.astype(np.float64), int(np.prod(shape))).reshape(shape)
    for axis in range(len(shape)):
        sums = sums.cumsum(axis)
    return sums


def _cuts(confidences: np.ndarray, most: int) -> np.ndarray:
    """0, places between neighbouring confidences, and 1: at most so many, with as many samples between any two."""
    values = np.sort(confidences)
    between = np.flatnonzero(np.diff(values)) if len(values) > 1 else np.zeros(0, np.int64)
    if len(between) > most - 2:
        wanted = np.linspace(0, len(values) - 1, most)[1:-1]
        between = np.unique(between[np.searchsorted(between, wanted).clip(max=len(between) - 1)])
    return np.unique(np.concatenate([[0.0], (values[between] + values[between + 1]) / 2, [1.0]]))


def _unmet(wish: Wish, accuracy: np.ndarray, cost: np.ndarray) -> str:
    if wish.cost_share is not None:
        return (
            f"{wish.flags[1]} {wish.cost_share:g}: what answers first takes {cost.min():.3f} alone; state more, or "
            "begin with something cheaper."
        )
    return (
        f"{wish.flags[0]} {wish.accuracy or ACCURACY}: the best that can be relied on here by validation is "
        f"{accuracy.max():.4f}."
    )
