"""Whether mirrored images still look like their class: clothes and animals do, digits and letters do not."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from deepen.prepare import image

IMAGES = 4_096
HARMLESS = 0.7  # measured: 8x8 digits 0.34, MNIST 0.48, Fashion-MNIST 0.81, CIFAR-10 1.0


def keeps_class(table: pa.Table, classes: Tensor, rows: np.ndarray, state: image.State) -> float:
    """How much of what tells the classes apart survives mirroring, from 0 (nothing) to 1 (all).

        (a(mirrored) - 1 / K) / (a(as they are) - 1 / K)

    where a is the accuracy with which held-out images are told apart by the nearest mean image of a class: means are
    taken over every other image, of up to 4,096, and the accuracy over the rest.

    classes  [N] int64, the class of each of the table's `rows`
    returns  1 where the images as they are cannot be told apart in this way: then mirroring is left to the user's eye
    """
    pixels, chosen = image.some_pixels(table, state, IMAGES)
    known = np.isin(chosen, rows)
    pixels, labels = pixels[torch.from_numpy(known)], classes[torch.from_numpy(np.searchsorted(rows, chosen[known]))]
    x = pixels.float().mean(-1)  # [n, H, W]
    means, present = _means(x[::2], labels[::2])
    held, truth = x[1::2], labels[1::2]
    chance = 1 / max(1, len(present))
    plain = _accuracy(held, truth, means, present) - chance
    mirrored = _accuracy(held.flip(-1), truth, means, present) - chance
    return 1.0 if plain <= 0.05 else max(0.0, min(1.0, mirrored / plain))


def _means(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    present = labels.unique()
    return torch.stack([x[labels == label].mean(0) for label in present]), present


def _accuracy(x: Tensor, labels: Tensor, means: Tensor, present: Tensor) -> float:
    nearest = torch.cdist(x.flatten(1), means.flatten(1)).argmin(1)
    return float((present[nearest] == labels).double().mean()) if len(x) else 0.0
