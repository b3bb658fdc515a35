from __future__ import annotations

import numpy as np
import pytest

from deepen.metrics.confusion import balanced_accuracy, confused_pairs, macro_f1, most_confused, per_class

COUNTS = np.array([[3, 1, 0], [0, 2, 4], [0, 0, 0]])  # the third class never truly occurs


def test_per_class_by_hand():
    first, second, third = per_class(COUNTS)
    assert (first.precision, first.recall, first.support) == (1.0, 0.75, 4)
    assert first.f1 == pytest.approx(2 * 1 * 0.75 / 1.75)
    assert (second.precision, second.recall) == pytest.approx((2 / 3, 1 / 3))
    assert (third.precision, third.recall, third.f1, third.support, third.answered) == (0, 0, 0, 0, 4)


def test_averages_by_hand():
    assert balanced_accuracy(COUNTS) == pytest.approx((0.75 + 1 / 3) / 2)
    assert macro_f1(COUNTS) == pytest.approx((6 / 7 + 4 / 9 + 0) / 3)


def test_pairs_are_the_mistakes_only_most_frequent_first():
    assert confused_pairs(COUNTS, 10) == [(1, 2, 4), (0, 1, 1)]
    assert confused_pairs(COUNTS, 1) == [(1, 2, 4)]
    assert confused_pairs(np.diag([3, 5]), 10) == []


def test_most_confused_counts_mistakes_to_and_from():
    assert most_confused(COUNTS, 2).tolist() == [1, 2]
