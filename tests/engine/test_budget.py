"""Progress: by steps exactly, by the clock whatever the pace does."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deepen.engine import budget
from deepen.engine.options import FitOptions


def test_steps_from_every_unit():
    assert budget.of(FitOptions(epochs=3, batch_size=10), 101).total_steps == 33
    assert budget.of(FitOptions(steps=17), 101).total_steps == 17
    assert budget.of(FitOptions(time="2m"), 101).total_seconds == 120


@pytest.mark.parametrize(
    ("samples", "batch_size", "num_rows"),
    [(1001, 10, 101), (1290, 128, 129), (10_000, 200, 324), (7, 10, 101), (5, 64, 3)],
)
def test_a_budget_of_samples_sees_that_many(samples, batch_size, num_rows):
    """Counted over epochs of near-equal batches, as training cuts them; a step more or less than is needed at most."""
    epoch = [len(part) for part in np.array_split(np.arange(num_rows), budget.steps_per_epoch(num_rows, batch_size))]
    steps = budget.of(FitOptions(samples=samples, batch_size=batch_size), num_rows).total_steps
    assert steps is not None
    seen = np.cumsum(epoch * math.ceil(steps / len(epoch)))
    assert abs(seen[steps - 1] - samples) <= max(epoch)


@pytest.mark.parametrize("pace_change", [0.3, 1.0, 3.0])
def test_by_the_clock_progress_ends_on_time_though_the_pace_changes(pace_change):
    """A simulated clock: steps of 0.01 s, and of another length in the second half."""
    found = budget.Budget(None, 20.0)
    now, step, last = 0.0, 0, 0.0
    while found.progress < 1:
        now += 0.01 * (pace_change if now > 10 else 1.0)
        step += 1
        progress = found.advance(step)
        assert progress >= last
        last = progress
        if found.is_due(step):
            found.plan(step, now)
    assert 19.0 <= now <= 20.6


def test_a_step_longer_than_the_budget_ends_training():
    found = budget.Budget(None, 1.0)
    for step, now in enumerate([0.9, 1.8, 2.7], start=1):
        found.advance(step)
        if found.is_due(step):
            found.plan(step, now)
    assert found.progress == 1.0


def test_state_restores():
    first = budget.Budget(None, 10.0)
    first.plan(3, 0.3)
    first.advance(4)
    second = budget.Budget(None, 10.0)
    second.restore(first.state())
    assert second == first
