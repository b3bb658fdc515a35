"""`evaluate`: the figures of a run, or of several as one, on data, new or their own test split."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from deepen.core import options as option_rules
from deepen.core.errors import DataError, DeepenError, RunError
from deepen.core.faults import Fault, refuse
from deepen.data.dataset import Dataset, table_fingerprint
from deepen.data.read import ReadOptions
from deepen.engine.evaluate import evaluate as score
from deepen.engine.events import Events, progress_of
from deepen.parallel.ranks import Alone
from deepen.prepare.image_guard import guarded
from deepen.runtime.evaluation import EvaluationResult
from deepen.verbs.cascade import cascade_of, figures_of
from deepen.verbs.ensemble import as_one
from deepen.verbs.folds import FOLDS_FILE
from deepen.verbs.learned_weights import Weights, weighed
from deepen.verbs.loaded import Loaded, schema_of
from deepen.verbs.own_data import learned_keys, own_data
from deepen.verbs.prepared import TINY, cut_up, read

CHANGED = ", so its test split is not what it was; name the data to evaluate on."


@dataclass(frozen=True)
class Samples:
    """What runs are scored on: a table of samples with their targets, read once for all of them.

    split   the part of the data it is
    faults  what was noticed while reading
    """

    source: str
    layout: str
    split: str
    table: pa.Table
    faults: tuple[Fault, ...]


def evaluate(
    run: str | Path | Sequence[str | Path],
    data: str | Path | Dataset | None = None,
    given: Mapping[str, Any] | None = None,
    *,
    weights: Weights = (),
    cascade: Mapping[str, Any] | None = None,
    skip_bad: bool = False,
    flags: bool = False,
    events: Events | None = None,
) -> EvaluationResult:
    """The figures of a run.

    run      a run, a folder of folds, or several of them, which then answer by the mean of what each would say
    data     default: the test split of the data it was trained on, which must not have changed. Otherwise the "test"
             part where the layout names one, else all of it.
    given    options on how to read the data, where they differ from the training's
    weights  how much each run counts, in their order, or "learned": as makes their validation split the most likely;
             default: all the same
    cascade  for runs that answer one after the other, cheapest first, instead of together: `thresholds`, `accuracy`
             ("-0.2%" against the last run, the default) or `cost_share`, as `deepen evaluate --help` says

    Raises RunError, DataError or OptionError.
    """
    if cascade is None:
        members, shares = weighed(run, weights)
        model = as_one(members, shares)
    else:
        members, model = cascade_of(run, cascade, weights)
        shares = []
    samples = samples_for(members, data, given or {}, flags=flags)
    faults = list(samples.faults)
    with guarded():
        encoded = model.task.encode(samples.table, samples.split, faults)
    refuse(faults, skip_bad=skip_bad)
    if len(encoded) == 0:
        raise DataError(f"{samples.source}: expected samples to evaluate on, but none is usable.", faults)
    if cascade is None:
        with progress_of(events) as progress:
            metrics = score(model.task, model.model, encoded, device=model.device, ranks=Alone(), progress=progress)
        told = None
    else:
        metrics, told = figures_of(members, model, encoded)
    figures = {name: value if math.isfinite(value) else None for name, value in metrics.result().items()}
    return EvaluationResult(
        figures,
        dict(intervals_of(metrics)),
        len(encoded),
        samples.layout,
        samples.split,
        tuple(faults),
        tuple(shares) if len(shares) > 1 else (),
        told,
    )


def samples_for(
    members: Sequence[Loaded], data: str | Path | Dataset | None, given: Mapping[str, Any], *, flags: bool = False
) -> Samples:
    """The samples on which all of these runs can be scored, read as the first one reads.

    Of the data that runs were trained on, only a test split that they have in common: what one tests, another may have
    learned. Raises RunError where there is none, DataError or OptionError.
    """
    first = members[0]
    own = data is None
    source = _own_source(members) if data is None else data
    chosen = _with_reading(first, given, flags, own=own)
    if own:
        found = own_data(first, str(source), mend=CHANGED, options=chosen)
        dataset, schema, tables, faults = found.dataset, found.schema, found.tables, found.faults
    else:
        dataset, schema = read(first.header["task"], source, chosen, schema=schema_of(first))
        tables, faults = {}, dataset.faults
    place = dataset.name if isinstance(source, Dataset) else str(source)
    if own or (place == TINY and not isinstance(source, Dataset)):
        name = first.header["metrics"].get("of") or "test"
        table = (tables or cut_up(dataset, schema, chosen, []).tables)[name]
        for other in members[1:]:
            _refuse_other_split(first, other, name, table, dataset, schema, own=own)
    else:
        name = next(name for name in ("test", "all", "val", "train") if name in dataset.tables)
        if name == "all" and len(dataset.tables) > 1:
            raise DataError(f"{place}: expected one table or a test part.")
        table = dataset.tables[name]
        faults = (*faults, *_learned(members, dataset, table))
    return Samples(place, dataset.layout, name, table, tuple(faults))


def _learned(members: Sequence[Loaded], dataset: Dataset, table: pa.Table) -> list[Fault]:
    """A warning for each run that was trained on named samples, as far as the data set is the one it was cut from."""
    faults = []
    for run in members:
        learned: frozenset[str] = frozenset()
        with suppress(DeepenError):  # data that this run could not have been trained on
            learned = learned_keys(run.header, dataset, run.options, schema_of(run))
        count = sum(key in learned for key in table.column("key").to_pylist())
        if count:
            message = (
                f"was trained on {count:,} of these {table.num_rows:,} samples, so that its figures here say little "
                "about new data."
            )
            faults.append(Fault("warning", "trained-on", str(run.folder), message))
    return faults


def intervals_of(metrics: Any) -> dict[str, tuple[float, float]]:
    """95 % intervals, where the task's metrics know them."""
    return {name: (low, high) for name, (low, high) in metrics.intervals().items()}


def _own_source(members: Sequence[Loaded]) -> str:
    """The path of the data that the runs were trained on."""
    first = members[0]
    path = str(first.header["data"]["path"])
    if not path and len(members) > 1 and (first.folder.parent / FOLDS_FILE).exists():
        raise RunError(
            f"{first.folder.parent}: each fold is tested on samples that the others have learned, so their figures "
            f"together are those in {FOLDS_FILE}; name other data to evaluate on."
        )
    if not path:
        raise RunError(
            f"{first.folder}: was trained on data that were in memory, not in a file; name the data to evaluate on."
        )
    return path


def _refuse_other_split(
    first: Loaded, other: Loaded, name: str, table: pa.Table, dataset: Dataset, schema: Any, *, own: bool
) -> None:
    """Raises RunError where another run did not keep the same samples away from its training."""
    mend = "; name data that none of them was trained on."
    if other.header["data"]["fingerprint"] != dataset.fingerprint():
        if own:
            raise RunError(f"{other.folder}: was trained on other data than {first.folder}{mend}")
        return
    its = cut_up(dataset, schema, other.options, []).tables.get(name)
    if its is None or table_fingerprint(its) != table_fingerprint(table):
        raise RunError(
            f"{other.folder}: tests other samples of its data than {first.folder} (seed, val and test decide which), "
            f"so it may have learned those that {first.folder.name} is tested on{mend}"
        )


def _with_reading(model: Loaded, given: Mapping[str, Any], flags: bool, *, own: bool) -> Any:
    """The run's options with other reading options; those about its own files do not hold for other data."""
    fields = option_rules.fields_of(ReadOptions)
    values = option_rules.resolve(fields, given, flags=flags)
    if not own:
        values = {"group": "", "hashes": "", **values}
    return dataclasses.replace(model.options, read=dataclasses.replace(model.options.read, **values))
