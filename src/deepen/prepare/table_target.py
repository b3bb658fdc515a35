"""The column of a table to learn: classes as texts, or numbers and the scale on which they are learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.names import did_you_mean
from deepen.prepare.cells import Cells, cells_of, is_missing_word, is_plain_number, numbers_of

MANY_CLASSES = 50
SKEWED = 1.0
MISSING_CLASS = "nan"


def target_cells(table: pa.Table, target: str) -> Cells:
    """The target's cells. Raises DataError, with the nearest name, if there is no such column or it holds lists."""
    if target not in table.column_names:
        hint = did_you_mean(target, [name for name in table.column_names if name not in ("source", "key")])
        raise _refusal("target-missing", f"there is no column {target!r} to learn{hint}")
    cells = cells_of(table.column(target))
    if cells is None:
        kind = table.schema.field(target).type
        raise _refusal("target-type", f"column {target!r} holds {kind}, expected class names or numbers.")
    return cells


def with_classes(table: pa.Table, target: str) -> pa.Table:
    """The table with its target as trimmed texts, null where a cell is empty or NaN.

    Nothing else is missing here: a class may well be called NA or None.
    """
    cells = target_cells(table, target)
    texts = [None if text.casefold() == MISSING_CLASS else text for text in cells.values] + [None]
    column = pa.array([texts[code] for code in cells.codes.tolist()], pa.string())
    return table.set_column(table.column_names.index(target), target, column)


def look_at_classes(cells: Cells, target: str, faults: list[Fault]) -> None:
    """Adds an error if the column holds measured numbers or nearly as many classes as rows; says classes such as NA."""
    place, counts = f"column {target!r}", cells.counts()
    if len(cells.values) > MANY_CLASSES and _measured(cells.values):
        message = f"holds {len(cells.values):,} different numbers; to predict a number use tabular-regression."
        faults.append(Fault("error", "many-classes", place, message))
    elif len(cells.values) > max(MANY_CLASSES, counts.sum() / 2):
        message = f"holds {len(cells.values):,} classes in {counts.sum():,} rows; expected several rows of each class."
        faults.append(Fault("error", "many-classes", place, message))
    for name, count in zip(cells.values, counts.tolist(), strict=True):
        if is_missing_word(name) and name.casefold() != MISSING_CLASS:
            message = f"{name!r} is taken as a class of {count:,} rows, not as missing; empty those cells if it is."
            faults.append(Fault("note", "class-word", place, message))


def known_numbers(cells: Cells) -> np.ndarray:
    """[N] bool: which rows have a finite number."""
    return np.isfinite(numbers_of(cells)[0])


def learn_number_scale(cells: Cells, target: str, transform: str, faults: list[Fault]) -> dict[str, Any]:
    """{"log", "mean", "deviation"} of the numbers as they are learned.

    "auto" learns the logarithm where all numbers are positive, their skewness is beyond 1 either way, and that of their
    logarithms is smaller. Adds errors: a column that holds no numbers, a constant, a logarithm of what is not positive.
    """
    place = f"column {target!r}"
    values = numbers_of(cells)[0][known_numbers(cells)]
    odd = [text for text in cells.values if not is_missing_word(text) and not is_plain_number(text)]
    if len(values) == 0 or len(odd) > len(cells.values) / 2:
        message = f"holds {odd[0] if odd else 'nothing'!r}, expected numbers; for classes use tabular-classification."
        return _without_scale(Fault("error", "target-not-numbers", place, message), faults)
    if len(np.unique(values)) < 2:
        message = f"every row is {values[0]:g}, so there is nothing to learn; expected numbers that differ."
        return _without_scale(Fault("error", "target-constant", place, message), faults)
    if transform == "log" and values.min() <= 0:
        message = f"holds {values.min():g}, which has no logarithm; pass --target-transform none."
        return _without_scale(Fault("error", "target-not-positive", place, message), faults)
    is_log = transform == "log" or (transform == "auto" and _is_better_as_log(values))
    if is_log and transform == "auto":
        message = (
            f"its logarithm is learned (skewness {skewness(values):.1f}, of the logarithm "
            f"{skewness(np.log(values)):.1f}), so answers are medians; --target-transform none learns it as it is."
        )
        faults.append(Fault("note", "target-log", place, message))
    learned = np.log(values) if is_log else values
    return {"log": bool(is_log), "mean": float(learned.mean()), "deviation": float(learned.std())}


def numbers_with_faults(
    table: pa.Table, cells: Cells, target: str, split: str, faults: list[Fault], *, positive: bool
) -> np.ndarray:
    """The target's numbers [N] float64, NaN for rows whose cell is none (or not positive, if so asked): faults."""
    values = numbers_of(cells)[0]
    if positive:
        values = np.where(values > 0, values, np.nan)
    wanted = "a positive number, since its logarithm is learned" if positive else "a finite number"
    sources = table.column("source")
    for row in np.flatnonzero(np.isnan(values)).tolist():
        text = cells.values[cells.codes[row]] if cells.codes[row] >= 0 else ""
        kind = "target-empty" if not text or is_missing_word(text) else "target-bad"
        message = f"column {target!r} holds {text!r}, expected {wanted}; mend it or remove the row."
        faults.append(Fault("sample", kind, sources[row].as_py(), message, split, row))
    return values


def to_learned(values: np.ndarray, scale: dict[str, Any]) -> np.ndarray:
    """Numbers as they are learned: their logarithm if so stated, then with mean 0 and deviation 1."""
    return ((np.log(values) if scale["log"] else values) - scale["mean"]) / scale["deviation"]


def skewness(values: np.ndarray) -> float:
    """The mean cubed distance from the mean, in deviations."""
    deviation = values.std()
    return float((((values - values.mean()) / deviation) ** 3).mean()) if deviation > 0 else 0.0


def _is_better_as_log(values: np.ndarray) -> bool:
    skew = abs(skewness(values))
    return values.min() > 0 and skew > SKEWED and abs(skewness(np.log(values))) < skew


def _measured(texts: tuple[str, ...]) -> bool:
    numbers = [float(text) for text in texts if is_plain_number(text)]
    if len(numbers) < len(texts) * 0.9:
        return False
    return any(number != np.floor(number) for number in numbers) or len(numbers) > 2 * MANY_CLASSES


def _without_scale(fault: Fault, faults: list[Fault]) -> dict[str, Any]:
    faults.append(fault)
    return {"log": False, "mean": 0.0, "deviation": 1.0}


def _refusal(kind: str, message: str) -> DataError:
    return DataError(message, [Fault("error", kind, "", message)])
