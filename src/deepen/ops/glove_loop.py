"""The training of `glove` as a plain loop: slow, to be read, and what the compiled one is tested with."""

from __future__ import annotations

import numpy as np


def train_pairs(
    rows, columns, weights, v, c, a, b, v_squares, c_squares, a_squares, b_squares, rate_from, rate_to, most, power
):
    """See `glove.train_pairs`."""
    total = 0.0
    for n, (i, j, x) in enumerate(zip(rows.tolist(), columns.tolist(), weights.tolist(), strict=True)):
        rate = np.float32(rate_from + (rate_to - rate_from) * n / len(rows))
        miss = np.float32(v[i] @ c[j] + a[i] + b[j] - np.log(x))
        weighted = np.float32(min(1.0, (x / most) ** power)) * miss
        total += float(weighted) * float(miss)
        if rate == 0:
            continue
        slope_v, slope_c = weighted * c[j], weighted * v[i]
        v[i] -= rate * slope_v / np.sqrt(v_squares[i])
        c[j] -= rate * slope_c / np.sqrt(c_squares[j])
        a[i] -= rate * weighted / np.sqrt(a_squares[i])
        b[j] -= rate * weighted / np.sqrt(b_squares[j])
        v_squares[i] += slope_v**2
        c_squares[j] += slope_c**2
        a_squares[i] += weighted**2
        b_squares[j] += weighted**2
    return total
