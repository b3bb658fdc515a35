"""The learning-rate range test: the rate rises from far too low to far too high, and the loss says where to train.

Source: Smith, Cyclical Learning Rates for Training Neural Networks, 2017, section 3.3.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from deepen.core.errors import OptionError, TrainingError
from deepen.engine.events import Events, Silent
from deepen.engine.options import FitOptions, ScheduleOptions
from deepen.engine.parameter_groups import Start
from deepen.engine.task import Task
from deepen.engine.training import Training
from deepen.parallel.ranks import Alone
from deepen.prepare.encoded import Encoded

SMOOTHING = 0.9  # of the loss, so that about ten batches count
DIVERGED = 4.0  # times the best smoothed loss: there is nothing to learn beyond
FALL_SHARE = 0.1  # of the fall so far, which stands for a best loss near zero
SKIPPED = 10  # first steps whose losses hardly see the rate, and whose slope is noise


@dataclass(frozen=True)
class RateTest:
    """What a range test saw.

    rates      [n] of each update, rising by the same factor
    losses     [n] mean training loss of each update's batch, before the update
    smoothed   [n] their exponential moving average, corrected for its start
    lowest     the rate at which the smoothed loss is least
    steepest   the rate, before that, at which it falls fastest over the logarithm of the rate
    suggested  a tenth of `lowest`
    diverged   whether the loss rose so far that the test ended early
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    lowest: float
    steepest: float
    suggested: float
    diverged: bool


def find_rate(
    task: Task,
    train: Encoded,
    options: FitOptions,
    *,
    device: torch.device | None = None,
    start: Start | None = None,
    events: Events | None = None,
    least: float = 1e-6,
    most: float = 10.0,
    steps: int = 150,
) -> RateTest:
    """A range test on a network of its own, over real batches, with all else as `options` say.

        rate[i] = least (most / least)^(i / (steps - 1))

    The schedule, the peak rate and the budget of `options` are not read. The test ends early where the loss is not
    finite, or where the smoothed one has risen above its best by three times that; near zero, through which logarithms
    of densities go, by three tenths of its fall so far.

    Raises OptionError for newton, which finds its own length, and TrainingError where not even the first steps are
    finite.
    """
    events = events or Silent()
    training = Training(
        task, train, _budgeted(options, steps), device=device or torch.device("cpu"), ranks=Alone(), start=start
    )
    rates, losses, diverged = [], [], False
    best = math.inf
    try:
        for rate in geometric(least, most, steps):
            loss = _update(training, rate)
            if loss is None:
                diverged = True
                break
            rates.append(rate)
            losses.append(loss)
            events.step(len(rates), len(rates) / steps, None)
            now = smoothed(losses)[-1]
            best = min(best, now)
            if len(rates) > SKIPPED and now - best > (DIVERGED - 1) * max(abs(best), FALL_SHARE * (losses[0] - best)):
                diverged = True
                break
    finally:
        training.close()
        events.done()
    return read(rates, losses, diverged=diverged)


def geometric(least: float, most: float, steps: int) -> list[float]:
    """Rates from least to most, each the same factor above the one before.

    >>> geometric(1.0, 100.0, 3)
    [1.0, 10.0, 100.0]
    """
    return [least * (most / least) ** (index / (steps - 1)) for index in range(steps)]


def smoothed(losses: Sequence[float], decay: float = SMOOTHING) -> list[float]:
    """The exponential moving average of losses, over what an average of ones from zero would be.

        s[i] = a[i] / (1 - decay^(i + 1)),   a[i] = decay a[i - 1] + (1 - decay) loss[i]

    >>> smoothed([2.0, 2.0], decay=0.5)
    [2.0, 2.0]
    """
    average, found = 0.0, []
    for count, loss in enumerate(losses, start=1):
        average = decay * average + (1 - decay) * loss
        found.append(average / (1 - decay**count))
    return found


def read(rates: list[float], losses: list[float], *, diverged: bool) -> RateTest:
    """The rates that a test's losses speak for. Raises TrainingError where there are too few to read anything from."""
    if len(rates) <= SKIPPED:
        raise TrainingError(
            f"the range test: expected a finite loss for {SKIPPED + 1} steps, but it ended after {len(rates)}; "
            "begin at a lower --from-rate."
        )
    curve = smoothed(losses)
    end = min(range(SKIPPED, len(curve)), key=curve.__getitem__)
    slopes = {
        i: after - before for i, (before, after) in enumerate(pairwise(curve)) if SKIPPED <= i < max(end, SKIPPED + 1)
    }
    steepest = rates[min(slopes, key=slopes.__getitem__)] if slopes else rates[end]
    return RateTest(rates, losses, curve, rates[end], steepest, rates[end] / 10, diverged)


def _budgeted(options: FitOptions, steps: int) -> FitOptions:
    if options.optimizer.kind == "newton":
        raise OptionError(
            "--optimizer.kind newton: a range test says nothing of it, as it finds its own length of step."
        )
    constant = ScheduleOptions(kind="constant", warm_up=0.0)
    return dataclasses.replace(options, epochs=None, samples=None, time=None, steps=steps, schedule=constant)


def _update(training: Training, rate: float) -> float | None:
    """The loss of the next batch, after an update at this rate; None where loss or gradient is not finite."""
    rows = training.order()[training.position]
    try:
        training.update(rows, rate=rate)
        training.check_finite()
    except TrainingError:
        return None
    loss = float(training.loss_sum) / max(1, training.loss_count)
    training.loss_sum.zero_()
    training.loss_count = 0
    return loss
