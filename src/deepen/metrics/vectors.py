"""One vector per sample, of the first samples only: what maps, probes and silhouettes are made from.

Vectors may be numpy arrays as well; torch is imported only where there are tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

MOST_VECTORS = 2_000  # tables are in the order of a hash of their content, so the first rows are drawn at random


class VectorEntries:
    """Vectors of the rows below `most`, each row once whatever rank sent it, read in the order of the rows.

    `state` and `merge` use the names `vectors` and `vector_rows`.
    """

    def __init__(self, *, most: int = MOST_VECTORS) -> None:
        self.most = most
        self._parts: list[tuple[np.ndarray, Tensor | np.ndarray]] = []

    def add(self, rows: np.ndarray, vectors: Tensor | np.ndarray) -> None:
        """Keeps `vectors` [B, D], on any device, of the rows [B] int64. Waits for no device."""
        rows = np.asarray(rows, np.int64)
        is_kept = rows < self.most
        vectors = vectors if isinstance(vectors, np.ndarray) else vectors.detach()
        if is_kept.all():
            self._parts.append((rows, vectors))
        elif is_kept.any():
            self._parts.append((rows[is_kept], _taken(vectors, np.flatnonzero(is_kept))))

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows [n] int64, ascending, and their vectors [n, D] float64."""
        if not self._parts:
            return np.zeros(0, np.int64), np.zeros((0, 0))
        rows = np.concatenate([part[0] for part in self._parts])
        unique, first = np.unique(rows, return_index=True)
        vectors = np.concatenate([_array(part[1]) for part in self._parts])
        return unique, vectors[first].astype(np.float64)

    def state(self) -> dict[str, Tensor]:
        """What was kept, as tensors on the CPU; empty when nothing was."""
        if not self._parts:
            return {}
        import torch

        rows, vectors = self.read()
        return {"vector_rows": torch.from_numpy(rows), "vectors": torch.from_numpy(vectors.astype(np.float32))}

    def merge(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Replaces what is held by the union of the states."""
        filled = [state for state in states if "vector_rows" in state]
        self._parts = [(state["vector_rows"].cpu().numpy(), state["vectors"]) for state in filled]


def _taken(vectors: Tensor | np.ndarray, places: np.ndarray) -> Tensor | np.ndarray:
    """The vectors at these places."""
    if isinstance(vectors, np.ndarray):
        return vectors[places]
    import torch

    return vectors.index_select(0, torch.from_numpy(places).to(vectors.device))


def _array(vectors: Tensor | np.ndarray) -> np.ndarray:
    """[n, D] float32"""
    return vectors.astype(np.float32) if isinstance(vectors, np.ndarray) else vectors.float().cpu().numpy()
