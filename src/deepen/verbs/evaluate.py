"""`evaluate`: a run's figures on data, new or its own test split."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepen.core import options as option_rules
from deepen.core.errors import DataError, RunError
from deepen.core.faults import Fault, refuse
from deepen.data.dataset import Dataset
from deepen.data.read import ReadOptions
from deepen.engine.evaluate import evaluate as score
from deepen.parallel.ranks import Alone
from deepen.prepare.image_guard import guarded
from deepen.verbs.loaded import Loaded, loaded
from deepen.verbs.prepared import cut_up, read


@dataclass(frozen=True)
class EvaluationResult:
    """Figures and how sure they are.

    metrics    by their names in the field
    intervals  95 % intervals by metric: (low, high)
    count      samples scored
    layout     what the data was read as
    split      which part of it was scored
    """

    metrics: dict[str, float | None]
    intervals: dict[str, tuple[float, float]]
    count: int
    layout: str
    split: str
    faults: tuple[Fault, ...]


def evaluate(
    run: str | Path,
    data: str | Path | Dataset | None = None,
    given: Mapping[str, Any] | None = None,
    *,
    skip_bad: bool = False,
    flags: bool = False,
) -> EvaluationResult:
    """The figures of a run.

    data    default: the test split of the data it was trained on, which must not have changed. Otherwise the "test"
            part where the layout names one, else all of it.
    given   options on how to read the data, where they differ from the training's

    Raises RunError, DataError or OptionError.
    """
    model = loaded(run)
    own = data is None
    source = model.header["data"]["path"] if data is None else data
    if not str(source):
        raise RunError(f"{run}: was trained on data that were in memory, not in a file; name the data to evaluate on.")
    chosen = _with_reading(model, given or {}, flags, own=own)
    dataset, schema = read(model.header["task"], source, chosen)
    faults = list(dataset.faults)
    if own or str(source) == "tiny":
        tables = cut_up(dataset, schema, chosen, []).tables
        name = model.header["metrics"].get("of") or "test"
        if own and dataset.fingerprint() != model.header["data"]["fingerprint"]:
            raise RunError(
                f"{source}: has changed since {run} was trained on it, so its test split is not what it was; "
                "name the data to evaluate on."
            )
    else:
        tables = dataset.tables
        name = next(name for name in ("test", "all", "val", "train") if name in tables)
        if name == "all" and len(tables) > 1:
            raise DataError(f"{source}: expected one table or a test part.")
    with guarded():
        encoded = model.task.encode(tables[name], name, faults)
    refuse(faults, skip_bad=skip_bad)
    if len(encoded) == 0:
        raise DataError(f"{source}: expected samples to evaluate on, but none is usable.", faults)
    metrics = score(model.task, model.model, encoded, device=model.device, ranks=Alone())
    figures = {name: value if math.isfinite(value) else None for name, value in metrics.result().items()}
    return EvaluationResult(figures, dict(intervals_of(metrics)), len(encoded), dataset.layout, name, tuple(faults))


def intervals_of(metrics: Any) -> dict[str, tuple[float, float]]:
    """95 % intervals, where the task's metrics know them."""
    return {name: (low, high) for name, (low, high) in metrics.intervals().items()}


def _with_reading(model: Loaded, given: Mapping[str, Any], flags: bool, *, own: bool) -> Any:
    """The run's options with other reading options; those about its own files do not hold for other data."""
    fields = option_rules.fields_of(ReadOptions)
    values = option_rules.resolve(fields, given, flags=flags)
    if not own:
        values = {"group": "", "hashes": "", **values}
    return dataclasses.replace(model.options, read=dataclasses.replace(model.options.read, **values))
