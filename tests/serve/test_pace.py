"""When a worker will be free, worked out by hand."""

from __future__ import annotations

import pytest

from deepen.serve.pace import MARGIN_SECONDS, SMOOTHING, Pace


def test_before_anything_is_known_the_measured_rate_counts():
    pace = Pace(50.0)
    pace.sent(5, 100.0)  # 5 rows at 50 a second: free at 100.1
    assert pace.seconds_left(3, 100.0) == pytest.approx(0.1 - MARGIN_SECONDS)
    assert pace.seconds_left(3, 100.2) < 0


def test_what_was_seen_counts_and_other_sizes_are_in_proportion():
    pace = Pace(50.0)
    pace.sent(8, 0.0)
    pace.answered(1.0, preparing=0.08, computing=0.4)
    assert pace.computing(8) == pytest.approx(0.4) and pace.computing(6) == pytest.approx(0.3)
    assert pace.preparing(7) == pytest.approx(7 * SMOOTHING * 0.01)
    pace.sent(8, 1.0)
    pace.answered(2.0, preparing=0.08, computing=0.9)
    assert pace.computing(8) == pytest.approx(0.4 + SMOOTHING * 0.5)


def test_a_batch_sent_ahead_begins_when_the_one_before_it_ends():
    pace = Pace(10.0)
    pace.sent(2, 0.0)  # until 0.2
    pace.sent(3, 0.1)  # until 0.5
    assert pace.seconds_left(1, 0.1) == pytest.approx(0.4 - MARGIN_SECONDS)
    pace.answered(0.3, preparing=0.0, computing=0.3)  # later than thought, so 0.15 a row: until 0.3 + 3 x 0.15
    assert pace.seconds_left(1, 0.3) == pytest.approx(0.45 - MARGIN_SECONDS)
    pace.answered(0.7, preparing=0.0, computing=0.4)
    assert pace.seconds_left(1, 0.7) == pytest.approx(-MARGIN_SECONDS)


def test_the_time_of_preparing_is_left_for_it():
    pace = Pace(10.0)
    for _ in range(100):
        pace.sent(4, 0.0)
        pace.answered(0.0, preparing=0.04, computing=0.2)
    pace.sent(4, 0.0)
    start = pace.seconds_left(0, 0.0)
    assert start - pace.seconds_left(6, 0.0) == pytest.approx(6 * 0.01)
