"""Pictures for a graph that normalizes them itself: decoded and brought to one size, [B, H, W, C] uint8.

Resizing stands here and not in the graph: its rule (prepare/image_interpolate.py) rounds twice to whole numbers, which
no operator of ONNX does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.memory import available_bytes
from deepen.prepare.image_columns import array, converted, decoded, filled
from deepen.prepare.image_faults import Unusable
from deepen.runtime.rows import ROWS_AT_ONCE, Whole

BUDGET_BYTES = 2 << 30


def prepared(table: pa.Table, state: dict[str, Any], split: str, faults: list[Fault]) -> Whole | Decoded:
    """The pictures that can be decoded; those over the budget of memory are decoded again when they are wanted."""
    column, image, most = table.column("image"), state["image"], int(state["max_pixels"])
    if isinstance(column.type, pa.FixedShapeTensorType):
        return Whole({"pixels": converted(array(column), image)}, np.arange(table.num_rows))
    shape = (table.num_rows, *image["size"], image["channels"])
    if int(np.prod(shape, dtype=np.int64)) > _budget():
        return Decoded(table, image, most, filled(table, image, split, faults, most, None))
    pixels = np.empty(shape, np.uint8)
    kept = filled(table, image, split, faults, most, pixels)
    return Whole({"pixels": pixels if len(kept) == len(pixels) else pixels[kept]}, kept)


@dataclass(frozen=True)
class Decoded:
    """Pictures that are decoded when they are wanted."""

    table: pa.Table
    image: dict[str, Any]
    max_pixels: int
    kept: np.ndarray
    rows_at_once: int = ROWS_AT_ONCE

    def arrays(self, places: np.ndarray) -> dict[str, np.ndarray]:
        """The pixels of these rows. Raises DataError, naming the file, if one cannot be read any more."""
        rows = self.kept[places]
        out = np.empty((len(rows), *self.image["size"], self.image["channels"]), np.uint8)
        images = self.table.column("image").take(pa.array(rows))
        for place, (_, found) in enumerate(decoded(images, self.image, self.max_pixels)):
            if isinstance(found, Unusable):
                source = self.table.column("source")[int(rows[place])].as_py()
                raise DataError(f"{source}: {found} It was readable a moment ago.")
            out[place] = found[0]
        return {"pixels": out}


def _budget() -> int:
    free = available_bytes()
    return BUDGET_BYTES if free is None else min(BUDGET_BYTES, free // 4)
