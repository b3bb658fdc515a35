"""Marginals and the best path of a linear chain of tags in float64, without torch.

    s(y) = start[y[0]] + sum over t of e[t, y[t]] + sum over t > 0 of trans[y[t - 1], y[t]] + end[y[n - 1]]
    p(y) = exp(s(y)) / sum over all y' of exp(s(y'))

    emissions    e      [B, T, K]; what stands behind a row's end is not read
    mask                [B, T] bool, True up to the end of each row and nowhere behind it
    transitions  trans  [K, K], from row to column
    start, end          [K]

The recursions are those of ops/chain.py, where their sources stand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FORBIDDEN = -1e4  # the score of what is not allowed, as in nn/crf.py: it has no weight in any sum
MOST_PAIRS = 1 << 22  # numbers [rows, K, K] that are in memory at once


@dataclass(frozen=True)
class Scores:
    """What stands between tags, before the first and behind the last."""

    transitions: np.ndarray
    start: np.ndarray
    end: np.ndarray

    def within(self, allowed: np.ndarray) -> Scores:
        """The same with what is not allowed at a score that no sum sees.

        allowed  [K + 2, K + 2] bool, [i, j]: whether j may follow i; K stands for the start and K + 1 for the end
        """
        k = len(self.start)
        return Scores(
            np.where(allowed[:k, :k], self.transitions, FORBIDDEN),
            np.where(allowed[k, :k], self.start, FORBIDDEN),
            np.where(allowed[:k, k + 1], self.end, FORBIDDEN),
        )


def no_scores(num_tags: int) -> Scores:
    """0 everywhere: a chain that allows, and no more."""
    return Scores(np.zeros((num_tags, num_tags)), np.zeros(num_tags), np.zeros(num_tags))


def marginals(emissions: np.ndarray, mask: np.ndarray, scores: Scores) -> np.ndarray:
    """The probability of each tag at each place given all emissions of its row, [B, T, K]; 0 behind a row's end."""
    e = _within(emissions, mask)
    at_once = max(1, MOST_PAIRS // max(1, e.shape[2] ** 2))
    parts = [
        _marginals(e[begin : begin + at_once], mask[begin : begin + at_once], scores)
        for begin in range(0, len(e), at_once)
    ]
    return np.concatenate(parts) if parts else e


def best_path(emissions: np.ndarray, mask: np.ndarray, scores: Scores) -> np.ndarray:
    """The path with the highest score of each row, [B, T] int64, 0 behind a row's end.

    Of equal scores the tag with the lowest number wins.
    """
    e = _within(emissions, mask)
    if e.shape[1] == 0:
        return mask.astype(np.int64)
    best, stay = scores.start + e[:, 0], np.arange(e.shape[2])
    came_from: list[np.ndarray] = []
    for t in range(1, e.shape[1]):
        values = best[:, :, None] + scores.transitions  # [B, K, K]
        source, now = values.argmax(1), mask[:, t, None]
        value = np.take_along_axis(values, source[:, None], 1)[:, 0]
        best = np.where(now, value + e[:, t], best)
        came_from.append(np.where(now, source, stay))
    path = [(best + scores.end).argmax(1)]
    for source in reversed(came_from):
        path.append(np.take_along_axis(source, path[-1][:, None], 1)[:, 0])
    return np.where(mask, np.stack(path[::-1], 1), 0)


def _marginals(e: np.ndarray, mask: np.ndarray, scores: Scores) -> np.ndarray:
    if e.shape[1] == 0:
        return e
    alphas = [scores.start + e[:, 0]]
    for t in range(1, e.shape[1]):
        new = _log_sum_exp(alphas[-1][:, :, None] + scores.transitions, 1) + e[:, t]
        alphas.append(np.where(mask[:, t, None], new, alphas[-1]))
    last = alphas[-1] + scores.end
    state = np.exp(last - _log_sum_exp(last, 1)[:, None]) * mask[:, :1]  # [B, K]
    states = [state]
    for t in range(e.shape[1] - 1, 0, -1):
        now = mask[:, t, None]
        reached = np.where(now, alphas[t] - e[:, t], np.inf)  # nothing is before what is behind the end
        pairs = np.exp(alphas[t - 1][:, :, None] + scores.transitions - reached[:, None]) * state[:, None]
        state = np.where(now, pairs.sum(2), state)
        states.append(state)
    return np.stack(states[::-1], 1) * mask[..., None]


def _within(emissions: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.where(mask[..., None], emissions.astype(np.float64), 0.0)


def _log_sum_exp(x: np.ndarray, axis: int) -> np.ndarray:
    most = x.max(axis, keepdims=True)
    return np.log(np.exp(x - most).sum(axis)) + most.squeeze(axis)
