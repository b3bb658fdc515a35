"""What a preparation makes of a table: arrays for a graph, some rows at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

ROWS_AT_ONCE = 500


class Prepared(Protocol):
    """The usable rows of a table, ready for a graph.

    kept          [M] int64: which rows of the table they are, ascending
    rows_at_once  how many are answered together
    """

    @property
    def kept(self) -> np.ndarray: ...

    @property
    def rows_at_once(self) -> int: ...

    def arrays(self, places: np.ndarray) -> dict[str, np.ndarray]:
        """The graph's inputs by name for these of the kept rows, each [B, ...]."""
        ...


@dataclass(frozen=True)
class Whole:
    """Rows whose arrays are all in memory.

    held  by name, each [M, ...]
    """

    held: Mapping[str, np.ndarray]
    kept: np.ndarray
    rows_at_once: int = ROWS_AT_ONCE

    def arrays(self, places: np.ndarray) -> dict[str, np.ndarray]:
        """The rows at these places."""
        return {name: array[places] for name, array in self.held.items()}
