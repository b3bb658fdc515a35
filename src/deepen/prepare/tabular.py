"""Rows of a user's table as numbers and categories for a network: learned from the training rows, by column name.

Numbers become standard normal inputs (`scaling`), a missing one gets the median and an input of its own that says so.
Categories are numbered from 1 in the order of their texts; 0 stands for everything unknown: categories not seen in
training, and those seen in fewer than `rare` rows, by which the network learns what "unknown" means. An empty cell is a
category of its own; a word such as NA or None in a column of categories is a category like any other, which loses
nothing. Dates become four numbers. What each column is taken for is decided in `column_types` and said out loud.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.names import nearest
from deepen.core.units import plural
from deepen.prepare import dates
from deepen.prepare.cells import MISSING_WORDS, Cells, cells_of, is_missing_word, numbers_of
from deepen.prepare.column_types import ColumnType, type_of
from deepen.prepare.leaks import ORDERED, SUSPICIOUS, telling, telling_category
from deepen.prepare.scaling import learn_scaling, learn_whitening, scaled, whitened, width_of

OURS = ("source", "key")
EMPTY = ""  # the level of an empty cell
UNKNOWN = 0
_SHOWN = 12
LEAST_KNOWN = 20  # numbers in a column below which nothing is called far
FAR = 1e4  # times the width that nine in ten numbers take; heavy tails (money, counts) stay far below it


@dataclass(frozen=True)
class ColumnOptions:
    """What columns of a table are taken for, where looking at them gives the wrong answer."""

    leave_out: tuple[str, ...] = field(default=(), metadata={"help": "columns not to learn from"})
    as_category: tuple[str, ...] = field(default=(), metadata={"help": "columns to take as categories"})
    as_number: tuple[str, ...] = field(default=(), metadata={"help": "columns to take as numbers"})
    as_date: tuple[str, ...] = field(default=(), metadata={"help": "columns to take as dates"})
    dates: Literal["auto", "day-first", "month-first"] = field(
        default="auto", metadata={"help": "what comes first in dates such as 03/04/2020"}
    )
    rare: int = field(default=3, metadata={"help": "categories in fewer training rows count as unknown", "least": 1})
    whiten: bool = field(
        default=False, metadata={"help": "turn number columns so that they are uncorrelated, each near itself (ZCA)"}
    )


def learn(
    table: pa.Table, target: str, options: ColumnOptions, faults: list[Fault], *, group: str = ""
) -> dict[str, Any]:
    """What `encode` needs, JSON-able: {"target", "columns": [...], "left_out": {name: why}, "num_rows"}.

    table    the training rows whose target is known, with `source`
    group    a column that only says what belongs together: nothing is learned from it
    faults   gets columns that cannot be used (error), are left out (warning), and what each is taken for (note)
    Raises DataError if an option names no column.
    """
    _refuse_unknown_names(table, options)
    columns, left_out = [], {}
    for name in features_of(table, target):
        if name in options.leave_out:
            left_out[name] = "--columns.leave-out"
            continue
        if name == group:
            left_out[name] = "--group"
            message = "groups the rows (--group), so nothing is learned from it."
            faults.append(Fault("note", "column-group", f"column {name!r}", message))
            continue
        state = _learned_column(table, name, options, faults)
        if state["kind"] == "left out":
            left_out[name] = state["why"]
        else:
            columns.append(state)
    if not columns and not any(fault.level == "error" for fault in faults):
        message = f"no column is left to learn {target!r} from; there is: {', '.join(table.column_names) or 'none'}."
        faults.append(Fault("error", "no-features", "", message))
    _say(columns, faults)
    found = {"target": target, "columns": columns, "left_out": left_out, "num_rows": table.num_rows}
    if options.whiten and measures_of(found).any():
        numbers, _, _ = encode(table, found, "train", [])
        found["whitening"] = learn_whitening(numbers, measures_of(found))
    return found


def encode(
    table: pa.Table, state: dict[str, Any], split: str, faults: list[Fault]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The table as inputs of a network, columns found by name in whatever order.

    returns numbers [M, F] float32, categories [M, G] int64, and kept [M] int64: the rows of the table they stand for;
    left out are rows with a cell that cannot be read in its column (level sample). Unknown categories are counted in a
    note, columns that training did not have in a warning. Raises DataError if a column is missing.
    """
    numbers, categories, kept = values_of(table, state, split, faults)
    columns = [scaled(numbers[:, place], each) for place, each in enumerate(inputs_of(state))]
    inputs = np.concatenate([np.zeros((len(kept), 0), np.float32), *columns], axis=1)
    if "whitening" in state:
        inputs = whitened(inputs, measures_of(state), state["whitening"])
    return inputs, categories, kept


def values_of(
    table: pa.Table, state: dict[str, Any], split: str, faults: list[Fault]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `encode` scales: numbers as they stand in the table, [M, R] float64 in the order of `inputs_of`.

    A missing number is NaN. Categories, kept rows and faults are those of `encode`.
    """
    _refuse_missing_columns(table, state)
    _warn_of_extra_columns(table, state, faults)
    is_bad = np.zeros(table.num_rows, dtype=bool)
    numbers, categories = [np.zeros((table.num_rows, 0))], [np.zeros((table.num_rows, 0), np.int64)]
    for column in state["columns"]:
        cells = cells_of(table.column(column["name"]))
        if cells is None:
            raise _wrong_type(table, column["name"])
        if column["kind"] == "category":
            codes = _category_codes(cells, column)
            categories.append(codes[:, None])
            if split != "train":
                _say_unknown(cells, codes, column["name"], faults)
            continue
        values, bad = _values(cells, column)
        _add_bad_cells(table, column, cells, bad & ~is_bad, split, faults)
        is_bad |= bad
        numbers.extend(values[:, [i]] for i, each in enumerate(column["inputs"]) if each is not None)
    kept = np.flatnonzero(~is_bad)
    return np.concatenate(numbers, axis=1)[kept], np.concatenate(categories, axis=1)[kept], kept


def shape_of(state: dict[str, Any]) -> tuple[int, tuple[int, ...]]:
    """How many number inputs there are, and how many categories each category column has, the unknown one included."""
    levels = tuple(len(column["levels"]) + 1 for column in state["columns"] if column["kind"] == "category")
    return sum(map(width_of, inputs_of(state))), levels


def inputs_of(state: dict[str, Any]) -> list[dict[str, Any]]:
    """How each number is scaled, in order; a date is several numbers."""
    return [each for column in state["columns"] for each in column.get("inputs", ()) if each is not None]


def measures_of(state: dict[str, Any]) -> np.ndarray:
    """[F] bool: which number inputs are a column's value, and not the sign that it is missing."""
    return np.array([place == 0 for each in inputs_of(state) for place in range(width_of(each))], dtype=bool)


def features_of(table: pa.Table, target: str) -> list[str]:
    """The columns that are neither the target nor ours."""
    return [name for name in table.column_names if name != target and name not in OURS]


def warn_of_leaks(
    table: pa.Table, state: dict[str, Any], target: np.ndarray, faults: list[Fault], *, is_class: bool
) -> None:
    """Adds a warning for each column that tells the target by itself, and for an order of the file that does.

    table    the training rows, as given to `learn`
    target   [N] class numbers, or numbers
    """
    name = state["target"]
    for column in state["columns"]:
        cells = cells_of(table.column(column["name"]))
        assert cells is not None
        share, is_order = _tells(cells, column, target, is_class=is_class)
        if is_order and share >= ORDERED:
            _add_order(column["name"], name, share, target, faults, is_class=is_class)
        elif share >= SUSPICIOUS:
            message = f"alone tells {name!r} with {_share_name(target, is_class)} {share:.3f}; is it known beforehand?"
            faults.append(Fault("warning", "leak", f"column {column['name']!r}", f"{message} {_mend(column['name'])}"))
    for left, why in state["left_out"].items():
        if "identifier" in why and left in table.column_names:
            values, _ = numbers_of(cells_of(table.column(left)) or Cells((), np.full(table.num_rows, -1)))
            share = telling(values, target, is_class=is_class)
            if share >= ORDERED:
                _add_order(left, name, share, target, faults, is_class=is_class)


def _tells(cells: Cells, column: dict[str, Any], target: np.ndarray, *, is_class: bool) -> tuple[float, bool]:
    if column["kind"] == "category":
        return telling_category(cells.codes + 1, target, is_class=is_class), False
    values, _ = _values(cells, column)
    return telling(values[:, 0], target, is_class=is_class), column["kind"] == "date"


def _share_name(target: np.ndarray, is_class: bool) -> str:
    if not is_class:
        return "(1 + rank correlation) / 2 of"
    return "AUC" if len(np.unique(target)) == 2 else "a share of right rows of"


def _mend(name: str) -> str:
    return f"--columns.leave-out {name} leaves it out."


def _add_order(
    column: str, target: str, share: float, target_values: np.ndarray, faults: list[Fault], *, is_class: bool
) -> None:
    message = (
        f"tells {target!r} with {_share_name(target_values, is_class)} {share:.3f}, so the rows are sorted or drift; "
        "split by time or group rather than at random."
    )
    faults.append(Fault("warning", "leak-order", f"column {column!r}", message))


def _refuse_unknown_names(table: pa.Table, options: ColumnOptions) -> None:
    for flag in ("leave_out", "as_category", "as_number", "as_date"):
        for name in getattr(options, flag):
            if name not in table.column_names:
                near = nearest(name, table.column_names)
                hint = f"; did you mean {near}?" if near else f"; there is: {', '.join(table.column_names)}."
                raise DataError(f"--columns.{flag.replace('_', '-')} {name}: there is no such column{hint}")


def _learned_column(table: pa.Table, name: str, options: ColumnOptions, faults: list[Fault]) -> dict[str, Any]:
    cells = cells_of(table.column(name))
    if cells is None:
        faults.extend(_wrong_type(table, name).faults)
        return {"name": name, "kind": "left out", "why": "holds lists or bytes"}
    asked = "category" if name in options.as_category else "number" if name in options.as_number else ""
    asked = asked or ("date" if name in options.as_date else "")
    kind = type_of(name, cells, _places(table), faults, asked=asked, dates_as=options.dates)
    if kind.kind == "left out":
        return {"name": name, "kind": kind.kind, "why": kind.why}
    if kind.kind == "category":
        return {"name": name, "kind": "category", **_levels(cells, kind, options.rare)}
    state: dict[str, Any] = {"name": name, "kind": kind.kind, "order": kind.order}
    values, _ = _values(cells, state)
    if kind.kind == "number":
        _warn_of_far_number(values[:, 0], name, table, cells, faults)
    return state | {"inputs": [_learned_input(values[:, i]) for i in range(values.shape[1])]}


def _warn_of_far_number(values: np.ndarray, name: str, table: pa.Table, cells: Cells, faults: list[Fault]) -> None:
    """Adds a warning where a number lies so far outside the others that it is more likely a slip than a measurement."""
    known = values[np.isfinite(values)]
    if len(known) < LEAST_KNOWN:
        return
    low, middle, high = np.quantile(known, (0.05, 0.5, 0.95))
    distance = np.abs(np.where(np.isfinite(values), values, middle) - middle)
    row = int(distance.argmax())
    if distance[row] > FAR * max(high - low, 1e-300) and high > low:
        message = (
            f"column {name!r} holds {cells.values[cells.codes[row]]!r}, but nine in ten cells lie between {low:g} and "
            f"{high:g}; if it is a slip, mend it or leave the cell empty."
        )
        faults.append(Fault("warning", "number-far", _places(table)(row), message))


def _learned_input(values: np.ndarray) -> dict[str, Any] | None:
    """How to scale one input, None for one that never varies."""
    known = values[np.isfinite(values)]
    if len(np.unique(known)) < 2 and len(known) == len(values):
        return None
    return learn_scaling(values) if len(known) else None


def _levels(cells: Cells, kind: ColumnType, rare: int) -> dict[str, Any]:
    """The categories seen often enough, in the order of their texts, an empty cell being the text ""."""
    counts: dict[str, int] = {}
    for text, count in zip(cells.values, cells.counts().tolist(), strict=True):
        folded = text.casefold() if kind.ignores_case else text
        counts[folded] = counts.get(folded, 0) + count
    num_empty = int((cells.codes < 0).sum())
    if num_empty:
        counts[EMPTY] = num_empty
    kept = sorted(text for text, count in counts.items() if count >= rare)
    return {"levels": kept, "ignores_case": kind.ignores_case, "num_rare": len(counts) - len(kept)}


def _category_codes(cells: Cells, column: dict[str, Any]) -> np.ndarray:
    """[N] int64: the place of each cell's level, from 1, or UNKNOWN."""
    places = {level: index for index, level in enumerate(column["levels"], start=1)}
    fold = str.casefold if column["ignores_case"] else str
    per_value = np.array([places.get(fold(text), UNKNOWN) for text in cells.values], dtype=np.int64)
    return cells.spread(per_value, places.get(EMPTY, UNKNOWN)).astype(np.int64)


def _say_unknown(cells: Cells, codes: np.ndarray, name: str, faults: list[Fault]) -> None:
    """Counts the cells whose category training did not know, with the first of them."""
    rows = np.flatnonzero(codes == UNKNOWN)
    if len(rows):
        text = cells.values[cells.codes[rows[0]]] if cells.codes[rows[0]] >= 0 else ""
        message = f"{plural(len(rows), 'cell')} unknown to training or rare there, such as {text!r}."
        faults.append(Fault("note", "category-unknown", f"column {name!r}", message))


def _values(cells: Cells, column: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers [N, 1], or [N, 4] for dates, NaN where missing; and which rows hold something else [N] bool."""
    if column["kind"] == "number":
        values, bad = numbers_of(cells)
        return values[:, None], bad
    days = [None if is_missing_word(text) else dates.day_of(text, column["order"]) for text in cells.values]
    unread = [day is None and not is_missing_word(text) for text, day in zip(cells.values, days, strict=True)]
    per_value = dates.date_numbers(days)
    values = np.stack([cells.spread(per_value[:, i], np.nan) for i in range(4)], axis=1)
    return values, cells.spread(np.array(unread, dtype=bool), False)


def _add_bad_cells(
    table: pa.Table, column: dict[str, Any], cells: Cells, bad: np.ndarray, split: str, faults: list[Fault]
) -> None:
    what = "a finite number" if column["kind"] == "number" else f"a date ({column['order']})"
    for row in np.flatnonzero(bad).tolist():
        text = cells.values[cells.codes[row]]
        message = f"column {column['name']!r} holds {text!r}, expected {what}; mend it or leave the cell empty."
        faults.append(Fault("sample", f"bad-{column['kind']}", _places(table)(row), message, split, row))


def _places(table: pa.Table) -> Callable[[int], str]:
    sources = table.column("source")
    return lambda row: sources[row].as_py()


def _refuse_missing_columns(table: pa.Table, state: dict[str, Any]) -> None:
    missing = [column["name"] for column in state["columns"] if column["name"] not in table.column_names]
    if not missing:
        return
    place = table.column("source")[0].as_py().split(", row ")[0] if table.num_rows else ""
    own = [name for name in table.column_names if name not in OURS]
    near = nearest(missing[0], own)
    hint = f" (there is {near!r})" if near else ""
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    message = (
        f"column {missing[0]!r}{hint}{more} is missing, which training learned from; add it, or leave its cells empty."
    )
    raise DataError(f"{place}: {message}", [Fault("error", "column-missing", place, message)])


def _warn_of_extra_columns(table: pa.Table, state: dict[str, Any], faults: list[Fault]) -> None:
    known = {*(column["name"] for column in state["columns"]), *state["left_out"], state["target"], *OURS}
    extra = [name for name in table.column_names if name not in known]
    if extra:
        message = f"{plural(len(extra), 'column')} that training did not have: {_listed(extra)}; not used."
        faults.append(Fault("warning", "column-extra", "", message))


def _wrong_type(table: pa.Table, name: str) -> DataError:
    message = (
        f"holds {table.schema.field(name).type}, expected numbers, texts or dates; pass --columns.leave-out {name}."
    )
    fault = Fault("error", "column-type", f"column {name!r}", message)
    return DataError(fault.sentence(), [fault])


def _say(columns: Sequence[dict[str, Any]], faults: list[Fault]) -> None:
    """Says what each column was taken for."""
    for kind, word in (("number", "numbers"), ("category", "categories"), ("date", "dates")):
        names = [column["name"] for column in columns if column["kind"] == kind]
        if names:
            faults.append(
                Fault("note", f"columns-{kind}", "", f"{plural(len(names), 'column')} of {word}: {_listed(names)}.")
            )
    rare = [column["name"] for column in columns if column.get("num_rare")]
    if rare:
        message = f"rare categories count as unknown in {plural(len(rare), 'column')}: {_listed(rare)}."
        faults.append(Fault("note", "columns-rare", "", message))
    gaps = [c["name"] for c in columns for each in c.get("inputs", ()) if each is not None and each["has_missing"]]
    if gaps:
        words = ", ".join(MISSING_WORDS[:8])
        message = f"{plural(len(set(gaps)), 'column')} with missing numbers (empty, {words}, ...): {_listed(gaps)}."
        faults.append(Fault("note", "columns-missing", "", message))


def _listed(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
