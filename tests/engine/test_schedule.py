"""Schedules at values worked out by hand."""

from __future__ import annotations

import itertools
import math

import pytest

from deepen.engine.options import ScheduleOptions
from deepen.engine.schedule import factor


@pytest.mark.parametrize(
    ("kind", "progress", "expected"),
    [
        ("constant", 0.5, 1.0),
        ("constant", 1.0, 1.0),
        ("cosine", 0.2, 1.0),
        ("cosine", 0.6, 0.1 + 0.9 * 0.5),
        ("cosine", 1.0, 0.1),
        ("one-cycle", 0.6, 1 - 0.9 * 0.5),
        ("one-cycle", 1.0, 0.1),
    ],
)
def test_by_hand(kind, progress, expected):
    assert factor(ScheduleOptions(kind=kind, warm_up=0.2, final=0.1), progress) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["constant", "cosine", "one-cycle"])
def test_warm_up_rises_evenly_from_almost_nothing_and_meets_the_rest(kind):
    options = ScheduleOptions(kind=kind, warm_up=0.25)
    values = [factor(options, p / 100) for p in range(26)]
    steps = [b - a for a, b in itertools.pairwise(values)]
    assert 0 < values[0] < 0.011
    assert all(math.isclose(step, steps[0], rel_tol=1e-6) for step in steps)
    assert values[-1] == pytest.approx(1.0)


def test_no_schedule_leaves_zero_and_one():
    for kind in ("constant", "cosine", "one-cycle"):
        for warm_up in (0.0, 0.1, 0.9):
            options = ScheduleOptions(kind=kind, warm_up=warm_up)
            assert all(0 <= factor(options, p / 997) <= 1 + 1e-12 for p in range(998))
