"""Entries per sample, kept on the device until they are read, each row counted once whatever rank sent it.

Entries may be numpy arrays as well; torch is imported only where there are tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

ROWS = "rows"


@dataclass(frozen=True)
class PerRow:
    """A figure that is the mean of a value per sample, so that two runs can be compared sample by sample.

    values     [n] float64, in the order of the rows
    direction  whether "max" or "min" is better
    is_root    the figure is the square root of that mean (a root mean square)
    is_share   each value is 0 or 1, so that the figure is a share
    """

    values: np.ndarray
    direction: Literal["max", "min"]
    is_root: bool = False
    is_share: bool = False

    def figure(self) -> float:
        """The figure itself."""
        mean = float(self.values.mean())
        return mean**0.5 if self.is_root else mean


class RowEntries:
    """Named tensors with one entry per sample, together with the samples' rows.

    Reading sorts by row and keeps the first entry of each, so any order of adding and any partition of the samples
    into ranks, with or without samples that stand in two of them, reads out the same bits.
    """

    def __init__(self, *names: str) -> None:
        self.names = names
        self._parts: dict[str, list[Tensor | np.ndarray]] = {name: [] for name in names}
        self._rows: list[np.ndarray] = []
        self._read: dict[str, np.ndarray] | None = None

    def add(self, rows: np.ndarray, entries: Mapping[str, Tensor | np.ndarray]) -> None:
        """Keeps `entries`, each [B] on any device, for the rows [B] int64. Waits for no device."""
        self._read = None
        self._rows.append(np.asarray(rows, dtype=np.int64))
        for name in self.names:
            assert entries[name].shape == (len(rows),), f"{name} is {tuple(entries[name].shape)} for {len(rows)} rows"
            entry = entries[name]
            self._parts[name].append(entry if isinstance(entry, np.ndarray) else entry.detach())

    def read(self) -> dict[str, np.ndarray]:
        """Every entry as [n] arrays, `rows` among them, in the order of the rows, each row once."""
        if self._read is None:
            rows = np.concatenate([np.zeros(0, np.int64), *self._rows])
            unique, first = np.unique(rows, return_index=True)
            held = {name: _joined(parts)[first] for name, parts in self._parts.items() if parts}
            self._read = {ROWS: unique} | held
        return self._read

    def state(self) -> dict[str, Tensor]:
        """What `read` gives, as tensors on the CPU; empty when nothing was added."""
        import torch

        return {name: torch.from_numpy(array) for name, array in self.read().items()} if self._rows else {}

    def merge(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Replaces what is held by the union of the states; of a row in several, the first state's entry stays."""
        self._read = None
        filled = [state for state in states if state]
        self._rows = [state[ROWS].cpu().numpy() for state in filled]
        self._parts = {name: [state[name] for state in filled] for name in self.names}


def _joined(parts: Sequence[Tensor | np.ndarray]) -> np.ndarray:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(cast("Sequence[np.ndarray]", parts))
    import torch

    return torch.cat(cast("list[Tensor]", parts)).cpu().numpy()
