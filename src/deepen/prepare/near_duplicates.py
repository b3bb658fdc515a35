"""Pictures that are nearly the same in training and in test: saved again, resized, a little brighter.

Each picture becomes 64 bits: of its grey values on a grid of 8 x 9, whether each is brighter than the next to its
right (the difference hash; N. Krawetz, Kind of Like That, 2013). Two pictures are taken for the same if at most 3 of
these bits differ and, beyond that, their grey values on a grid of 16 x 16 differ by at most 4 of 255 on average once
each has been brought to mean 0. Flat pictures, whose grid varies by less than 8, are passed over.

Measured: no pair between 2,000 test and 10,000 training pictures of CIFAR-10; on the 28 x 28 pixels of MNIST there
would be 150, of Fashion-MNIST 3, which are different pictures, so pictures below 32 x 32 are not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from deepen.core.faults import Fault
from deepen.core.units import plural
from deepen.prepare.encoded import Encoded

LEAST_SIDE = 32  # on smaller pictures, such as digits, different ones agree in all that is compared here
MOST_BITS = 3
MOST_DIFFERENCE = 4.0
LEAST_DEVIATION = 8.0
GRID = 16
PAIRS_TOGETHER = 1 << 24
IMAGES_TOGETHER = 1_024


def warn_near_duplicates(encoded: Mapping[str, Encoded], faults: list[Fault]) -> None:
    """Warnings for pictures of val and test that are nearly the same as one of train, beyond those that are the same.

    Looks at encoded pixels where they came from files and are in memory, of at least 32 x 32.
    """
    train = encoded.get("train")
    if train is None or not _is_looked_at(train):
        return
    known = _grids(train.tensors["pixels"])
    for split in ("val", "test"):
        other = encoded.get(split)
        if other is None or other is train or not _is_looked_at(other):
            continue
        pairs = _near(_grids(other.tensors["pixels"]), known)
        keys = [each.table.column("key").to_pylist() for each in (other, train)]
        pairs = [(row, like) for row, like in pairs if keys[0][row] != keys[1][like]]
        if pairs:
            row, like = pairs[0]
            many = f"{plural(len(pairs), 'sample')} of {split} {'is' if len(pairs) == 1 else 'are'}"
            message = (
                f"looks nearly the same as {train.source(like)} in train; {many} like one of train, which flatters the "
                "score: remove one of each, or keep them together with --group."
            )
            faults.append(Fault("warning", "split-near-duplicate", other.source(row), message))


def _is_looked_at(encoded: Encoded) -> bool:
    pixels = encoded.tensors.get("pixels")
    if pixels is None or len(pixels) == 0 or min(pixels.shape[1:3]) < LEAST_SIDE:
        return False
    kind = str(encoded.table.schema.field("image").type) if "image" in encoded.table.column_names else ""
    return kind.endswith(("string", "binary"))


def _grids(pixels: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bits [N] uint64, grey values [N, 256] float32 of mean 0, and which pictures are not flat [N] bool.

    pixels  [N, H, W, C] uint8
    """
    bits, greys = [], []
    for block in pixels.split(IMAGES_TOGETHER):
        grey = block.float().mean(-1)[:, None]  # [n, 1, H, W]
        small = functional.adaptive_avg_pool2d(grey, (8, 9))[:, 0]
        brighter = (small[:, :, :-1] > small[:, :, 1:]).flatten(1).numpy()  # [n, 64]
        bits.append(np.packbits(brighter, axis=1).view(np.uint64)[:, 0])
        greys.append(functional.adaptive_avg_pool2d(grey, (GRID, GRID)).flatten(1))
    grid = torch.cat(greys)
    grid = (grid - grid.mean(1, keepdim=True)).numpy()
    return np.concatenate(bits), grid, grid.std(1) >= LEAST_DEVIATION


def _near(
    others: tuple[np.ndarray, np.ndarray, np.ndarray], known: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> list[tuple[int, int]]:
    """(row among the others, row among the known) of pictures that are nearly the same, the nearest known each."""
    rows, found = np.flatnonzero(others[2]), []
    there = np.flatnonzero(known[2])
    if not len(there):
        return []
    step = max(1, PAIRS_TOGETHER // len(there))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        distance = np.bitwise_count(others[0][block, None] ^ known[0][None, there])  # [block, known]
        for index, like in zip(*np.nonzero(distance <= MOST_BITS), strict=True):
            row, candidate = block[index], there[like]
            difference = float(np.abs(others[1][row] - known[1][candidate]).mean())
            if difference <= MOST_DIFFERENCE:
                found.append((int(row), difference, int(candidate)))
    best: dict[int, int] = {}
    for row, _, candidate in sorted(found):
        best.setdefault(row, candidate)
    return sorted(best.items())
