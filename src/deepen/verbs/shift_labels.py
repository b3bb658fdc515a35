"""The labels of old and new samples: which there are, counted where both have some, else through a run's answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch

from deepen.core.class_names import in_order, merged
from deepen.data.dataset import Schema
from deepen.data.target import Target, target_of
from deepen.engine.evaluate import batches
from deepen.metrics.share_shift import Counted, black_box_shares, share_shift, shift_of
from deepen.metrics.shift import LabelShift, black_box_shift, label_shift
from deepen.parallel.ranks import Alone
from deepen.prepare import tags
from deepen.prepare.cells import numbers_of
from deepen.prepare.encoded import Encoded
from deepen.prepare.table_target import target_cells
from deepen.verbs.loaded import Loaded
from deepen.verbs.options import task_module

MOST_LABELS = 1_000  # beyond them shares are not compared

UNNAMED = "entity"  # the type of entities that have none

Members = list[list[str]]  # the labels of each sample that has any say on them


@dataclass(frozen=True)
class Labels:
    """The labels' shares in old and new samples.

    shift  None where they cannot be compared: no labels, and no run that would answer, or too many
    names  in the order of the shares
    how    "counted", or "estimated" through a run's answers
    """

    shift: LabelShift | None = None
    names: tuple[str, ...] = ()
    how: Literal["counted", "estimated", ""] = ""


NONE = Labels()


def target_in(task: str, table: pa.Table, schema: Schema) -> Target | None:
    """What is learned of a table: what the task says, else classes in the column that the user or the schema names."""
    told: Any = getattr(task_module(task), "target", None)
    if told is not None:
        return told(table)
    name = target_of(table) or schema.target
    return Target(name, "class") if name in table.column_names else None


def compared(
    model: Loaded | None, tables: dict[str, pa.Table], old: pa.Table, new: pa.Table, target: Target | None
) -> Labels:
    """The labels' shares in both; of numbers none.

    tables  of the run by split: what is held out tells its mistakes
    """
    if target is None or target.kind == "number":
        return NONE
    read = _Read.of(old, target)
    before, now = read.members(old), read.members(new)
    if not before:
        return NONE
    if now:
        names = _names(before, now)
        return Labels(_counted(before, now, names, target), names, "counted") if len(names) <= MOST_LABELS else NONE
    if model is None:
        return NONE
    held = next((name for name in ("val", "test") if name in tables), "train")
    encoded = model.task.encode(tables[held], held, [])
    truths = read.members(encoded.table)
    answers = read.answers(model, encoded)
    new_answers = read.answers(model, model.task.encode(new, "predict", []))
    names = _names(before, truths, answers, new_answers)
    if len(names) > MOST_LABELS or not (truths and new_answers):
        return NONE
    return Labels(_estimated(truths, answers, new_answers, names, target), names, "estimated")


def classes_of(table: pa.Table, target: Target) -> list[str]:
    """The class of each sample, by the names that `compared` gives; all of them have one."""
    return [name for (name,) in _Read.of(table, target).members(table)]


def numbers_in(table: pa.Table, target: Target | None) -> np.ndarray | None:
    """The known numbers to learn, [n] float64; None where none are to be learned or none is there."""
    if target is None or target.kind != "number" or target.name not in table.column_names:
        return None
    found, _ = numbers_of(target_cells(table, target.name))
    known = found[np.isfinite(found)]
    return known if len(known) else None


@dataclass(frozen=True)
class _Read:
    """How labels are read.

    are_types  whether a tag stands for a type of entity, whatever place in an entity it stands for
    """

    target: Target
    are_types: bool

    @staticmethod
    def of(table: pa.Table, target: Target) -> _Read:
        """As the labels of this table are to be read."""
        if target.kind != "tags":
            return _Read(target, are_types=False)
        rows = [[str(tag or "").strip() for tag in cell] for cell in table.column(target.name).to_pylist() if cell]
        return _Read(target, are_types=bool(rows) and tags.scheme_of(rows) != "plain")

    def members(self, table: pa.Table) -> Members:
        """The labels of each sample that has some: one class, a set, or one for each token."""
        if self.target.name not in table.column_names:
            return []
        cells = [cell for cell in table.column(self.target.name).to_pylist() if cell is not None]
        if self.target.kind == "class":
            return _canonical(text for cell in cells if (text := str(cell).strip()))
        rows = [[str(each or "").strip() for each in cell] for cell in cells]
        return [sorted({*row} - {""}) for row in rows] if self.target.kind == "label set" else self._of_tags(rows)

    def answers(self, model: Loaded, encoded: Encoded) -> Members:
        """The same as the run answers it."""
        found: list[Any] = []
        for batch in batches(model.task, encoded, device=model.device, ranks=Alone()):
            with torch.inference_mode():
                found += model.task.answer(model.model, batch, [""] * len(batch.rows))
        if self.target.kind == "class":
            return _canonical(each.label for each in found)
        return (
            [list(each.labels) for each in found]
            if self.target.kind == "label set"
            else self._of_tags([each.tags for each in found])
        )

    def _of_tags(self, rows: Sequence[Sequence[str]]) -> Members:
        if not self.are_types:
            return [list(row) for row in rows]
        parts = [[tags.split_tag(tag) for tag in row] for row in rows]
        return [[tags.OUTSIDE if prefix == tags.OUTSIDE else kind or UNNAMED for prefix, kind in row] for row in parts]


def _canonical(labels: Iterable[str]) -> Members:
    """One name for one class, such as 1 and 1.0."""
    held = list(labels)
    name_of = merged(set(held))
    return [[name_of[label]] for label in held]


def _names(*sides: Members) -> tuple[str, ...]:
    return tuple(in_order({label for side in sides for own in side for label in own}))


def _codes(side: Members, names: Sequence[str]) -> np.ndarray:
    """All labels of all samples one behind the other, as numbers."""
    places = {name: place for place, name in enumerate(names)}
    return np.array([places[label] for own in side for label in own], np.int64)


def _counts(side: Members, names: Sequence[str], target: Target) -> Counted:
    rows = np.repeat(np.arange(len(side)), [len(own) for own in side])
    counts = np.zeros((len(side), len(names)))
    np.add.at(counts, (rows, _codes(side, names)), 1.0)
    sizes = np.array([len(own) for own in side], float) if target.kind == "tags" else np.ones(len(side))
    return Counted(counts, sizes)


def _counted(before: Members, now: Members, names: Sequence[str], target: Target) -> LabelShift:
    if target.kind == "class":
        return label_shift(_codes(before, names), _codes(now, names), len(names))
    return share_shift(_counts(before, names, target), _counts(now, names, target))


def _estimated(
    truths: Members, answers: Members, new_answers: Members, names: Sequence[str], target: Target
) -> LabelShift:
    counts = [_counts(side, names, target) for side in (truths, answers, new_answers)]
    if target.kind == "label set":
        return black_box_shares(*counts)
    codes = [_codes(side, names) for side in (truths, answers, new_answers)]
    found = black_box_shift(codes[0], codes[1], codes[2], len(names))
    if target.kind == "class":
        return found
    return shift_of(found.old, found.new, share_shift(counts[1], counts[2]).p)
