"""Whether data come from where a run's training data, or other data, came from; and weights that make up for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch

from deepen.bundle.header import RUN_FILE
from deepen.core.errors import DataError, OptionError, RunError
from deepen.core.faults import Fault
from deepen.core.units import plural
from deepen.data.dataset import Dataset, Schema
from deepen.data.target import target_of
from deepen.engine.evaluate import BATCH_SIZE
from deepen.engine.task import SharedOutputs
from deepen.metrics import shift
from deepen.metrics.shift import LabelShift, Moved, Told
from deepen.prepare import vectors
from deepen.prepare.column_places import column_places, values_of
from deepen.prepare.encoded import Encoded
from deepen.prepare.image_guard import guarded
from deepen.prepare.tabular import ColumnOptions
from deepen.verbs.loaded import Loaded, loaded
from deepen.verbs.options import Resolved
from deepen.verbs.prepared import cut_up, read

SIDE = 32  # pictures are compared at no more than this
COMPONENTS = 32
MOST_LABELS = 50  # different values of a target column up to which they count as classes
SHOWN = 5


@dataclass(frozen=True)
class Sides:
    """The same measures of old and new samples.

    old, new    [n, D] and [m, D]
    measures    by name, old and new: what can be named to a person
    """

    old: np.ndarray
    new: np.ndarray
    measures: tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Shift:
    """What is different about new data.

    labels      None where classes cannot be compared: no labels, and no run that would answer
    names       the classes, in the order of the shares
    how         "counted", or "estimated" through a run's answers
    """

    against: str
    told: Told
    moved: tuple[Moved, ...]
    labels: LabelShift | None = None
    names: tuple[str, ...] = ()
    how: Literal["counted", "estimated", ""] = ""
    counts: tuple[int, int] = (0, 0)
    layout: str = ""
    faults: tuple[Fault, ...] = field(default=(), repr=False)

    @property
    def is_shift(self) -> bool:
        """Whether anything differs by more than chance."""
        return self.told.is_shift or bool(self.moved) or (self.labels is not None and self.labels.is_shift)


def compare(task: str, data: str | Path | Dataset, against: str | Path | Dataset, chosen: Resolved) -> Shift:
    """How the data differ from those that a run was trained on, or from other data.

    data     new samples; labels are used where there are any
    against  a run folder, or data in any layout

    Raises DataError, RunError or OptionError.
    """
    model = _run(task, against)
    free = _without_targets(chosen)
    newer, _ = read(task, data, free)
    new = _whole(newer)
    if model is not None:
        dataset, schema, own = _data_of(model)
        tables = cut_up(dataset, schema, own, []).tables
        old = tables["train"]
    else:
        dataset, schema = read(task, against, free)
        tables, old = {}, _whole(dataset)
    with guarded():
        sides = _sides(old, new, schema)
        told = shift.classifier_test(sides.old, sides.new, seed=chosen.fit.seed)
        moved = shift.moved(*sides.measures)
        labels, names, how = _labels(model, tables, old, new, schema)
    counts = (old.num_rows, new.num_rows)
    place = against.name if isinstance(against, Dataset) else str(against)
    found = Shift(place, told, tuple(moved), labels, names, how, counts, newer.layout)
    return dataclasses.replace(found, faults=(*newer.faults, *_faults(found)))


def weights(
    task: str, train: pa.Table, wanted: str | Path, by: Literal["covariate", "label"], run: str | None, chosen: Resolved
) -> np.ndarray:
    """One weight for each row of the training table, mean 1, under which it looks like the wanted data: [n] float32."""
    dataset, schema = read(task, wanted, _without_targets(chosen))
    new = _whole(dataset)
    if by == "covariate":
        sides = _sides(train, new, schema)
        if len(sides.old) != train.num_rows:
            raise DataError("--reweight: expected every training sample to be usable; leave out the bad ones first.")
        return shift.density_ratios(sides.old, sides.new, seed=chosen.fit.seed).astype(np.float32)
    target = target_of(train) or schema.target
    model = _run(task, run) if run else None
    tables: dict[str, pa.Table] = {}
    if run is not None:
        if model is None:
            raise OptionError(f"--reweight-run {run}: expected the folder of a run, but is none.")
        own_dataset, own_schema, own = _data_of(model)
        tables = cut_up(own_dataset, own_schema, own, []).tables
    labels, names, _ = _labels(model, tables, train, new, schema)
    if labels is None:
        raise OptionError(
            f"--reweight {wanted}: expected labels there, or --reweight-run with a run that answers for them, to "
            "weight by label."
        )
    by_name = dict(zip(names, labels.weights, strict=True))
    found = np.array([by_name.get(str(label), 1.0) for label in train.column(target).to_pylist()])
    return (found / max(found.mean(), 1e-12)).astype(np.float32)


def _run(task: str, against: str | Path | Dataset) -> Loaded | None:
    """The run in this folder, None where it is data. Raises RunError for one of another task."""
    if isinstance(against, Dataset) or not (Path(against) / RUN_FILE).is_file():
        return None
    model = loaded(against)
    if model.header["task"] != task:
        raise RunError(f"{against}: is a run of {model.header['task']}, but the data are to be compared for {task}.")
    return model


def _data_of(model: Loaded) -> tuple[Dataset, Schema, Resolved]:
    place = model.header["data"]["path"]
    if not place:
        raise RunError(f"{model.folder}: was trained on data that were in memory; name data to compare with instead.")
    dataset, schema = read(model.header["task"], place, model.options)
    if dataset.fingerprint() != model.header["data"]["fingerprint"]:
        raise RunError(
            f"{place}: has changed since {model.folder} was trained on it; name data to compare with instead."
        )
    return dataset, schema, model.options


def _without_targets(chosen: Resolved) -> Resolved:
    return dataclasses.replace(chosen, read=dataclasses.replace(chosen.read, targets_needed=False, group="", hashes=""))


def _whole(dataset: Dataset) -> pa.Table:
    """All samples of a data set as one table, with the columns that all parts have."""
    tables = list(dataset.tables.values())
    shared = [name for name in tables[0].column_names if all(name in table.column_names for table in tables)]
    return pa.concat_tables([table.select(shared) for table in tables], promote_options="permissive")


def _sides(old: pa.Table, new: pa.Table, schema: Schema) -> Sides:
    """Both as vectors, by rules learned from the old ones, and as measures with names."""
    target = target_of(old) or (schema.target if schema.target in old.column_names else "")
    is_images = set(vectors.IMAGE_COLUMNS) <= set(old.column_names)
    if is_images:
        state = vectors.learn(old, "", vectors.ImageRules(_side(old), "crop"), ColumnOptions(), [])
    else:
        state = vectors.learn(old, target, vectors.ImageRules(None, "crop"), ColumnOptions(), [])
    encoded = [vectors.encode(table, state, "predict", [])[0] for table in (old, new)]
    for side, table in zip(encoded, ("reference", "new"), strict=True):
        if len(side) < 2 * shift.FOLDS:
            raise DataError(
                f"--against: expected at least {2 * shift.FOLDS} usable {table} samples, but found {len(side)}."
            )
    found = [_vectors(side, state) for side in encoded]
    if is_images:
        return Sides(*_projected(*found), (_picture_measures(found[0]), _picture_measures(found[1])))
    return Sides(found[0], found[1], (_columns(encoded[0], state), _columns(encoded[1], state)))


def _side(table: pa.Table) -> int | None:
    kind = table.schema.field("image").type
    if isinstance(kind, pa.FixedShapeTensorType) and max(kind.shape[:2]) <= SIDE:
        return None
    return SIDE


def _vectors(encoded: Encoded, state: dict[str, Any]) -> np.ndarray:
    rows = np.arange(len(encoded), dtype=np.int64)
    parts = [vectors.vectors_of(encoded, state, part) for part in np.array_split(rows, -(-len(rows) // BATCH_SIZE))]
    return torch.cat(parts).numpy()


def _projected(old: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures by their first principal components, learned from both: a shift must not lie outside of them."""
    from sklearn.decomposition import PCA

    count = min(COMPONENTS, old.shape[1], len(old), len(new))
    drawn = [side[np.linspace(0, len(side) - 1, min(len(side), shift.MOST_ROWS)).astype(int)] for side in (old, new)]
    found = PCA(count, svd_solver="randomized", random_state=0).fit(np.concatenate(drawn))
    return found.transform(old), found.transform(new)


def _picture_measures(pixels: np.ndarray) -> dict[str, np.ndarray]:
    """What a person would name, in deviations of the reference's pixels."""
    return {"brightness": pixels.mean(1), "contrast": pixels.std(1)}


def _columns(encoded: Encoded, state: dict[str, Any]) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for place in column_places(state["table"]):
        if place.kind == "category":
            found[place.name] = np.array(encoded.table.column(place.name).cast(pa.string()).fill_null("").to_pylist())
        else:
            found[place.name] = values_of(encoded.table, place)
    return found


def _labels(
    model: Loaded | None, tables: dict[str, pa.Table], old: pa.Table, new: pa.Table, schema: Schema
) -> tuple[LabelShift | None, tuple[str, ...], Literal["counted", "estimated", ""]]:
    """The classes' shares in both: counted where the new data have labels, else through the run's answers."""
    target = target_of(old) or schema.target
    if not target or target not in old.column_names:
        return None, (), ""
    before = _texts(old, target)
    if target in new.column_names and len(now := _texts(new, target)) > 0:
        names = sorted(set(before) | set(now))
        if len(names) > MOST_LABELS:
            return None, (), ""
        place = {name: index for index, name in enumerate(names)}
        codes = [np.array([place[text] for text in side], dtype=np.int64) for side in (before, now)]
        return shift.label_shift(codes[0], codes[1], len(names)), tuple(names), "counted"
    if model is None or not isinstance(model.task, SharedOutputs) or not model.task.terms.labels:
        return None, (), ""
    held = next((name for name in ("val", "test") if name in tables), "train")
    truths, answers = _answered(model, tables[held], held)
    _, new_answers = _answered(model, new, "predict")
    names = model.task.terms.labels
    return shift.black_box_shift(truths, answers, new_answers, len(names)), names, "estimated"


def _answered(model: Loaded, table: pa.Table, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Truths, where there are any, and the run's answers: [n] class numbers."""
    assert isinstance(model.task, SharedOutputs)
    encoded = model.task.encode(table, split, [])
    answers = []
    for start in range(0, len(encoded), BATCH_SIZE):
        rows = np.arange(start, min(start + BATCH_SIZE, len(encoded)), dtype=np.int64)
        batch = model.task.batch(encoded, rows, None).to(model.device)
        with torch.inference_mode():
            answers.append(model.task.outputs(model.model, batch).argmax(-1).cpu())
    truths = encoded.tensors.get("label")
    return (truths.numpy() if truths is not None else np.zeros(0, np.int64)), torch.cat(answers).numpy()


def _texts(table: pa.Table, target: str) -> list[str]:
    return [str(value) for value in table.column(target).to_pylist() if value is not None and str(value) != ""]


def _faults(found: Shift) -> list[Fault]:
    told = found.told
    sure = f"p = {told.p:.2g}" if told.p >= 1e-12 else "p < 1e-12"
    alike = f"{plural(found.counts[1], 'sample')} against {found.counts[0]:,} of {found.against}"
    if not found.is_shift:
        message = f"no shift: {alike} cannot be told apart (AUC {told.auc:.3f}, chance is 0.5; {sure})."
        return [Fault("note", "shift-none", "", message)]
    faults = []
    if told.is_shift:
        message = f"{alike} are told apart by a classifier with AUC {told.auc:.3f} (chance is 0.5; {sure})."
        faults.append(Fault("warning", "shift-covariate", "", f"the inputs have shifted: {message}"))
    for each in found.moved[:SHOWN]:
        message = f"has shifted: {each.old} there, {each.new} here (distance {each.distance:.2f}, p = {each.p:.1g})."
        faults.append(Fault("warning", "shift-column", f"{each.name!r}", message))
    if len(found.moved) > SHOWN:
        rest = ", ".join(repr(each.name) for each in found.moved[SHOWN:])
        faults.append(Fault("warning", "shift-column", "", f"shifted as well: {rest}."))
    if found.labels is not None and found.labels.is_shift:
        faults.append(Fault("warning", "shift-label", "", _label_sentence(found.labels, found.names, found.how)))
    faults.append(
        Fault("note", "shift-mend", "", "`deepen train ... --reweight DATA` weights training samples for it.")
    )
    return faults


def _label_sentence(labels: LabelShift, names: Sequence[str], how: str) -> str:
    order = np.argsort(-np.abs(labels.new - labels.old))[:3]
    said = ", ".join(f"{names[index]} {labels.old[index]:.1%} to {labels.new[index]:.1%}" for index in order)
    through = "" if how == "counted" else ", as estimated through the run's answers"
    return f"the classes' shares have shifted{through}: {said} (p = {labels.p:.1g})."
