"""Columns that tell the target by themselves: a copy of it, or an order of the file that gives it away."""

from __future__ import annotations

import numpy as np

SUSPICIOUS = 0.999
ORDERED = 0.95


def telling(values: np.ndarray, target: np.ndarray, *, is_class: bool) -> float:
    """How well one column alone orders the target, from 0.5 (not at all) to 1 (exactly), whatever the direction.

    values   [N] float, NaN rows are left out
    target   [N] class numbers, or numbers to predict
    Two classes: the area under the ROC curve. More: the share of rows whose class is that of most rows of the same
    value if there are few values, else of stretches without a change of class. Numbers: 0.5 + |Spearman's rank
    correlation| / 2.
    """
    known = np.isfinite(values)
    values, target = values[known], target[known]
    if len(values) < 20 or len(np.unique(values)) < 2 or len(np.unique(target)) < 2:
        return 0.5
    if not is_class:
        return 0.5 + abs(_correlation(_ranks(values), _ranks(target))) / 2
    if len(np.unique(target)) == 2:
        area = _area(values, target == target.max())
        return max(area, 1 - area)
    return _purity(values, target.astype(np.int64))


def telling_category(codes: np.ndarray, target: np.ndarray, *, is_class: bool) -> float:
    """The same for a column of categories, each put at its rows' mean target; 0.5 if they have few rows each.

    codes    [N] int64 from 0
    """
    counts = np.bincount(codes)
    if (counts > 0).sum() * 10 > len(codes):
        return 0.5
    if is_class and len(np.unique(target)) > 2:
        return _purity(codes.astype(np.float64), target.astype(np.int64))
    means = np.bincount(codes, weights=target.astype(np.float64)) / np.maximum(counts, 1)
    return telling(means[codes], target, is_class=is_class)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0, equal values sharing the middle of theirs."""
    distinct, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    del distinct
    ends = np.cumsum(counts)
    return ((ends - counts + ends - 1) / 2)[inverse]


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first, second)[0, 1])


def _area(values: np.ndarray, is_second: np.ndarray) -> float:
    """The probability that a row of the second class has the larger value; ties count half."""
    ranks = _ranks(values)
    num_second = int(is_second.sum())
    num_first = len(values) - num_second
    return float((ranks[is_second].sum() - num_second * (num_second - 1) / 2) / (num_first * num_second))


def _purity(values: np.ndarray, classes: np.ndarray) -> float:
    distinct, inverse = np.unique(values, return_inverse=True)
    if len(distinct) * 10 <= len(values):
        table = np.zeros((len(distinct), classes.max() + 1))
        np.add.at(table, (inverse, classes), 1)
        return float(table.max(axis=1).sum() / len(values))
    ordered = classes[np.lexsort((classes, values))]
    changes = int((ordered[1:] != ordered[:-1]).sum())
    return 1 - (changes - (len(np.unique(classes)) - 1)) / len(values)
