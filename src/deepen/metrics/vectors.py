"""One vector per sample, of the first samples only: what maps, probes and silhouettes are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

MOST_VECTORS = 2_000  # tables are in the order of a hash of their content, so the first rows are drawn at random


class VectorEntries:
    """Vectors of the rows below `most`, each row once whatever rank sent it, read in the order of the rows.

    `state` and `merge` use the names `vectors` and `vector_rows`.
    """

    def __init__(self, *, most: int = MOST_VECTORS) -> None:
        self.most = most
        self._parts: list[tuple[np.ndarray, Tensor]] = []

    def add(self, rows: np.ndarray, vectors: Tensor) -> None:
        """Keeps `vectors` [B, D], on any device, of the rows [B] int64. Waits for no device."""
        is_kept = np.asarray(rows) < self.most
        if is_kept.all():
            self._parts.append((np.asarray(rows, np.int64), vectors.detach()))
        elif is_kept.any():
            index = torch.from_numpy(np.flatnonzero(is_kept)).to(vectors.device)
            self._parts.append((np.asarray(rows, np.int64)[is_kept], vectors.detach().index_select(0, index)))

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows [n] int64, ascending, and their vectors [n, D] float64."""
        if not self._parts:
            return np.zeros(0, np.int64), np.zeros((0, 0))
        rows = np.concatenate([part[0] for part in self._parts])
        unique, first = np.unique(rows, return_index=True)
        vectors = torch.cat([part[1].float().cpu() for part in self._parts]).numpy()
        return unique, vectors[first].astype(np.float64)

    def state(self) -> dict[str, Tensor]:
        """What was kept, as tensors on the CPU; empty when nothing was."""
        if not self._parts:
            return {}
        rows, vectors = self.read()
        return {"vector_rows": torch.from_numpy(rows), "vectors": torch.from_numpy(vectors.astype(np.float32))}

    def merge(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Replaces what is held by the union of the states."""
        filled = [state for state in states if "vector_rows" in state]
        self._parts = [(state["vector_rows"].cpu().numpy(), state["vectors"]) for state in filled]
