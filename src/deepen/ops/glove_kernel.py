"""The training of `glove` compiled by numba: the arguments and numbers of `glove_loop`, without Python's lock."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from deepen.ops.float_rows import dots_1

_FAST = {"reassoc", "contract", "arcp", "nsz"}


@njit(nogil=True, fastmath=_FAST, cache=True)
def train_pairs(
    rows, columns, weights, v, c, a, b, v_squares, c_squares, a_squares, b_squares, rate_from, rate_to, most, power
):
    """See `glove.train_pairs`."""
    total, width = 0.0, v.shape[1]
    for n in range(len(rows)):
        i, j, x = np.uint64(rows[n]), np.uint64(columns[n]), weights[n]
        rate = np.float32(rate_from + (rate_to - rate_from) * n / len(rows))
        miss = dots_1(v, i, c, j)[0] + a[i] + b[j] - np.float32(math.log(x))
        part = math.pow(x / most, power) if x < most else 1.0
        weighted = np.float32(part) * miss
        total += weighted * miss
        if rate == np.float32(0):
            continue
        for k in range(width):
            slope_v, slope_c = weighted * c[j, k], weighted * v[i, k]
            v[i, k] -= rate * slope_v / np.sqrt(v_squares[i, k])
            c[j, k] -= rate * slope_c / np.sqrt(c_squares[j, k])
            v_squares[i, k] += slope_v * slope_v
            c_squares[j, k] += slope_c * slope_c
        a[i] -= rate * weighted / np.sqrt(a_squares[i])
        b[j] -= rate * weighted / np.sqrt(b_squares[j])
        a_squares[i] += weighted * weighted
        b_squares[j] += weighted * weighted
    return total
