"""K29: time that only moves forward."""

from __future__ import annotations

import time

from deepen.core.clock import Stopwatch


def test_it_goes_on_from_earlier_sittings(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch = Stopwatch(12.5)
    now[0] += 2.25
    assert watch.seconds() == 14.75
    assert Stopwatch().seconds() == 0.0


def test_setting_the_wall_clock_does_not_move_it(monkeypatch):
    watch = Stopwatch()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    first = watch.seconds()
    assert 0 <= first <= watch.seconds() < 60
