"""Which column of a user's table is to be learned, which one groups it, and how the table remembers both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import pyarrow as pa

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.names import did_you_mean, nearest
from deepen.data.columns import RESERVED

LIKELY = ("target", "label", "class", "y")
_MARK = b"deepen.target"
_GROUP = b"deepen.group"
_SHOWN = 30


class Target(NamedTuple):
    """The column to learn, and what a cell of it holds: one class, a set of labels, a tag for each token, a number."""

    name: str
    kind: Literal["class", "label set", "tags", "number"]


def choose_target(columns: Sequence[str], asked: str, place: str, faults: list[Fault]) -> str:
    """The name of the column to learn, out of the user's own columns.

    asked    the name (any case and surrounding blanks if only one column fits), or "" to look for a column called
             target, label, class or y, which is then said
    Raises DataError, with the nearest name or the list, where that leaves none or several.
    """
    own = [name for name in columns if name not in RESERVED]
    return found_column(own, asked.strip(), place) if asked.strip() else _guessed(own, place, faults)


def mark_target(table: pa.Table, target: str) -> pa.Table:
    """The table with the target's name kept beside it; taking rows of it keeps that too."""
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _MARK: target.encode()})


def target_of(table: pa.Table) -> str:
    """The name kept by `mark_target`, or "" if there is none."""
    return (table.schema.metadata or {}).get(_MARK, b"").decode()


def mark_group(table: pa.Table, group: str) -> pa.Table:
    """The table with the name of the column kept beside it whose equal values stay in one split."""
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _GROUP: group.encode()})


def group_of(table: pa.Table) -> str:
    """The name kept by `mark_group`, or "" if there is none."""
    return (table.schema.metadata or {}).get(_GROUP, b"").decode()


def found_column(columns: Sequence[str], asked: str, place: str) -> str:
    """The column of this name in any case, or of this number where columns have no names.

    Raises DataError, with the nearest name or the list, if there is none.
    """
    own = [name for name in columns if name not in RESERVED]
    if asked in own:
        return asked
    renamed = f"{asked}_column"
    if asked in RESERVED and renamed in own:
        return renamed
    folded = [name for name in own if name.casefold() == asked.casefold()]
    if len(folded) == 1:
        return folded[0]
    if asked.isdigit() and f"column{asked}" in own:
        return f"column{asked}"
    hint = did_you_mean(asked, own) if nearest(asked, own) else f"; there is: {listed(own)}."
    raise _refusal("target-missing", place, f"there is no column {asked!r}{hint}")


def _guessed(own: list[str], place: str, faults: list[Fault]) -> str:
    likely = [name for name in own if name.casefold() in LIKELY]
    if len(likely) == 1:
        message = f"column {likely[0]!r} is taken as the one to learn; --target NAME takes another."
        faults.append(Fault("note", "target-guessed", place, message))
        return likely[0]
    if not own:
        raise _refusal("target-unknown", place, "there is no column to learn.")
    last = f"the last column is {own[-1]!r}" if not likely else f"{likely[0]!r} or {likely[1]!r}"
    message = f"which column is to be learned is not known; pass --target NAME ({last}). There is: {listed(own)}."
    raise _refusal("target-unknown", place, message)


def _refusal(kind: str, place: str, message: str) -> DataError:
    fault = Fault("error", kind, place, message)
    return DataError(fault.sentence(), [fault])


def listed(names: Sequence[str]) -> str:
    """The names for a message, the first thirty of them."""
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
