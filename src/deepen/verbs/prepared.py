"""The way from raw files to encoded tables, which `check`, `train` and `evaluate` share, so that they find the same."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from deepen.core.clock import Stopwatch
from deepen.core.errors import DataError
from deepen.core.faults import Fault, refuse
from deepen.data import read as reading
from deepen.data import split as splitting
from deepen.data.dataset import Dataset, Schema
from deepen.engine.task import Task
from deepen.prepare.encoded import Encoded
from deepen.prepare.image_guard import guarded
from deepen.verbs.options import Resolved, refuse_unread, task_module, unread_of_data
from deepen.verbs.reweighted import reweighted

TINY = "tiny"


@dataclass
class Prepared:
    """Data that is ready to train on, and every fault found on the way.

    split      one sentence on how the data was split
    seconds    that reading and preparing took
    encoded    by split: train, val and test, as far as they exist
    weighting  what the weights of training samples were made from; empty without --reweight
    """

    dataset: Dataset
    split: str
    fingerprint: str
    tables: dict[str, pa.Table]
    state: dict[str, Any]
    task: Task
    encoded: dict[str, Encoded]
    faults: list[Fault] = field(default_factory=list)
    seconds: float = 0.0
    weighting: dict[str, Any] = field(default_factory=dict)


def base_options(task: str, data: str | Path | Dataset) -> dict[str, Any]:
    """Options that come with the data: those under which the tiny data set is learned within seconds."""
    return dict(task_module(task).TINY.options) if str(data) == TINY else {}


def read(
    task: str, data: str | Path | Dataset, resolved: Resolved, *, schema: Schema | None = None
) -> tuple[Dataset, Schema]:
    """The raw data of a task: a data set already read, "tiny", a built-in name, or a path.

    schema  of a run, where there is one; else that of the task with these options
    """
    module = task_module(task)
    wanted: Schema = module.schema(resolved.task) if schema is None else schema
    if resolved.read.group:
        wanted = replace(wanted, group=resolved.read.group)
    if isinstance(data, Dataset):
        return data, wanted
    if str(data) == TINY:
        return module.TINY.make(resolved.fit.seed), wanted
    return reading.read(data, wanted, resolved.read), wanted


def prepare(task: str, data: str | Path | Dataset, resolved: Resolved, *, skip_bad: bool = False) -> Prepared:
    """Reads, splits, learns and encodes.

    skip_bad  go the way again without the samples that turned out to be unusable, so that the result is what it would
              have been had they never been there

    Faults are collected, not raised, as far as one can go on; those that stop everything raise DataError with all that
    was found until then. Raises OptionError for an option that nothing reads with these data.
    """
    watch = Stopwatch()
    module = task_module(task)
    dataset, schema = read(task, data, resolved)
    faults = list(dataset.faults)
    try:
        with guarded():
            found = _prepare(module, dataset, schema, resolved, faults)
            refuse_unread(unread_of_data(task, resolved.task, found.state), resolved.said, resolved.task.model)
            bad = _bad(faults)
            if skip_bad and bad:
                faults = [*dataset.faults, *bad]
                found = _prepare(module, splitting.without(dataset, found.tables, bad), schema, resolved, faults)
            weighted, weighting = reweighted(task, found.task, found.encoded["train"], resolved, found.faults)
            found.encoded["train"] = weighted
        return replace(found, seconds=watch.seconds(), weighting=weighting)
    except DataError as error:
        raise _with(error, faults) from error


def without_bad(task: str, dataset: Dataset, schema: Schema, resolved: Resolved) -> Dataset:
    """The data set as `prepare` takes it with `skip_bad`. Raises DataError where it stops too."""
    faults = list(dataset.faults)
    with guarded():
        found = _prepare(task_module(task), dataset, schema, resolved, faults)
    return splitting.without(dataset, found.tables, _bad(faults))


def cut_up(dataset: Dataset, schema: Schema, resolved: Resolved, faults: list[Fault]) -> splitting.Split:
    """The data set split as the options say."""
    options = resolved.split
    return splitting.split(
        dataset,
        schema,
        seed=resolved.fit.seed,
        faults=faults,
        val=options.val,
        test=options.test,
        max_val=options.max_val,
        strict=resolved.read.strict,
    )


def _prepare(module: Any, dataset: Dataset, schema: Schema, resolved: Resolved, faults: list[Fault]) -> Prepared:
    cut = cut_up(dataset, schema, resolved, faults)
    tables, sentence = cut.tables, cut.summary
    state = module.learn(resolved.task, tables["train"], dataset, faults)
    task = module.Task(resolved.task, state, resolved.network)
    encoded = {name: task.encode(table, name, faults) for name, table in tables.items()}
    if len(encoded["train"]) == 0:
        refuse(faults, skip_bad=False)
        raise DataError(
            f"{dataset.name}: expected samples to train on, but none is usable; see `deepen check`.", faults
        )
    return Prepared(dataset, sentence, dataset.fingerprint(), tables, state, task, encoded, faults)


def _bad(faults: list[Fault]) -> list[Fault]:
    """Those of samples that stand in a table and cannot be used."""
    return [fault for fault in faults if fault.level == "sample" and fault.row >= 0]


def _with(error: DataError, faults: list[Fault]) -> DataError:
    """The error with everything that had been found before it, itself included."""
    own = error.faults or (Fault("error", "data", "", str(error)),)
    known = {(fault.kind, fault.place, fault.message) for fault in own}
    rest = [fault for fault in faults if (fault.kind, fault.place, fault.message) not in known]
    return DataError(str(error), (*own, *rest))
