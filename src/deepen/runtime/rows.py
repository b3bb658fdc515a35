"""What a preparation makes of a table: arrays for a graph, some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

ROWS_AT_ONCE = 500


class Prepared(Protocol):
    """The usable rows of a table, ready for a graph.

    kept          [M] int64: which rows of the table they are, ascending
    rows_at_once  how many are answered together

    Where what is answered is no row of that table, such as a line of a block of text, `samples` is a table of its own
    with the column `source`, whose rows `kept` names.
    """

    @property
    def kept(self) -> np.ndarray: ...

    @property
    def rows_at_once(self) -> int: ...

    def arrays(self, places: np.ndarray) -> dict[str, np.ndarray]:
        """The graph's inputs by name for these of the kept rows, each [B, ...]."""
        ...


class Calls(Protocol):
    """How a graph is called for prepared arrays where that is not once; of a preparation that has a class `Calls`."""

    def first(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inputs by name of the first call."""
        ...

    def outputs(
        self, call: Callable[[Mapping[str, np.ndarray]], np.ndarray], arrays: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """The outputs of all calls as one, [B, ...]."""
        ...


def samples_of(prepared: Prepared, table: pa.Table) -> pa.Table:
    """The table that `prepared.kept` is about."""
    return getattr(prepared, "samples", table)


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
