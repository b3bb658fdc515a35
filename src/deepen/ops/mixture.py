"""How much each of several models counts in their linear mixture, from text that none of them was trained on."""

from __future__ import annotations

import numpy as np

MOST_ITERATIONS = 10_000
TOLERANCE = 1e-8  # nats a token by which the mixture may stay below the best one


def mixture_weights(log_probabilities: np.ndarray, *, tolerance: float = TOLERANCE) -> np.ndarray:
    """The weights of the linear mixture under which a text is the most likely.

        maximize (1 / n) sum over i of ln sum over m of w[m] p[m, i],    w >= 0,  sum over m of w[m] = 1
        w[m] <- (1 / n) sum over i of w[m] p[m, i] / (sum over k of w[k] p[k, i])

    log_probabilities  [M, n] ln p[m, i] of the same n tokens by each model; -inf is allowed where another has more
    returns            [M] float64, adding up to 1

    The objective is concave, so the fixed point of this expectation maximization is the best mixture wherever models
    differ. It ends when the largest (1 / n) sum p[m, i] / mixture[i] is near 1: its logarithm bounds what is missing.
    Source: Jelinek and Mercer 1980; the bound is that of Cover 1984 for the same problem.

    >>> mixture_weights(np.log([[0.9, 0.9, 0.1], [0.1, 0.1, 0.9]])).round(3).tolist()
    [0.708, 0.292]
    """
    logs = np.asarray(log_probabilities, np.float64)
    assert logs.ndim == 2 and logs.shape[1] > 0 and not np.isnan(logs).any()
    most = logs.max(0)
    assert np.isfinite(most).all(), "a token has the probability 0 in every model"
    p = np.exp(logs - most)
    weights = np.full(len(p), 1 / len(p))
    for _ in range(MOST_ITERATIONS):
        gain = (p / (weights @ p)).mean(1)  # [M]
        weights = weights * gain
        weights /= weights.sum()
        if np.log(gain.max()) <= tolerance:
            break
    return weights


def mixed(log_probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """ln of the weighted mean of probabilities: [M, n] and [M] -> [n]."""
    logs = np.asarray(log_probabilities, np.float64)
    used = np.asarray(weights) > 0
    parts = logs[used] + np.log(np.asarray(weights)[used])[:, None]
    most = parts.max(0)
    return most + np.log(np.exp(parts - most).sum(0))
