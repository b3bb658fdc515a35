"""`train --weights RUN`: tables with a row for each token, from a run that knows other tokens than this one.

Two vocabularies of 10,000 words have tables of one shape, but row 7 is another word in each. So rows go by what they
stand for:

    a row whose token the run knows has the run's values, wherever it stood; the others keep their fresh draw
    what hangs on all tokens together, such as classes of words by frequency, is left at a fresh start
    where both vocabularies are the same, in the same order, nothing is different from other weights

Tables of other lengths fit, too, as long as their rows are of one width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from deepen.bundle import load
from deepen.engine.task import NamedRows, Task
from deepen.verbs.loaded import task_of


@dataclass(frozen=True)
class Rows:
    """What the rows of a network's tables stand for, and of a run's, by the tensor's name."""

    ours: Mapping[str, Sequence[str] | None]
    theirs: Mapping[str, Sequence[str] | None]

    @property
    def differ(self) -> bool:
        """Whether any table that both have has other rows."""
        return any(self.ours[name] != self.theirs[name] for name in self.ours if name in self.theirs)


def rows_of(task: Task, folder: Path, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Rows | None:
    """The rows of the task's network and of the run in a folder, None where either knows none or both are the same.

    state, expected  the run's weights, and the state of the task's network

    Raises RunError if what the run learned is missing, damaged or of another version.
    """
    if not isinstance(task, NamedRows):
        return None
    header: Mapping[str, Any] = load.load_header(folder)
    _, other = task_of(folder, header)
    if not isinstance(other, NamedRows):
        return None
    rows = Rows(task.row_names(expected), other.row_names(state))
    return rows if rows.differ else None


def by_rows(
    rows: Rows, state: Mapping[str, Tensor], fresh: Callable[[], Mapping[str, Tensor]]
) -> tuple[dict[str, Tensor], list[str]]:
    """The run's weights as they fit the tokens of the task, and a sentence for each table.

    state    the run's weights
    fresh    gives the state of the task's network as it is drawn
    returns  `state` without what other tokens make worthless, and with tables whose rows are in the task's order
    """
    kept = {name: tensor for name, tensor in state.items() if name not in rows.ours and name not in rows.theirs}
    drawn, notes = fresh(), []
    for name, ours in rows.ours.items():
        theirs = rows.theirs.get(name)
        if ours is None and name in rows.theirs:
            notes.append(f"weights: {name}: hangs on all tokens together, and the run has others, so it starts fresh")
        if ours is None or theirs is None or state[name].shape[1:] != drawn[name].shape[1:]:
            continue
        place = {token: row for row, token in enumerate(theirs)}
        pairs = [(row, place[token]) for row, token in enumerate(ours) if token in place]
        notes.append(
            f"weights: {name}: {len(pairs):,} of {len(ours):,} rows are those of the same tokens; the run has other "
            "tokens, so the rest starts fresh"
        )
        if pairs:
            to, source = (list(each) for each in zip(*pairs, strict=True))
            kept[name] = drawn[name].clone()
            kept[name][to] = state[name][source].to(drawn[name].dtype)
    return kept, notes
