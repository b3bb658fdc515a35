"""`train --folds K`: K trainings, each tested on another part of the data, so that every sample is tested once."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from torch import Tensor

from deepen.bundle import header, save
from deepen.core.errors import DeepenError, OptionError, TrainingError
from deepen.core.files import write_json
from deepen.data import split as splitting
from deepen.data.dataset import Dataset
from deepen.engine.evaluate import evaluate
from deepen.engine.events import Events, Silent
from deepen.engine.task import Task
from deepen.metrics.rows import ROWS
from deepen.parallel.ranks import Alone
from deepen.verbs.learned_before import learned_before_folds
from deepen.verbs.loaded import loaded
from deepen.verbs.options import Resolved, resolved
from deepen.verbs.prepared import base_options, read
from deepen.verbs.resumed import require_same_options
from deepen.verbs.run import Run
from deepen.verbs.train import train

FOLDS_FILE = "folds.json"

Figures = dict[str, float | None]


@dataclass(frozen=True)
class FoldsResult:
    """K runs and their figures together.

    folder     holds the run folders fold-1, fold-2, ... and folds.json, which says the same as this
    runs       by number, those that were trained to their end
    metrics    the mean over the folds, of each figure that every fold has
    deviation  the standard deviation over the folds (over K - 1): how much a figure hangs on the samples
    pooled     the figures over all answers taken together, each sample answered by the run that had not seen it;
               empty where the folds do not answer in the same terms (one of them lacks a class in training)
    failed     by number, why a training could not go on
    """

    folder: Path
    runs: dict[int, Run]
    metrics: Figures
    deviation: Figures
    pooled: Figures
    failed: dict[int, str]


def cross_validate(
    task: str,
    data: str | Path | Dataset,
    given: Mapping[str, Any] | None = None,
    *,
    folds: int,
    out: str | Path | None = None,
    resume: bool = False,
    config: str | Path | None = None,
    skip_bad: bool = False,
    events: Events | None = None,
    tensorboard: bool = False,
    command: str = "",
    flags: bool = False,
) -> FoldsResult:
    """The figures of `folds` trainings; the rest is as in `train`, a budget of time counts for each of them.

    resume  folds that are done in `out` are taken as they are, one that was stopped goes on, and those that were not
            begun are trained with the options of the first that was; OptionError if one is stated that differs

    A training that cannot go on does not stop the others. Raises what `train` raises; OptionError too where the data
    name a part for validation or testing of their own; TrainingError only if no fold came to its end.
    """
    events = events or Silent()
    base = base_options(task, data)
    chosen = resolved(task, given or {}, config, flags=flags, base=base)
    dataset, schema = read(task, data, chosen)
    parts = splitting.folds(_only_table(dataset, folds), folds, seed=chosen.fit.seed, schema=schema)
    was_there = bool(out) and Path(str(out)).exists()
    folder = Path(out) if out else save.free_name(Path("runs"), f"{dataset.name}-{chosen.task.model}-folds")
    begun = _begun(folder, chosen) if resume else None
    runs, failed = {}, {}
    cut = [dataset.with_tables({"train": rest, "test": tested}) for rest, tested in parts]
    for fault in learned_before_folds(chosen, dataset, cut):
        events.message(f"warning: {fault.sentence()}")
    for number, part in enumerate(cut, start=1):
        events.message(f"fold {number} of {folds}")
        try:
            runs[number] = _done(folder / f"fold-{number}", part, resume) or train(
                task,
                part,
                given,
                out=folder / f"fold-{number}",
                resume=resume,
                config=begun or config,
                skip_bad=skip_bad,
                events=events,
                tensorboard=tensorboard,
                command=command,
                flags=flags,
                base=base,
            )
        except TrainingError as error:
            failed[number] = str(error)
            events.message(f"fold {number} failed: {error}")
            if len(failed) == folds:
                raise
        except DeepenError:
            if not was_there:
                with suppress(OSError):
                    folder.rmdir()  # where the first fold was refused, there is nothing in it
            raise
    return _written(
        _result(folder, runs, {number: tested for number, (_, tested) in enumerate(parts, start=1)}, failed)
    )


def _only_table(dataset: Dataset, folds: int) -> pa.Table:
    if set(dataset.tables) not in ({"all"}, {"train"}):
        named = ", ".join(name for name in dataset.tables if name != "train")
        raise OptionError(
            f"--folds {folds}: expected one table to cut into folds, but {dataset.name} names parts of its own "
            f"({named}); leave --folds out, or name the training data alone."
        )
    return next(iter(dataset.tables.values()))


def _begun(folder: Path, chosen: Resolved) -> Path | None:
    """The first fold that was begun, if any was. Raises OptionError for an option that differs from its own."""
    there = sorted(folder.glob(f"fold-*/{header.RUN_FILE}"), key=lambda file: (len(file.parent.name), file.parent.name))
    if not there:
        return None
    first = there[0].parent
    require_same_options(first, header.read_header(first), chosen)
    return first


def _done(folder: Path, part: Dataset, resume: bool) -> Run | None:
    """The run of a fold that is done already, on these very samples."""
    if not resume or not (folder / header.RUN_FILE).exists():
        return None
    said = header.read_header(folder)
    is_same = said["data"]["fingerprint"] == part.fingerprint()  # type: ignore[index]
    return Run(folder) if said["status"] == "done" and is_same else None


def _result(folder: Path, runs: dict[int, Run], tested: Mapping[int, pa.Table], failed: dict[int, str]) -> FoldsResult:
    figures = [run.metrics for run in runs.values()]
    shared = [name for name in figures[0] if all(_is_number(each.get(name)) for each in figures)]
    columns = {name: [each[name] for each in figures] for name in shared}
    means: Figures = {name: statistics.fmean(values) for name, values in columns.items()}
    deviations: Figures = {
        name: statistics.stdev(values) if len(values) > 1 else None for name, values in columns.items()
    }
    pooled = _pooled([(run, tested[number]) for number, run in runs.items()])
    return FoldsResult(folder, runs, means, deviations, pooled, failed)


def _pooled(runs: Sequence[tuple[Run, pa.Table]]) -> Figures:
    tasks: list[Task] = []
    states: list[dict[str, Tensor]] = []
    start = 0
    for run, table in runs:
        model = loaded(run.folder)
        encoded = model.task.encode(table, "test", [])
        state = evaluate(model.task, model.model, encoded, device=model.device, ranks=Alone()).state()
        states.append({**state, ROWS: state[ROWS] + start})
        tasks.append(model.task)
        start += len(encoded)
    if any(_terms(task) != _terms(tasks[0]) for task in tasks):
        return {}
    metrics = tasks[0].metrics()
    metrics.merge(states)
    return {name: value if math.isfinite(value) else None for name, value in metrics.result().items()}


def _terms(task: Task) -> tuple[object, object]:
    """In what terms a task answers: its classes if it has any, and the figure that chose the weights."""
    return task.objective, getattr(task, "labels", None)


def _written(result: FoldsResult) -> FoldsResult:
    content = {
        "folds": {str(number): {"run": run.folder.name, "metrics": run.metrics} for number, run in result.runs.items()},
        "metrics": result.metrics,
        "deviation": result.deviation,
        "pooled": result.pooled,
        "failed": {str(number): reason for number, reason in result.failed.items()},
    }
    write_json(result.folder / FOLDS_FILE, content)
    return result


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
