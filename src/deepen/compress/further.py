"""Samples that nobody has labelled, beside those that somebody has: only the teacher says what they are.

A batch of training holds either labelled samples or others, never both, so that a task's own batches, orders and losses
stay what they are. An epoch reads every sample of both kinds once, the batches of one kind spread evenly among those of
the other. Row numbers of the others follow those of the labelled ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import numpy as np
import torch

from deepen.core import rng
from deepen.engine.task import OwnOrder
from deepen.prepare.encoded import CPU, Encoded

Each = TypeVar("Each")


class Further(Protocol):
    """Unlabelled samples: as many in each epoch, the same ones or others.

    is_whole  as of `Encoded`
    """

    is_whole: bool

    def __len__(self) -> int: ...

    def at(self, seed: int, epoch: int) -> Encoded:
        """Those of an epoch, a pure function of the arguments."""
        ...

    def to(self, device: torch.device) -> Further:
        """The same, with tensors that are held on a device."""
        ...


class Found:
    """Samples that were read: the same in each epoch."""

    def __init__(self, encoded: Encoded) -> None:
        self.encoded, self.is_whole = encoded, encoded.is_whole

    def __len__(self) -> int:
        return len(self.encoded)

    def at(self, seed: int, epoch: int) -> Encoded:
        """All of them."""
        return self.encoded

    def to(self, device: torch.device) -> Found:
        """The same on a device."""
        return Found(self.encoded.to(device))


class Drawn:
    """Samples that are drawn anew for each epoch; those of the last one asked for are kept.

    count  how many
    draw   (seed, epoch) -> so many samples, a pure function
    """

    is_whole = True

    def __init__(self, count: int, draw: Callable[[int, int], Encoded]) -> None:
        self._count, self._draw = count, draw
        self._held: tuple[tuple[int, int], Encoded] | None = None

    def __len__(self) -> int:
        return self._count

    def at(self, seed: int, epoch: int) -> Encoded:
        """Those of an epoch."""
        if self._held is None or self._held[0] != (seed, epoch):
            self._held = (seed, epoch), self._draw(seed, epoch)
        return self._held[1]

    def to(self, device: torch.device) -> Drawn:
        """Itself: its batches are moved."""
        return self


class Beside:
    """Training samples with others behind them, as training goes over them (see `Encoded`)."""

    device = CPU

    def __init__(self, labelled: Encoded, further: Further) -> None:
        self.labelled, self.further = labelled, further
        self.is_whole = labelled.is_whole and further.is_whole

    def __len__(self) -> int:
        return len(self.labelled) + len(self.further)

    def source(self, row: int) -> str:
        """Where the sample of this row came from."""
        count = len(self.labelled)
        return self.labelled.source(row) if row < count else f"unlabelled sample {row - count + 1}"

    def num_bytes(self) -> int:
        """What the labelled samples take."""
        return self.labelled.num_bytes()

    def to(self, device: torch.device) -> Beside:
        """The same with its tensors on a device."""
        return Beside(self.labelled.to(device), self.further.to(device))

    def is_labelled(self, rows: np.ndarray) -> bool:
        """Of which kind a batch's rows are."""
        return int(rows[0]) < len(self.labelled)

    def order(self, task: Any, num_batches: int, *, seed: int, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch: each row once, no batch empty, both kinds in the task's own orders.

        num_batches  at least 2 and at most the number of rows
        """
        first, second = len(self.labelled), len(self.further)
        share = round(num_batches * second / (first + second))
        behind = min(max(share, 1, num_batches - first), second, num_batches - 1)
        own = _order(task, self.labelled, first, num_batches - behind, seed, epoch)
        others: Any = self.further.at(seed, epoch) if isinstance(task, OwnOrder) else None
        moved = [rows + first for rows in _order(task, others, second, behind, seed, epoch)]
        return spread(own, moved)


def _order(task: Any, encoded: Any, count: int, num_batches: int, seed: int, epoch: int) -> list[np.ndarray]:
    if isinstance(task, OwnOrder):
        return task.order(encoded, num_batches, seed=seed, epoch=epoch)
    return np.array_split(rng.permutation(seed, epoch, count), num_batches)


def spread(first: Sequence[Each], second: Sequence[Each]) -> list[Each]:
    """Both lists as one, each in its order and evenly spread.

    >>> "".join(spread("abcd", "xy"))
    'axbcyd'
    """
    places = [((i + 0.5) / len(each), kind, i) for kind, each in enumerate((first, second)) for i in range(len(each))]
    return [(first, second)[kind][i] for _, kind, i in sorted(places)]


def completed(encoded: Encoded, like: Encoded) -> Encoded:
    """With zeros in the place of tensors that training samples have and these have not, such as targets.

    A batch made with a partner, as mixing does, looks for the partner's target; nobody reads what it finds.
    """
    missing = {
        name: torch.zeros((len(encoded), *each.shape[1:]), dtype=each.dtype)
        for name, each in like.tensors.items()
        if name not in encoded.tensors and each.dim() <= 2  # inputs that are not held are larger
    }
    return replace(encoded, tensors={**encoded.tensors, **missing})
