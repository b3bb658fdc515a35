"""A text as one stream of ids, in stretches that are scored or lines that are answered, and how a graph reads them.

ids      [B, L] int64, what is read
targets  [B, L] int64, what comes after each of them
first    [B] int64, the first place whose target is scored
length   [B] int64, the places that count
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from deepen.core.faults import Fault
from deepen.ops import reading_windows
from deepen.prepare import language_rows
from deepen.prepare.corpus import Stretches
from deepen.prepare.language import Words

MOST_ROWS = 64
MOST_POSITIONS = 4096  # of all rows in one call of a graph
MOST_SCORES = 1 << 24  # of all words at these positions: 64 MiB of float32
POSITIONS_OF_ROW = 32  # in one call, about, where there is no window
LARGEST_STATE = 1 << 24  # numbers of one row

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class StreamRows:
    """Rows of a stream.

    stream   [total] int32
    rows     where each begins, is scored from, and ends
    samples  with the `source` of each row: these are answered, not the blocks of the table
    """

    stream: np.ndarray
    rows: Stretches
    samples: pa.Table
    rows_at_once: int

    @property
    def kept(self) -> np.ndarray:
        """All rows."""
        return np.arange(len(self.rows))

    def arrays(self, places: np.ndarray) -> dict[str, np.ndarray]:
        """These rows, L the most that one of them reads; behind the end of the stream stands its last id."""
        begin, start, stop = self.rows.begin[places], self.rows.start[places], self.rows.stop[places]
        steps = np.arange(int((stop - begin).max(initial=1)) + 1)
        read = self.stream[np.minimum(begin[:, None] + steps, len(self.stream) - 1)].astype(np.int64)
        return {"ids": read[:, :-1], "targets": read[:, 1:], "first": start - begin, "length": stop - begin}


def prepared(table: pa.Table, state: Mapping[str, Any], split: str, faults: list[Fault]) -> StreamRows:
    """The rows of a table, as prepare/language_rows cuts them.

    state  `text` and `has_ends`, what was learned of the tokens; `sequence_length`, `stretch` and `context`, how a
           text is cut; and what `Calls` asks
    """
    cuts = {"window": "sequence_length", "stretch": "stretch", "context": "context"}
    lengths = {name: int(state[other]) for name, other in cuts.items()}
    found = language_rows.read(table, Words(dict(state)), split, faults, **lengths)
    rows = max(1, min(MOST_ROWS, _positions(state) // int(state["window"] or POSITIONS_OF_ROW)))
    return StreamRows(found.stream.ids, found.rows, pa.table({"source": found.sources()}), rows)


class Calls:
    """Calls a graph for rows of any length: part by part, each with the state that the one before it ended in, or
    window by window.

    state  `window`, places of a call, null where the graph has a state; `begun`, the state before a text as runs of
           equal numbers; `words` of the vocabulary; `context`, places that a later window reads before those it scores

    The graph maps ids, targets [B, T] and, where there is no window, state [B, S] to [B, T + S]: ln p of the targets,
    and the state behind them. The windows are those of nn/next_token.py.
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.window, self.context = state["window"], int(state["context"])
        self.most = _positions(state)
        values, counts = zip(*state["begun"], strict=True) if state["begun"] else ((), ())
        if sum(counts) > LARGEST_STATE or (self.window is not None and int(self.window) < 1):
            raise ValueError("a state or a window is of no size that a network has")
        self.begun = np.repeat(np.asarray(values, np.float32), np.asarray(counts, np.int64))

    def first(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """The inputs of the first call."""
        begin, _, end = self._parts(*arrays["ids"].shape)[0]
        return self._inputs(arrays, begin, end, self._begun(len(arrays["ids"])))

    def outputs(self, call: Callable[[Arrays], np.ndarray], arrays: Arrays) -> np.ndarray:
        """ln p of each scored target, [B, S] float32: those of a row from its first on, NaN behind its last."""
        batch, length = arrays["ids"].shape
        found = np.full((batch, length), np.nan, np.float32)
        state = self._begun(batch)
        for begin, fresh, end in self._parts(batch, length):
            given = call(self._inputs(arrays, begin, end, state))
            found[:, fresh:end] = given[:, fresh - begin : end - begin]
            state = given[:, end - begin :]
        return from_first(found, arrays["first"], arrays["length"])

    def _parts(self, batch: int, length: int) -> list[tuple[int, int, int]]:
        if self.window is None:
            return reading_windows.parts(batch, length, self.most)
        return reading_windows.windows(length, int(self.window), self.context)

    def _inputs(self, arrays: Arrays, begin: int, end: int, state: np.ndarray) -> dict[str, np.ndarray]:
        found = {name: np.ascontiguousarray(arrays[name][:, begin:end]) for name in ("ids", "targets")}
        return found if self.window is not None else found | {"state": np.ascontiguousarray(state)}

    def _begun(self, batch: int) -> np.ndarray:
        return np.repeat(self.begun[None], batch, 0)


def from_first(found: np.ndarray, first: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Each row of [B, L] from its first place on, up to its length, NaN behind: [B, S], S at least 1."""
    places, inside = scored_places(first, length)
    shifted = np.take_along_axis(found, np.minimum(places, found.shape[1] - 1), 1)
    return np.where(inside, shifted, np.float32(np.nan))


def scored_places(first: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scored places of each row [B, S], and which of them are there, [B, S] bool."""
    places = first[:, None] + np.arange(max(1, int((length - first).max(initial=0))))
    return places, places < length[:, None]


def _positions(state: Mapping[str, Any]) -> int:
    """How many positions of all rows together a call may have."""
    return max(1, min(MOST_POSITIONS, MOST_SCORES // max(1, int(state["words"]))))
