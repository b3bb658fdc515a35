"""Bilinear interpolation of uint8 images with antialiasing, in whole numbers: bit for bit what PyTorch makes of them.

One axis after the other, columns first, each rounded to uint8. Along an axis of n pixels brought to m, s = n / m:

    w[i, j] = max(0, 1 - |j + 1/2 - c[i]| / max(s, 1)),  c[i] = s (i + 1/2),  normalized to sum 1 over j
    y[i] = (2^(p - 1) + sum_j round(2^p w[i, j]) x[j]) >> p,  cut to 0..255

with the largest p <= 22 for which all round(2^p w) fit into int16. This is what `interpolate(..., mode="bilinear",
antialias=True)` of PyTorch does to uint8 on the CPU: Pillow's `Image.resize` with fewer bits in a weight.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

MOST_BITS = 22
LARGEST_WEIGHT = 1 << 15


def interpolated(batch: np.ndarray, height: int, width: int) -> np.ndarray:
    """[B, H, W, C] uint8 -> [B, height, width, C] uint8."""
    return _along(_along(batch, 2, width), 1, height)


def _along(pixels: np.ndarray, axis: int, size: int) -> np.ndarray:
    """The same with `size` pixels along an axis."""
    length = pixels.shape[axis]
    if length == size:
        return pixels
    first, weights, bits = _weights(length, size)
    source = np.ascontiguousarray(np.moveaxis(pixels, axis, 0))
    total = np.full((size, *source.shape[1:]), 1 << (bits - 1), np.int32)
    columns = (size, *[1] * (source.ndim - 1))
    for tap in range(weights.shape[1]):
        taken = source[np.minimum(first + tap, length - 1)]
        total += taken * weights[:, tap].reshape(columns)
    return np.moveaxis(np.clip(total >> bits, 0, 255).astype(np.uint8), 0, axis)


@lru_cache(maxsize=64)
def _weights(length: int, size: int) -> tuple[np.ndarray, np.ndarray, int]:
    """For each of `size` pixels the first that it is made of [size], what each counts [size, taps] int32, and p."""
    scale = length / size
    support = max(scale, 1.0)
    centers = scale * (np.arange(size) + 0.5)
    first = np.maximum((centers - support + 0.5).astype(np.int64), 0)
    last = np.minimum((centers + support + 0.5).astype(np.int64), length)
    counts = np.minimum(last - first, 2 * int(np.ceil(support)) + 1)
    taps = np.arange(counts.max())
    distances = np.abs(taps + first[:, None] - centers[:, None] + 0.5) / support
    weights = np.where(taps < counts[:, None], np.maximum(1 - distances, 0), 0)
    weights /= weights.sum(1, keepdims=True)
    bits = 0
    while bits < MOST_BITS and int(0.5 + weights.max() * (1 << (bits + 1))) < LARGEST_WEIGHT:
        bits += 1
    return first, (0.5 + weights * (1 << bits)).astype(np.int32), bits
