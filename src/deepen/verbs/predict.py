"""`predict`: the answers of a run, or of several as one, to new samples."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from deepen.core import options as option_rules
from deepen.core.errors import DataError, OptionError
from deepen.core.faults import Fault, refuse
from deepen.data import read as reading
from deepen.data.read import ReadOptions
from deepen.data.standard_input import as_files
from deepen.engine.evaluate import rows_at_once
from deepen.prepare.image_guard import guarded
from deepen.verbs.cascade import cascade_of
from deepen.verbs.ensemble import as_one
from deepen.verbs.learned_weights import Weights, weighed
from deepen.verbs.loaded import Loaded, schema_of
from deepen.verbs.options import task_module
from deepen.verbs.prepared import TINY


def predict(
    run: str | Path | Sequence[str | Path],
    inputs: str | Path | list[str | Path],
    given: Mapping[str, Any] | None = None,
    *,
    weights: Weights = (),
    cascade: Mapping[str, Any] | None = None,
    skip_bad: bool = False,
    flags: bool = False,
    faults: list[Fault] | None = None,
) -> Iterator[Any]:
    """Answers, one frozen dataclass per sample, in the order of the inputs.

    run       a run, a folder of folds, or several of them, which then answer by the mean of what each would say
    inputs    files, folders or tables in any layout the task reads; targets are not needed. "-" is standard input, read
              to its end as a file named stdin
    weights   how much each run counts, in their order, or "learned": as makes their validation split the most likely;
              default: all the same
    cascade   for runs that answer one after the other instead of together, as in `evaluate`
    faults    gets what was noticed, among it the samples left out with skip_bad

    Raises RunError, DataError or OptionError, for bad data before the first answer.
    """
    inputs = [inputs] if isinstance(inputs, (str, Path)) else list(inputs)
    if not inputs:
        raise OptionError("predict: expected files or folders to answer for, but none is named.")
    model = as_one(*weighed(run, weights)) if cascade is None else cascade_of(run, cascade, weights)[1]
    return answers(model, inputs, given or {}, skip_bad=skip_bad, flags=flags, faults=faults)


def answers(
    model: Loaded,
    inputs: list[str | Path],
    given: Mapping[str, Any],
    *,
    skip_bad: bool = False,
    flags: bool = False,
    faults: list[Fault] | None = None,
) -> Iterator[Any]:
    """The same for a run that is loaded already."""
    found = faults if faults is not None else []
    with as_files(inputs) as files:
        yield from _answers(model, files, given, skip_bad, flags, found)


def _answers(
    model: Loaded,
    inputs: list[str | Path],
    given: Mapping[str, Any],
    skip_bad: bool,
    flags: bool,
    found: list[Fault],
) -> Iterator[Any]:
    """The answers to files."""
    encoded = []
    with guarded():
        for table in _tables(model, inputs, given, flags, found):
            encoded.append(model.task.encode(table, "predict", found))
    refuse(found, skip_bad=skip_bad)
    if not sum(map(len, encoded)):
        raise DataError(f"{inputs[0]}: expected samples to answer for, but there are none.", found)
    size = rows_at_once(model.task)
    for each in encoded:
        sources = each.table.column("source").to_pylist()
        for start in range(0, len(each), size):
            rows = np.arange(start, min(start + size, len(each)), dtype=np.int64)
            batch = model.task.batch(each, rows, None).to(model.device)
            with torch.inference_mode():
                yield from model.task.answer(model.model, batch, sources[start : start + size])


def _tables(
    model: Loaded, inputs: list[str | Path], given: Mapping[str, Any], flags: bool, faults: list[Fault]
) -> Iterator[pa.Table]:
    """The inputs' tables in their order, neighbours of one kind as one."""
    module = task_module(model.header["task"])
    schema = schema_of(model)
    values = option_rules.resolve(option_rules.fields_of(ReadOptions), given, flags=flags)
    options = dataclasses.replace(model.options.read, **{"targets_needed": False, "group": "", "hashes": "", **values})
    if [str(each) for each in inputs] == [TINY]:
        datasets = [module.TINY.make(model.options.fit.seed)]
    else:
        datasets = [reading.read(each, schema, options) for each in inputs]
    tables: list[pa.Table] = []
    for dataset in datasets:
        faults.extend(dataset.faults)
        tables.extend(dataset.tables.values())
    for _, alike in itertools.groupby(tables, key=lambda table: table.schema.remove_metadata()):
        yield pa.concat_tables(alike)
