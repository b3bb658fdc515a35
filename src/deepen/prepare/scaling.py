"""Number columns as inputs of a network: the shape of a standard normal, learned from the training rows.

Where it is asked for, the columns are whitened after that, together.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from deepen.core.errors import OptionError

NUM_QUANTILES = 200
MOST = 0.01  # of the ranks that one value may take up, so that a heap of zeros leaves room for the rest
LIMIT = 4.0  # no input is further from 0 than this
MOST_WHITENED = 1_024  # inputs; the matrix of more would be larger than the tables it serves
EPSILON = 0.01  # added to the variances of whitened inputs, which are near 1: columns that repeat others stay small


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


def learn_whitening(numbers: np.ndarray, is_measure: np.ndarray) -> dict[str, Any]:
    """What `whitened` needs, JSON-able: mean and covariance of the inputs that are measures.

    numbers     [N, F] float32, scaled
    is_measure  [F] bool; the others say what is missing, and are left as they are
    Raises OptionError if there are more than 1,024 of them.
    """
    import torch

    from deepen.ops.whitening import spectrum
    from deepen.prepare.packed import packed

    count = int(is_measure.sum())
    if count > MOST_WHITENED:
        raise OptionError(
            f"--columns.whiten: expected at most {MOST_WHITENED:,} inputs to whiten, but there are {count:,}; leave "
            "columns out, or do not whiten."
        )
    found = spectrum(torch.from_numpy(numbers[:, is_measure]))
    arrays = {"mean": found.mean, "directions": found.directions, "variances": found.variances}
    return {name: packed(array.numpy()) for name, array in arrays.items()} | {"rest": found.rest}


def whitened(numbers: np.ndarray, is_measure: np.ndarray, state: dict[str, Any]) -> np.ndarray:
    """The inputs with those that are measures uncorrelated and of variance near 1: ZCA, so each stays near itself.

    numbers  [N, F] float32
    returns  [N, F] float32; no measure is further from 0 than 4
    """
    import torch

    from deepen.ops.whitening import Spectrum, zca_whitened
    from deepen.prepare.packed import unpacked

    parts = (torch.from_numpy(unpacked(state[name])) for name in ("mean", "directions", "variances"))
    out = numbers.copy()
    data = torch.from_numpy(numbers[:, is_measure])
    found = zca_whitened(data, Spectrum(*parts, state["rest"]), epsilon=EPSILON)  # type: ignore[misc]
    out[:, is_measure] = found.clamp(-LIMIT, LIMIT).numpy()
    return out


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
