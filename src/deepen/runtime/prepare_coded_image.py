"""Pictures as for any graph (prepare_image.py), with zeros for the inputs that only figures fill: no noise, no draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from deepen.core.faults import Fault
from deepen.runtime import prepare_image
from deepen.runtime.rows import Prepared


def prepared(table: pa.Table, state: dict[str, Any], split: str, faults: list[Fault]) -> WithZeros:
    """The pictures that can be decoded; `zeros` of the state are the shapes of further inputs by name."""
    zeros = {str(name): tuple(map(int, shape)) for name, shape in state["zeros"].items()}
    return WithZeros(prepare_image.prepared(table, state, split, faults), zeros)


@dataclass(frozen=True)
class WithZeros:
    """Prepared rows with further inputs of zeros.

    shapes  by name, of one row
    """

    of: Prepared
    shapes: dict[str, tuple[int, ...]]

    @property
    def kept(self) -> np.ndarray:
        """Which rows of the table these are."""
        return self.of.kept

    @property
    def rows_at_once(self) -> int:
        """How many are answered together."""
        return self.of.rows_at_once

    def arrays(self, places: np.ndarray) -> dict[str, np.ndarray]:
        """The rows at these places."""
        zeros = {name: np.zeros((len(places), *shape), np.float32) for name, shape in self.shapes.items()}
        return self.of.arrays(places) | zeros
