"""Texts as ids of their tokens, side by side: [B, T] int64, and which of them are there, [B, T] bool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from deepen.core.faults import Fault
from deepen.prepare import text, text_limits


@dataclass(frozen=True)
class Side:
    """One column of texts.

    values  all ids one behind the other
    starts  [N + 1], where each text starts
    least   places that a graph wants at least, `most`: at most; a network with learned positions reads no more
    """

    ids: str
    mask: str
    values: np.ndarray
    starts: np.ndarray
    least: int = 1
    most: int | None = None


@dataclass(frozen=True)
class Texts:
    """Texts of unequal length, made equal batch by batch."""

    sides: tuple[Side, ...]
    kept: np.ndarray
    rows_at_once: int
    pad: int

    def arrays(self, places: np.ndarray) -> dict[str, np.ndarray]:
        """The texts of these rows, each side as long as its longest."""
        found: dict[str, np.ndarray] = {}
        for side in self.sides:
            found[side.ids], found[side.mask] = padded(
                side.values, side.starts, places, self.pad, side.least, side.most
            )
        return found


def prepared(table: pa.Table, state: Mapping[str, Any], split: str, faults: list[Fault]) -> Texts:
    """Every row of the table, a missing text being an empty one.

    state  `text`, what was learned of the training texts; `longest` of them; `pad`; and `sides`, each with the `column`
           of the table and the names of the inputs `ids` and `mask`
    """
    sides = []
    for each in state["sides"]:
        texts = [value or "" for value in table.column(each["column"]).to_pylist()]
        values, starts = text.ids_of(texts, state["text"], split, faults)
        text_limits.say_longer(np.diff(starts), int(state["longest"]), split, faults)
        least, most = state["sizes"].get(f"{each['ids']}_length", (1, None))
        sides.append(Side(each["ids"], each["mask"], values, starts, least, most))
    rows = text_limits.rows_at_once(len(sides) * int(state["longest"]))
    return Texts(tuple(sides), np.arange(table.num_rows), rows, int(state["pad"]))


def padded(
    values: np.ndarray, starts: np.ndarray, places: np.ndarray, pad: int, least: int = 1, most: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """These rows side by side, [B, T, ...] int64 with `pad` behind each end, and which are there.

    T is the length of the longest of these rows, at least `least` and at most `most`.
    """
    begin, lengths = starts[places], starts[places + 1] - starts[places]
    longest = max(least, int(lengths.max(initial=1)))
    steps = np.arange(longest if most is None else min(longest, most))
    mask = steps < lengths[:, None]
    found = np.full((*mask.shape, *values.shape[1:]), pad, np.int64)
    found[mask] = values[(begin[:, None] + steps)[mask]]
    return found, mask
