"""Rows of a table for a graph that scales them itself: numbers as they stand, NaN where missing, and categories.

numbers     [B, R] float64
categories  [B, G] int64, 0 where training did not know one
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from deepen.core.faults import Fault
from deepen.prepare import tabular
from deepen.runtime.rows import Whole


def prepared(table: pa.Table, state: dict[str, Any], split: str, faults: list[Fault]) -> Whole:
    """The rows whose cells can be read. Raises DataError if a column is missing."""
    numbers, categories, kept = tabular.values_of(table, state["table"], split, faults)
    return Whole({"numbers": numbers, "categories": categories}, kept)
