"""Random numbers that are a pure function of (seed, where they are used), never of a stream.

A resumed run is the same run because nothing here remembers anything: the order of an epoch depends on (seed, epoch),
the draws of a sample on (seed, epoch, row) and a name for what they are used for. So neither the batch a sample
falls into, nor the number of workers, nor the rank that sees it changes what is drawn for it.
"""

from __future__ import annotations

import hashlib

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def key(seed: int, *parts: int | str) -> int:
    """A 64-bit key for (seed, parts): equal for equal arguments on every machine, unrelated for different ones."""
    text = "\x1f".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def generator(seed: int, *parts: int | str) -> np.random.Generator:
    """A numpy generator for (seed, parts), for draws that are made in one go."""
    return np.random.Generator(np.random.Philox(key=key(seed, *parts)))


def permutation(seed: int, epoch: int, num_rows: int) -> np.ndarray:
    """The order of an epoch: `[num_rows]` int64, a permutation that depends on (seed, epoch, num_rows) alone."""
    return generator(seed, "order", epoch).permutation(num_rows).astype(np.int64)


def row_keys(seed: int, epoch: int, rows: np.ndarray, use: str) -> np.ndarray:
    """One 64-bit key per row.

    rows     [B] int64, the rows' places in the training table
    use      what the draws are for, such as "augment"
    returns  [B] uint64
    """
    start = np.uint64(key(seed, use, epoch))
    with np.errstate(over="ignore"):
        return _mix(_mix(rows.astype(np.uint64) * GOLDEN + start) ^ start)


def uniform(seed: int, epoch: int, rows: np.ndarray, num_draws: int, use: str) -> np.ndarray:
    """Numbers in [0, 1) for each row, the same whatever batch the row is in.

    rows     [B] int64
    returns  [B, num_draws] float32
    """
    keys = row_keys(seed, epoch, rows, use)
    with np.errstate(over="ignore"):
        counters = np.arange(1, num_draws + 1, dtype=np.uint64) * GOLDEN
        bits = _mix(keys[:, None] + counters[None, :])
    return ((bits >> np.uint64(40)).astype(np.float32)) * np.float32(2.0**-24)


def _mix(x: np.ndarray) -> np.ndarray:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014): every input bit changes half of the output bits."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
