from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from deepen.metrics.binary import average_precision, precision_recall_points, roc_auc, roc_points


@pytest.mark.parametrize("levels", [2, 7, 1000])  # few levels: many ties
def test_areas_equal_scikit_learn(levels: int):
    generator = np.random.default_rng(levels)
    scores = generator.integers(levels, size=211) / levels
    positive = generator.random(211) < 0.2 + 0.6 * scores
    assert roc_auc(positive, scores) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)
    assert average_precision(positive, scores) == pytest.approx(average_precision_score(positive, scores), abs=1e-12)


def test_by_hand():
    # Ranked + - + -: of the 4 pairs 3 are in order; precision 1 at recall 1/2 and 2/3 at recall 1.
    positive, scores = np.array([True, False, True, False]), np.array([0.9, 0.8, 0.7, 0.1])
    assert roc_auc(positive, scores) == 0.75
    assert average_precision(positive, scores) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_what_is_not_defined_is_nan_and_not_a_number():
    scores = np.array([0.1, 0.2, 0.3])
    assert math.isnan(roc_auc(np.array([True, True, True]), scores))
    assert math.isnan(roc_auc(np.array([False, False, False]), scores))
    assert math.isnan(average_precision(np.array([False, False, False]), scores))
    assert math.isnan(roc_auc(np.array([True, False, True]), np.array([0.1, np.nan, 0.3])))


def test_curves_end_where_they_must_and_stay_drawable():
    generator = np.random.default_rng(0)
    scores, positive = generator.random(5003), generator.random(5003) < 0.3
    points = roc_points(positive, scores)
    assert points[0] == (0.0, 0.0)
    assert points[-1] == (1.0, 1.0)
    assert len(points) <= 200
    assert precision_recall_points(positive, scores)[-1] == pytest.approx((1.0, positive.mean()))
