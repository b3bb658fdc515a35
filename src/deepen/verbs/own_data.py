"""The data that a run was trained on, found again: without the samples that its training left out, and cut as then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from deepen.core.errors import RunError
from deepen.core.faults import Fault
from deepen.core.units import plural
from deepen.data.dataset import Dataset, Schema
from deepen.data.name_groups import with_groups
from deepen.data.target import mark_target
from deepen.verbs.loaded import Loaded, schema_of
from deepen.verbs.options import Resolved
from deepen.verbs.prepared import cut_up, read, without_bad


@dataclass(frozen=True)
class OwnData:
    """A run's own data.

    dataset  without the samples that the training left out
    tables   by split, as they were cut then
    faults   what was noticed while reading; of samples that were left out no more than how many
    """

    dataset: Dataset
    schema: Schema
    tables: dict[str, pa.Table]
    faults: tuple[Fault, ...]


def own_data(model: Loaded, source: str | Path, *, mend: str, options: Resolved | None = None) -> OwnData:
    """What a run was trained on, read from its place.

    mend     what follows from it where they have changed: the rest of that sentence
    options  default: the run's own

    Raises RunError where they are others now, DataError where they cannot be read.
    """
    options = options or model.options
    dataset, schema = read(str(model.header["task"]), source, options, schema=schema_of(model))
    same = as_trained(model.header, dataset, schema, options)
    if same is None:
        raise RunError(f"{source}: has changed since {model.folder} was trained on it{mend}")
    return OwnData(same, schema, cut_up(same, schema, options, []).tables, _faults(model.header, dataset))


def as_trained(header: Mapping[str, Any], dataset: Dataset, schema: Schema, options: Resolved) -> Dataset | None:
    """The data set without what the training left out; None where the run was trained on other data.

    The fingerprint of a run with `--skip-bad` is that of the samples that were left, and so is its split. Which ones
    these are is found as the training found them.
    """
    wanted = header["data"]["fingerprint"]
    if dataset.fingerprint() == wanted:
        return dataset
    if not _skipped(header):
        return None
    left = without_bad(str(header["task"]), dataset, schema, options)
    return left if left.fingerprint() == wanted else None


def learned_keys(
    header: Mapping[str, Any], dataset: Dataset, options: Resolved, schema: Schema | None = None
) -> frozenset[str]:
    """The keys of the samples of a data set that a run was trained on; none where it was trained on other data.

    dataset  as whatever task has read it
    options  of the run
    schema   of the run, by default its task's
    """
    marked, schema = read(str(header["task"]), _as_read(dataset, options), options, schema=schema)
    same = as_trained(header, marked, schema, options)
    if same is None:
        return frozenset()
    return frozenset(cut_up(same, schema, options, []).tables["train"].column("key").to_pylist())


def _as_read(dataset: Dataset, options: Resolved) -> Dataset:
    """The data set with the target and the groups marked on which the run's split depends."""
    target, group = options.read.target, options.read.group
    tables = {
        name: mark_target(table, target) if target in table.column_names else table
        for name, table in dataset.tables.items()
    }
    marked = dataset.with_tables(tables)
    return with_groups(marked, group) if group else marked


def _skipped(header: Mapping[str, Any]) -> list[str]:
    """The faults for which samples were left out."""
    return list(header["extra"].get("skipped") or ())


def _faults(header: Mapping[str, Any], dataset: Dataset) -> tuple[Fault, ...]:
    skipped = _skipped(header)
    if not skipped:
        return dataset.faults
    message = f"{plural(len(skipped), 'bad sample')} left out, as in the training (--skip-bad)."
    rest = [fault for fault in dataset.faults if fault.level != "sample"]
    return (*rest, Fault("note", "left-out", "", message))
