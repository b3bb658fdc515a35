"""Number columns as inputs of a network: the shape of a standard normal, learned from the training rows."""

from __future__ import annotations

from typing import Any

import numpy as np

NUM_QUANTILES = 200
MOST = 0.01  # of the ranks that one value may take up, so that a heap of zeros leaves room for the rest
LIMIT = 4.0  # no input is further from 0 than this


def learn_scaling(numbers: np.ndarray) -> dict[str, Any]:
    """What `scaled` needs, JSON-able.

    Columns of three values or more are mapped to a standard normal by their quantiles, which no outlier or skew
    disturbs, a value counting for at most MOST of the rows; others are only centred and divided by their deviation.
    Missing numbers (NaN) are put at the median, and if there are any in training a further input says where.

    numbers  [N] float64 with NaN for missing, at least one finite
    """
    known = numbers[np.isfinite(numbers)]
    state: dict[str, Any] = {"median": float(np.median(known)), "has_missing": len(known) < len(numbers)}
    distinct = np.unique(known)
    if len(distinct) < 3:
        deviation = float(known.std())
        return state | {"mean": float(known.mean()), "deviation": deviation if deviation > 0 else 1.0}
    return state | _normal_map(np.sort(known), distinct)


def scaled(numbers: np.ndarray, state: dict[str, Any]) -> np.ndarray:
    """The inputs of a column: [N, 1] float32, or [N, 2] with 1 where the number is missing."""
    missing = np.isnan(numbers)
    filled = np.where(missing, state["median"], numbers)
    if "points" in state:
        result = np.interp(filled, state["points"], state["normals"])
    else:
        result = (filled - state["mean"]) / state["deviation"]
    columns = [np.clip(result, -LIMIT, LIMIT)]
    if state["has_missing"]:
        columns.append(missing.astype(np.float64))
    return np.stack(columns, axis=1).astype(np.float32)


def width_of(state: dict[str, Any]) -> int:
    """How many inputs the column gives."""
    return 2 if state["has_missing"] else 1


def _normal_map(ordered: np.ndarray, distinct: np.ndarray) -> dict[str, Any]:
    """Points of the map from values to normals; each value stands in the middle of its ranks."""
    first = np.searchsorted(ordered, distinct, side="left")
    last = np.searchsorted(ordered, distinct, side="right")
    weights = np.minimum(last - first, max(len(ordered) * MOST, 1.0))
    ranks = (np.cumsum(weights) - weights / 2) / weights.sum()  # in (0, 1)
    if len(distinct) > NUM_QUANTILES:
        kept = np.unique(np.searchsorted(ranks, np.linspace(0, 1, NUM_QUANTILES)).clip(0, len(distinct) - 1))
        distinct, ranks = distinct[kept], ranks[kept]
    return {"points": distinct.tolist(), "normals": _inverse_normal(ranks).tolist()}


def _inverse_normal(probabilities: np.ndarray) -> np.ndarray:
    """The standard normal's quantiles."""
    import torch

    return torch.special.ndtri(torch.from_numpy(probabilities)).numpy()
