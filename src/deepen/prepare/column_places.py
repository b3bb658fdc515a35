"""Where each column of a user's table stands among the inputs of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from deepen.prepare import dates
from deepen.prepare.cells import cells_of, is_missing_word, numbers_of
from deepen.prepare.scaling import width_of

EMPTY = "(empty)"
RARE = "(rare or unknown)"


@dataclass(frozen=True)
class ColumnPlace:
    """One column of the table.

    kind    "number", "category" or "date"
    inputs  its places in a row that holds the numbers [F] and after them the categories [G]
    """

    name: str
    kind: str
    inputs: tuple[int, ...]
    state: Mapping[str, Any]


def column_places(state: Mapping[str, Any]) -> list[ColumnPlace]:
    """The columns that became inputs, in their order. `state` is what `tabular.learn` returned."""
    found, number, category = [], 0, 0
    num_numbers = sum(
        width_of(each) for column in state["columns"] for each in column.get("inputs", ()) if each is not None
    )
    for column in state["columns"]:
        if column["kind"] == "category":
            inputs = (num_numbers + category,)
            category += 1
        else:
            width = sum(width_of(each) for each in column["inputs"] if each is not None)
            inputs = tuple(range(number, number + width))
            number += width
        if inputs:
            found.append(ColumnPlace(column["name"], column["kind"], inputs, column))
    return found


def values_of(table: pa.Table, place: ColumnPlace) -> np.ndarray:
    """A number column's numbers, or a date column's years with their fractions: [N] float64, NaN where missing."""
    cells = cells_of(table.column(place.name))
    assert cells is not None and place.kind != "category"
    if place.kind == "number":
        return numbers_of(cells)[0]
    days = [None if is_missing_word(text) else dates.day_of(text, place.state["order"]) for text in cells.values]
    since = dates.date_numbers(days)[:, 0] if days else np.zeros(0)
    return cells.spread(1970 + since / 365.2425, np.nan)


def level_name(place: ColumnPlace, code: int) -> str:
    """The category of a code as the user knows it."""
    return RARE if code == 0 else place.state["levels"][code - 1] or EMPTY
