"""Whether data come from where a run's training data, or other data, came from; and weights that make up for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from deepen.bundle.header import PREPARE_FILE, RUN_FILE, WEIGHTS_FILE
from deepen.core.errors import DataError, OptionError, RunError
from deepen.core.faults import Fault
from deepen.core.units import plural
from deepen.data.dataset import Dataset, Schema
from deepen.data.target import Target, listed
from deepen.engine.options import WEIGHTING
from deepen.metrics import shift
from deepen.metrics.shift import LabelShift, Moved, Told
from deepen.prepare.image_guard import guarded
from deepen.verbs.loaded import Loaded, loaded
from deepen.verbs.options import Resolved, task_module, unread_of
from deepen.verbs.own_data import own_data
from deepen.verbs.prepared import read
from deepen.verbs.shift_inputs import sides_of
from deepen.verbs.shift_labels import Labels, classes_of, compared, numbers_in, target_in

SHOWN = 5
NOT_A_CLASS = {  # what a sample has in place of one class, by the kind of target
    "": "there is no column of classes",
    "label set": "a text here has any number of labels, none of which is its class",
    "tags": "a sentence has many tags, none of which is its class",
    "number": "what is learned is a number and no class",
}


@dataclass(frozen=True)
class Shift:
    """What is different about new data.

    labels      None where classes cannot be compared: no labels, and no run that would answer
    names       the classes, in the order of the shares
    how         "counted", or "estimated" through a run's answers
    counts      of old and new samples
    units       what one sample is called, and several: those of a corpus are stretches of it
    weighs      whether a training of the task can weight its samples
    """

    against: str
    told: Told
    moved: tuple[Moved, ...]
    labels: LabelShift | None = None
    names: tuple[str, ...] = ()
    how: Literal["counted", "estimated", ""] = ""
    counts: tuple[int, int] = (0, 0)
    units: tuple[str, str] = ("sample", "samples")
    weighs: bool = True
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
    if chosen.read.group:
        raise OptionError(
            f"--group {chosen.read.group}: a comparison takes samples for independent and knows no groups; leave it "
            "out, and give it one row of each group."
        )
    model = _run(task, against)
    free = _without_targets(task, chosen)
    newer, _ = read(task, data, free)
    new = _whole(newer)
    if model is not None:
        schema, tables = _data_of(model)
        old = tables["train"]
    else:
        dataset, schema = read(task, against, free)
        tables, old = {}, _whole(dataset)
    target = target_in(task, old, schema)
    with guarded():
        sides = sides_of(old, new, schema, target.name if target else "")
        told = sides.told(chosen.fit.seed)
        moved = shift.moved(*_with_numbers(sides.measures, old, new, target))
        labels = compared(model, tables, old, new, target)
    counts = (old.num_rows, new.num_rows)
    if schema.is_corpus:
        counts = (sides.old.shape[0], sides.new.shape[0])
    place = against.name if isinstance(against, Dataset) else str(against)
    weighs = not set(WEIGHTING) & set(unread_of(task, chosen.task))
    found = Shift(
        place,
        told,
        tuple(moved),
        labels.shift,
        labels.names,
        labels.how,
        counts,
        sides.units,
        weighs,
        newer.layout,
    )
    return dataclasses.replace(found, faults=(*newer.faults, *_faults(found)))


def weights(task: str, train: pa.Table, chosen: Resolved, faults: list[Fault]) -> tuple[np.ndarray, dict[str, Any]]:
    """One weight for each row of the training table, mean 1, under which it looks like `--reweight`: [n] float32.

    faults   gains a warning of each difference that no weight makes up for
    returns  beside the weights what they were made from, for run.json

    Raises DataError, RunError or OptionError.
    """
    wanted, by, run = chosen.reweight.reweight, chosen.reweight.reweight_by, chosen.reweight.reweight_run
    assert wanted is not None
    dataset, schema = read(task, wanted, _without_targets(task, chosen))
    new, target = _whole(dataset), target_in(task, train, schema)
    record: dict[str, Any] = {"path": str(wanted), "fingerprint": dataset.fingerprint()}
    if by == "covariate":
        sides = sides_of(train, new, schema, target.name if target else "")
        if sides.old.shape[0] != train.num_rows:
            raise DataError("--reweight: expected every training sample to be usable; leave out the bad ones first.")
        return shift.density_ratios(sides.old, sides.new, seed=chosen.fit.seed).astype(np.float32), record
    if target is None or target.kind != "class":
        raise OptionError(f"--reweight-by label: {NOT_A_CLASS[target.kind if target else '']}; use covariate.")
    model = _run(task, run) if run else None
    tables: dict[str, pa.Table] = {}
    if run is not None:
        if model is None:
            raise OptionError(f"--reweight-run {run}: expected the folder of a run, but is none.")
        tables = _data_of(model)[1]
        record["run"] = {name: model.header["files"].get(name, "") for name in (WEIGHTS_FILE, PREPARE_FILE)}
    labels = compared(model, tables, train, new, target)
    if labels.shift is None:
        raise OptionError(
            f"--reweight {wanted}: expected labels there, or --reweight-run with a run that answers for them, to "
            "weight by label."
        )
    return _by_class(labels, classes_of(train, target), wanted, run, faults).astype(np.float32), record


def _by_class(labels: Labels, classes: Sequence[str], wanted: str, run: str | None, faults: list[Fault]) -> np.ndarray:
    """The weight of each training sample, of which these are the classes: [n] float64, mean 1."""
    found, names = labels.shift, labels.names
    assert found is not None
    places = {name: place for place, name in enumerate(names)}
    rows = np.array([places[name] for name in classes])
    train = np.bincount(rows, minlength=len(names)) / len(rows)
    weights = shift.class_weights(found, train)
    place = f"--reweight {wanted}" if labels.how == "counted" else f"--reweight-run {run}"
    if not weights.any():
        own, other = (listed([repr(names[each]) for each in np.flatnonzero(side)]) for side in (train, found.new))
        raise DataError(
            f"{place}: expected classes of the training data ({own}), but finds only {other}; spell them alike, or use "
            "--reweight-by covariate."
        )
    lost = np.flatnonzero((train == 0) & (found.new > 0))
    if len(lost):
        said = listed([f"{names[each]!r} ({found.new[each]:.1%})" for each in lost])
        message = f"no training sample has these classes, so no weight makes up for them: {said}."
        faults.append(Fault("warning", "reweight-lost", place, message))
    untold = np.flatnonzero((train > 0) & (found.old == 0))
    if len(untold):
        said = listed([repr(names[each]) for each in untold])
        message = f"has held out no sample of these classes, which so keep their share: {said}."
        faults.append(Fault("warning", "reweight-untold", place, message))
    return shift.normalized(weights[rows])


def _run(task: str, against: str | Path | Dataset) -> Loaded | None:
    """The run in this folder, None where it is data. Raises RunError for one of another task."""
    if isinstance(against, Dataset) or not (Path(against) / RUN_FILE).is_file():
        return None
    model = loaded(against)
    if model.header["task"] != task:
        raise RunError(f"{against}: is a run of {model.header['task']}, but the data are to be compared for {task}.")
    return model


def _data_of(model: Loaded) -> tuple[Schema, dict[str, pa.Table]]:
    """How the samples of a run's own data are read, and their tables by split."""
    place = model.header["data"]["path"]
    if not place:
        raise RunError(f"{model.folder}: was trained on data that were in memory; name data to compare with instead.")
    found = own_data(model, place, mend="; name data to compare with instead.")
    return found.schema, found.tables


def _without_targets(task: str, chosen: Resolved) -> Resolved:
    """The options under which new data are read, which need no targets; a corpus is read as for training."""
    needed = task_module(task).schema(chosen.task).is_corpus
    return dataclasses.replace(
        chosen, read=dataclasses.replace(chosen.read, targets_needed=needed, group="", hashes="")
    )


def _whole(dataset: Dataset) -> pa.Table:
    """All samples of a data set as one table, with the columns that all parts have."""
    tables = list(dataset.tables.values())
    shared = [name for name in tables[0].column_names if all(name in table.column_names for table in tables)]
    return pa.concat_tables([table.select(shared) for table in tables], promote_options="permissive")


def _with_numbers(
    measures: tuple[dict[str, np.ndarray], dict[str, np.ndarray]], old: pa.Table, new: pa.Table, target: Target | None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The measures, and the number to be learned where both have it."""
    both = numbers_in(old, target), numbers_in(new, target)
    if target is None or both[0] is None or both[1] is None:
        return measures
    return {**measures[0], target.name: both[0]}, {**measures[1], target.name: both[1]}


def _faults(found: Shift) -> list[Fault]:
    told = found.told
    sure = f"p = {told.p:.2g}" if told.p >= 1e-12 else "p < 1e-12"
    alike = f"{plural(found.counts[1], *found.units)} against {found.counts[0]:,} of {found.against}"
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
        rest = listed([repr(each.name) for each in found.moved[SHOWN:]])
        faults.append(Fault("warning", "shift-column", "", f"shifted as well: {rest}."))
    if found.labels is not None and found.labels.is_shift:
        faults.append(Fault("warning", "shift-label", "", _label_sentence(found.labels, found.names, found.how)))
    if found.weighs:
        message = "`deepen train ... --reweight DATA` weights training samples for it."
        faults.append(Fault("note", "shift-mend", "", message))
    return faults


def _label_sentence(labels: LabelShift, names: Sequence[str], how: str) -> str:
    order = np.argsort(-np.abs(labels.new - labels.old))[:3]
    said = ", ".join(f"{names[index]} {labels.old[index]:.1%} to {labels.new[index]:.1%}" for index in order)
    through = "" if how == "counted" else ", as estimated through the run's answers"
    return f"the classes' shares have shifted{through}: {said} (p = {labels.p:.1g})."
