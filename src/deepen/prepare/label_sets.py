"""Sets of labels: learned from the training table's list column, then each set as zeros and ones.

An empty set is a sample to which no label applies. A null is a sample whose labels are not known: a fault of level
sample. Names follow the rules of prepare/labels.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.names import nearest
from deepen.prepare import labels
from deepen.prepare.answers import ClassProbability

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class LabelSetAnswer:
    """The labels that apply to a sample.

    label   their names in one line, for reading; "" where none applies
    labels  those whose probability reaches their threshold, in the order of the labels
    top     the most probable labels, whether they are answered or not
    """

    source: str
    label: str
    labels: tuple[str, ...]
    top: tuple[ClassProbability, ...]


def learn(table: pa.Table, column: str, *, faults: list[Fault], given: Sequence[str] = ()) -> list[str]:
    """The label names in their order: the given ones, else all that occur in the training table.

    Raises DataError if there is none. What looks like a typing error is a warning, as for classes.
    """
    if given:
        return list(given)
    flat = _flat(table, column)
    if flat.num_rows == 0:
        raise DataError(f"column {column!r}: no training row has a label; give some.")
    names = set(flat.column(column).to_pylist())
    return list(names) if len(names) == 1 else labels.learn(flat, column, faults=faults)


def encode(
    table: pa.Table, column: str, names: Sequence[str], split: str, faults: list[Fault], *, given: bool = False
) -> tuple[Tensor, np.ndarray]:
    """Which labels apply to each row as a tensor, and which rows have labels: see `sets`."""
    import torch

    found, rows = sets(table, column, names, split, faults, given=given)
    return torch.from_numpy(found), rows


def sets(
    table: pa.Table, column: str, names: Sequence[str], split: str, faults: list[Fault], *, given: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Which labels apply to each row, and which rows have labels.

    given    whether the names were given, so that any other label is an error; otherwise one that was never in training
             is passed over with a warning
    returns  [N, K] float32 of 0 and 1, and the rows of the table they belong to, [N] int64 ascending
    """
    places = {name: index for index, name in enumerate(names)}
    found = np.zeros((table.num_rows, len(names)), np.float32)
    kept = []
    sources = table.column("source")
    for row, members in enumerate(table.column(column).to_pylist()):
        if members is None:
            message = "has no labels; give it some, or an empty list if none applies."
            faults.append(Fault("sample", "label-missing", sources[row].as_py(), message, split, row))
            continue
        kept.append(row)
        for name in (str(member).strip() for member in members if member is not None):
            if name in places:
                found[row, places[name]] = 1
            elif name:
                faults.append(_unknown(name, sources[row].as_py(), names, split, row, given))
    rows = np.array(kept, np.int64)
    return found[rows], rows


def answers(
    logits: Tensor, names: Sequence[str], thresholds: Sequence[float], sources: Sequence[str], *, top: int
) -> list[LabelSetAnswer]:
    """An answer per row of logits `[B, K]`; at most `top` labels with their probability, ties in the labels' order."""
    return answers_of(logits.double().sigmoid().cpu().numpy(), names, thresholds, sources, top=top)


def answers_of(
    probabilities: np.ndarray, names: Sequence[str], thresholds: Sequence[float], sources: Sequence[str], *, top: int
) -> list[LabelSetAnswer]:
    """The same for probabilities `[B, K]` float64."""
    order: list[list[int]] = np.argsort(-probabilities, axis=1, kind="stable")[:, :top].tolist()
    found = []
    for source, row, best in zip(sources, probabilities.tolist(), order, strict=True):
        chosen = tuple(name for name, value, least in zip(names, row, thresholds, strict=True) if value >= least)
        ranked = tuple(ClassProbability(names[k], row[k]) for k in best)
        found.append(LabelSetAnswer(source, ", ".join(chosen), chosen, ranked))
    return found


def _flat(table: pa.Table, column: str) -> pa.Table:
    """One row for each label of each sample, trimmed, with the sample's source."""
    sources, names = [], []
    for source, members in zip(table.column("source").to_pylist(), table.column(column).to_pylist(), strict=True):
        for member in members or ():
            if member is not None and str(member).strip():
                sources.append(source)
                names.append(str(member).strip())
    return pa.table({"source": pa.array(sources, pa.string()), column: pa.array(names, pa.string())})


def _unknown(name: str, place: str, names: Sequence[str], split: str, row: int, given: bool) -> Fault:
    near = nearest(name, names)
    hint = f"; nearest is {near!r}" if near else ""
    known = f"label {name!r} is not one of the {len(names)} known{hint}."
    if given:
        return Fault("error", "label-unknown", place, f"{known} Fix the row or pass --labels.", split, row)
    return Fault("warning", "label-unseen", place, f"{known} It is passed over: no output stands for it.", split, row)
