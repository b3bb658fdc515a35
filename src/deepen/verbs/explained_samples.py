"""Which samples `explain` looks at: a run's own split or what is named, and which of them one by one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from deepen.core import options as option_rules
from deepen.core import rng
from deepen.core.errors import DataError, DeepenError, RunError
from deepen.core.faults import Fault, refuse
from deepen.data import read as reading
from deepen.data.dataset import Dataset
from deepen.data.read import ReadOptions
from deepen.engine.evaluate import evaluate as score
from deepen.engine.task import SharedOutputs
from deepen.explain.explaining import Explainer, ExplainOptions
from deepen.parallel.ranks import Alone
from deepen.prepare.encoded import Encoded
from deepen.prepare.image_guard import guarded
from deepen.verbs.loaded import Loaded, schema_of
from deepen.verbs.own_data import own_data
from deepen.verbs.prepared import TINY, cut_up, read

OWN_SAMPLES = 8
NAMED_SAMPLES = 50
LABEL_FAULTS = ("label-", "target-")


@dataclass(frozen=True)
class AtHand:
    """The samples at hand: their layout in words, what they are called, and whether they are the run's own split."""

    encoded: Encoded
    has_targets: bool
    layout: str
    split: str
    is_own: bool


def listed(inputs: str | Path | Dataset | Sequence[str | Path]) -> list[str | Path | Dataset]:
    """What was named, as a list."""
    return [inputs] if isinstance(inputs, (str, Path, Dataset)) else list(inputs)


def samples_at_hand(
    model: Loaded, inputs: list[str | Path | Dataset], values: Mapping[str, Any], faults: list[Fault], *, skip_bad: bool
) -> AtHand:
    """The run's own split where no input is named, else all that is named, with the truth where it is known."""
    if not inputs or [str(each) for each in inputs] == [TINY]:
        found = _own(model, model.header["data"]["path"] if not inputs else TINY, faults, is_named=bool(inputs))
    else:
        found = _named(model, inputs, values, faults)
    refuse(faults, skip_bad=skip_bad)
    if len(found.encoded) == 0:
        raise DataError(
            f"{inputs[0] if inputs else model.folder}: expected samples to explain, but none is usable.", faults
        )
    return found


def _own(model: Loaded, source: str, faults: list[Fault], *, is_named: bool = False) -> AtHand:
    """The split that stands for the run, cut from the data it was trained on, which must not have changed."""
    if not str(source):
        raise RunError(
            f"{model.folder}: was trained on data that were in memory, not in a file; name samples to explain."
        )
    if is_named:
        dataset, schema = read(model.header["task"], source, model.options, schema=schema_of(model))
        tables, noticed = cut_up(dataset, schema, model.options, []).tables, dataset.faults
    else:
        found = own_data(model, source, mend=", so its test split is not what it was; name samples to explain.")
        dataset, tables, noticed = found.dataset, found.tables, found.faults
    split = model.header["metrics"].get("of") or ("test" if "test" in tables else "train")
    faults.extend(noticed)
    with guarded():
        encoded = model.task.encode(tables[split], split, faults)
    return AtHand(encoded, True, dataset.layout, split, is_own=not is_named)


def _named(model: Loaded, inputs: list[str | Path | Dataset], values: Mapping[str, Any], faults: list[Fault]) -> AtHand:
    """What the user named as one table: its test part where the layout has one, else all of it."""
    schema = schema_of(model)
    asked = {name: value for name, value in values.items() if name in option_rules.fields_of(ReadOptions)}
    options = dataclasses.replace(model.options.read, **{"targets_needed": False, "group": "", "hashes": "", **asked})
    datasets = [each if isinstance(each, Dataset) else reading.read(each, schema, options) for each in inputs]
    tables, split = [], "input"
    for dataset in datasets:
        faults.extend(dataset.faults)
        name = next(name for name in ("test", "all", "val", "train") if name in dataset.tables)
        tables.append(dataset.tables[name])
        split = name if len(datasets) == 1 and name != "all" else split
    kinds = {table.schema.remove_metadata() for table in tables}
    if len(kinds) > 1:
        raise DataError(f"{inputs[-1]}: holds other columns than {inputs[0]}; explain them one after the other.")
    table = pa.concat_tables(tables)
    layout = "; ".join(dataset.layout for dataset in datasets[:3])
    with guarded():
        encoded = _with_truth(model, table, faults)
        if encoded is not None:
            return AtHand(encoded, True, layout, split, is_own=False)
        return AtHand(model.task.encode(table, "predict", faults), False, layout, split, is_own=False)


def _with_truth(model: Loaded, table: pa.Table, faults: list[Fault]) -> Encoded | None:
    """The encoded table with its targets; None where it has none that this run knows."""
    target = model.task.terms.target if isinstance(model.task, SharedOutputs) else ""
    if target not in table.column_names or table.column(target).null_count == table.num_rows:
        return None
    found: list[Fault] = []
    try:
        encoded = model.task.encode(table, "test", found)
    except DataError:
        return None
    lost = {fault.row for fault in found if fault.kind.startswith(LABEL_FAULTS)}
    if len(lost) * 2 > table.num_rows or len(encoded) == 0:
        return None
    faults.extend(found)
    return encoded


def chosen_rows(
    model: Loaded, explainer: Explainer, found: AtHand, options: ExplainOptions, faults: list[Fault]
) -> np.ndarray:
    """Which samples are explained one by one.

    All that are named, as far as they are not too many; of more, and of a split: half of them the worst answers, the
    others drawn at random.
    """
    count = len(found.encoded)
    most = options.samples or (OWN_SAMPLES if found.is_own or found.split != "input" else NAMED_SAMPLES)
    if count <= most:
        return np.arange(count, dtype=np.int64)
    if not (found.is_own or found.has_targets):
        message = f"the first {most:,} of {count:,} samples are explained one by one; --samples takes more."
        faults.append(Fault("note", "explain-some", "", message))
        return np.arange(most, dtype=np.int64)
    worst: list[int] = []
    if found.has_targets:
        metrics = score(model.task, model.model, found.encoded, device=model.device, ranks=Alone())
        worst = explainer.worst(metrics, (most + 1) // 2)
    others = np.setdiff1d(np.arange(count), worst)
    drawn = rng.generator(options.seed, "explained samples").choice(others, most - len(worst), replace=False)
    return np.array([*worst, *np.sort(drawn).tolist()], dtype=np.int64)


def reference(model: Loaded, found: AtHand, needed: list[bool], faults: list[Fault]) -> Encoded | None:
    """What samples are compared with: the run's own split, or else the samples at hand."""
    if not any(needed):
        return None
    if found.is_own:
        return found.encoded
    try:
        return _own(model, model.header["data"]["path"], []).encoded
    except DeepenError as error:
        if len(found.encoded) < 2:
            raise RunError(
                f"{model.folder}: a single sample can only be compared with the data of the run, which cannot be read: "
                f"{error}"
            ) from error
        message = f"compared with each other, since the data of the run cannot be used ({error})"
        faults.append(Fault("warning", "explain-reference", "", message))
        return found.encoded
