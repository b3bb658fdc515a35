"""Two classes ranked by a score: areas under curves and the curves, ties counted as the definitions ask."""

from __future__ import annotations

import numpy as np

MOST_POINTS = 200


def counts_by_threshold(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives when every sample with a score >= t is answered yes, t falling over the distinct scores.

    positive  [n] bool, the truth
    scores    [n] float, higher is more likely positive
    returns   two arrays [t] int
    """
    distinct, group = np.unique(scores, return_inverse=True)
    hits = np.bincount(group, weights=positive, minlength=len(distinct))[::-1]
    alarms = np.bincount(group, weights=~positive, minlength=len(distinct))[::-1]
    return np.cumsum(hits), np.cumsum(alarms)


def roc_auc(positive: np.ndarray, scores: np.ndarray) -> float:
    """The chance that a positive sample scores above a negative one, ties counted half.

    NaN where a score is, or where one of the two classes is missing. Source: Hanley and McNeil 1982.
    """
    if np.isnan(scores).any() or positive.all() or not positive.any():
        return float("nan")
    hits, alarms = counts_by_threshold(positive, scores)
    return float(np.trapezoid(np.append(0, hits), np.append(0, alarms)) / (hits[-1] * alarms[-1]))


def average_precision(positive: np.ndarray, scores: np.ndarray) -> float:
    """The sum over thresholds of precision times the recall gained there; no interpolation.

    NaN where a score is, or where nothing is positive.
    """
    if np.isnan(scores).any() or not positive.any():
        return float("nan")
    hits, alarms = counts_by_threshold(positive, scores)
    return float(np.sum(np.diff(hits, prepend=0) * hits / (hits + alarms)) / hits[-1])


def roc_points(positive: np.ndarray, scores: np.ndarray) -> list[tuple[float, float]]:
    """(false positive rate, true positive rate) from (0, 0) to (1, 1), thinned to what an eye can tell apart."""
    hits, alarms = counts_by_threshold(positive, scores)
    return _thinned(np.append(0, alarms) / alarms[-1], np.append(0, hits) / hits[-1])


def precision_recall_points(positive: np.ndarray, scores: np.ndarray) -> list[tuple[float, float]]:
    """(recall, precision) with falling threshold, thinned likewise."""
    hits, alarms = counts_by_threshold(positive, scores)
    return _thinned(hits / hits[-1], hits / (hits + alarms))


def _thinned(x: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_POINTS)).round().astype(int))
    return [(float(x[i]), float(y[i])) for i in keep]
