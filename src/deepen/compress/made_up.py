"""Inputs that nobody has labelled, without end: from the samples, as a function of each row and the epoch.

    munge     each number moves to that of the nearest other sample, give or take, with a chance of one half
    gaussian  drawn from the Gaussian with the samples' mean and covariance, in their 64 widest directions

Source: Bucila, Caruana and Niculescu-Mizil 2006, Model Compression (MUNGE; there each number has its own share).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from deepen.core import rng
from deepen.core.errors import OptionError
from deepen.prepare.encoded import Batch, Draws, Encoded

NEIGHBOURS = 2000  # samples among which the nearest is looked for
SWAP = 0.5  # the chance that a number moves
WIDEST = 64
LOCAL = 2.0  # how far: the deviation of the noise is the distance divided by this
TARGETS = ("label", "target", "targets", "tags", "labels", "weight", "mask")


class MadeUp:
    """Makes inputs of one kind from a task's own batches."""

    def __init__(self, inputs: str, batch: Callable[[Encoded, np.ndarray, Draws | None], Batch]) -> None:
        self.inputs, self._batch = inputs, batch
        self._spread: dict[str, tuple[Tensor, Tensor]] = {}

    def made_up(self, encoded: Encoded, batch: Batch, draws: Draws) -> dict[str, Tensor]:
        """The float tensors of a batch made anew; of whole numbers, such as categories, some from the neighbour."""
        tensors = dict(batch.tensors)
        floats = {name: t for name, t in tensors.items() if t.is_floating_point() and t.dim() > 1}
        if not floats:
            raise OptionError(
                f"--unlabelled {self.inputs}: the inputs of this task are no numbers that could be moved; use augment."
            )
        if self.inputs == "gaussian":
            return tensors | {name: self._drawn(name, encoded, t, batch.rows, draws) for name, t in floats.items()}
        other = self._neighbours(encoded, batch, draws)
        for name, t in tensors.items():
            if name in other.tensors and name not in TARGETS and t.dim() > 1:
                near = other.tensors[name]
                moved = _uniform(draws, batch.rows, t, f"moved {name}") < SWAP
                if t.is_floating_point():
                    noise = _normal(draws, batch.rows, t, f"noise {name}") * (near - t).abs() / LOCAL
                    tensors[name] = torch.where(moved, near + noise, t)
                elif t.shape == near.shape:
                    tensors[name] = torch.where(moved, near, t)
        return tensors

    def _neighbours(self, encoded: Encoded, batch: Batch, draws: Draws) -> Batch:
        """The nearest other sample of each, among some drawn for this epoch."""
        drawn = rng.permutation(draws.seed, draws.epoch, len(encoded))[:NEIGHBOURS]
        pool = self._batch(encoded, drawn, None)
        name = next(name for name, t in batch.tensors.items() if t.is_floating_point() and t.dim() > 1)
        apart = torch.cdist(batch[name].flatten(1).float(), pool[name].flatten(1).float())
        apart.masked_fill_(torch.from_numpy(batch.rows[:, None] == drawn[None, :]), torch.inf)
        nearest = apart.argmin(1)
        return Batch({n: t.index_select(0, nearest) for n, t in pool.tensors.items()}, batch.count, batch.rows)

    def _drawn(self, name: str, encoded: Encoded, like: Tensor, rows: np.ndarray, draws: Draws) -> Tensor:
        """From the Gaussian with the samples' mean and covariance, kept to its 64 widest directions."""
        if name not in self._spread:
            first = np.arange(min(len(encoded), NEIGHBOURS))
            x = self._batch(encoded, first, None)[name].flatten(1).float()
            _, s, v = torch.linalg.svd(x - x.mean(0), full_matrices=False)
            self._spread[name] = (x.mean(0), (s[:WIDEST, None] * v[:WIDEST]) / max(1, len(x) - 1) ** 0.5)
        mean, directions = self._spread[name]
        z = _normal(draws, rows, like.new_empty(len(rows), len(directions)), f"drawn {name}")
        return (mean + z @ directions).view_as(like).to(like.dtype)


def _uniform(draws: Draws, rows: np.ndarray, like: Tensor, use: str) -> Tensor:
    """In [0, 1), in the shape of a tensor [B, ...], a function of each row."""
    found = rng.uniform(draws.seed, draws.epoch, rows, like[0].numel() if len(like) else 1, use)
    return torch.from_numpy(found).float().view(like.shape)


def _normal(draws: Draws, rows: np.ndarray, like: Tensor, use: str) -> Tensor:
    return torch.special.ndtri(_uniform(draws, rows, like, use).clamp(1e-6, 1 - 1e-6))
