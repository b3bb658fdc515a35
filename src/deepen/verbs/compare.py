"""`compare`: runs side by side on the same samples, or over the same folds, and whether their difference is real."""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deepen.bundle import records
from deepen.core.errors import DataError, OptionError, RunError
from deepen.core.faults import Fault, grouped, refuse
from deepen.core.units import plural
from deepen.data.dataset import Dataset
from deepen.engine.evaluate import evaluate as score
from deepen.engine.task import Metrics, PairedMetrics, SharedOutputs
from deepen.metrics.paired import Difference, corrected_resampled_t, holm, paired_differences
from deepen.metrics.rows import PerRow
from deepen.nn.summary import num_parameters
from deepen.parallel.ranks import Alone
from deepen.prepare.image_guard import guarded
from deepen.report.comparison import NO_OPTION, Comparison, Pair, Side, write_page
from deepen.verbs.ensemble import encoded_alike, folds_of, load_members, together
from deepen.verbs.evaluate import Samples, intervals_of, samples_for
from deepen.verbs.loaded import Loaded

NOT_OPTIONS = ("out",)
ONE_TRAINING = (
    "The test asks whether these trained networks would differ on other samples like these. Another seed gives other "
    "networks; to compare two ways of training, compare their --folds."
)
FOLDS_TEST = (
    "The test asks whether the two ways of training would differ on other data like these: over the folds, by the "
    "resampled t-test of Nadeau and Bengio, which allows for the samples that the trainings share."
)
MANY = (
    "The best run was chosen on these very samples, so p is corrected (Holm) over all pairs of runs; the intervals are "
    "of each difference by itself."
)


@dataclass(frozen=True)
class _Entry:
    """One thing that was named: a run, or the folds of one, which answer as an ensemble where they must."""

    name: str
    folder: Path
    members: list[Loaded]

    @property
    def first(self) -> Loaded:
        return self.members[0]

    @property
    def is_folds(self) -> bool:
        return self.first.folder != self.folder


@dataclass(frozen=True)
class _Found:
    """The runs, the best first, and for each figure the difference of every pair (i, j), i < j, of their places."""

    layout: str
    over: str
    count: int
    objective: tuple[str, Literal["max", "min"]]
    sides: list[Side]
    differences: dict[str, dict[tuple[int, int], Difference]]
    notes: list[str]
    faults: Sequence[Fault] = ()


def compare(
    runs: Sequence[str | Path],
    data: str | Path | Dataset | None = None,
    given: Mapping[str, Any] | None = None,
    *,
    out: str | Path | None = None,
    skip_bad: bool = False,
    flags: bool = False,
) -> Comparison:
    """Two runs or more, the best first, and what their differences are worth.

    runs   run folders, or folders of folds
    data   what to score them on, read as the first run reads; default: the test split, if they have it in common; for
           folders of folds the folds themselves
    given  options on how to read the data
    out    a file that gets the page

    Raises RunError for runs that cannot be compared, DataError, OptionError, FileError.
    """
    entries = _entries(runs)
    if data is None and all(entry.is_folds for entry in entries):
        found = _over_folds(entries)
    else:
        found = _over_samples(entries, data, given or {}, skip_bad=skip_bad, flags=flags)
    comparison = _comparison(str(entries[0].first.header["task"]), found)
    if out is not None:
        write_page(out, comparison)
    return comparison


def _entries(runs: Sequence[str | Path]) -> list[_Entry]:
    if isinstance(runs, (str, Path)) or len(runs) < 2:
        raise OptionError("compare: expected two runs or more; name their folders.")
    entries = [_Entry(name, Path(run), load_members(run)[0]) for name, run in zip(_names(runs), runs, strict=True)]
    first = entries[0].first
    for entry in entries[1:]:
        if entry.first.header["task"] != first.header["task"]:
            raise RunError(
                f"{entry.folder}: expected a run of {first.header['task']}, as {entries[0].folder} is, but is one of "
                f"{entry.first.header['task']}."
            )
        own, other = _target(first), _target(entry.first)
        if own != other:
            raise RunError(f"{entry.folder}: answers {other!r}, but {entries[0].folder} answers {own!r}.")
    return entries


def _target(run: Loaded) -> str:
    return run.task.terms.target if isinstance(run.task, SharedOutputs) else ""


def _names(runs: Sequence[str | Path]) -> list[str]:
    """The folders' own names, or their paths where two have the same name; a run that is named twice gets a number."""
    names = [Path(run).name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run) for run in runs]
    return [name if name not in names[:i] else f"{name} ({names[:i].count(name) + 1})" for i, name in enumerate(names)]


def _over_samples(
    entries: Sequence[_Entry],
    data: str | Path | Dataset | None,
    given: Mapping[str, Any],
    *,
    skip_bad: bool,
    flags: bool,
) -> _Found:
    models = [_as_one(entry) for entry in entries]
    samples = samples_for([run for entry in entries for run in entry.members], data, given, flags=flags)
    faults = list(samples.faults)
    scored, count = _scored(models, samples, faults, skip_bad=skip_bad)
    sides = [_scored_side(entry, metrics) for entry, metrics in zip(entries, scored, strict=True)]
    objective = _objective(entries[0].first, sides)
    order = _ranking(sides, objective)
    figures, notes = _per_row([scored[index] for index in order])
    pairs = _pairs(len(order))
    return _Found(
        layout=samples.layout,
        over=f"{plural(count, 'sample')} ({samples.split})",
        count=count,
        objective=objective,
        sides=[sides[index] for index in order],
        differences={
            name: dict(zip(pairs, paired_differences(each, pairs), strict=True)) for name, each in figures.items()
        },
        notes=[ONE_TRAINING, *notes, *_said_of(entries, samples, count)],
        faults=faults,
    )


def _said_of(entries: Sequence[_Entry], samples: Samples, count: int) -> list[str]:
    """What is odd about the samples or the runs' own data."""
    notes = []
    if count < samples.table.num_rows:
        left_out = plural(samples.table.num_rows - count, "sample")
        notes.append(f"{left_out} left out, since not all of the runs can use them.")
    if samples.split == "val":
        notes.append("The validation samples chose each run's weights too, which flatters all of them.")
    if len({run.header["data"]["fingerprint"] for entry in entries if not entry.is_folds for run in entry.members}) > 1:
        notes.append("The runs were trained on different data.")
    return notes


def _as_one(entry: _Entry) -> Loaded:
    """The run, or the folds as an ensemble."""
    if len(entry.members) == 1:
        return entry.first
    return together(entry.members, [1 / len(entry.members)] * len(entry.members))


def _scored(
    models: Sequence[Loaded], samples: Samples, faults: list[Fault], *, skip_bad: bool
) -> tuple[list[Metrics], int]:
    """Each run's metrics over the samples that all of them can use, and how many these are."""
    with guarded():
        encoded = encoded_alike([model.task for model in models], samples.table, samples.split, faults)
    refuse(faults, skip_bad=skip_bad)
    if len(encoded[0]) == 0:
        raise DataError(f"{samples.source}: expected samples that all of the runs can use, but there are none.", faults)
    scored = [
        score(model.task, model.model, part, device=model.device, ranks=Alone())
        for model, part in zip(models, encoded, strict=True)
    ]
    return scored, len(encoded[0])


def _per_row(scored: Sequence[Metrics]) -> tuple[dict[str, list[PerRow]], list[str]]:
    """The figures that can be compared sample by sample, and a note on those that cannot."""
    tables = [metrics.per_row() if isinstance(metrics, PairedMetrics) else {} for metrics in scored]
    shared = [name for name in tables[0] if all(name in table for table in tables)]
    finite = [name for name in shared if all(np.isfinite(table[name].values).all() for table in tables)]
    notes = [f"{name} is not finite for every sample, so it is not tested." for name in shared if name not in finite]
    if not shared:
        notes.append("These runs have no figure that is a mean over samples, so no difference can be tested.")
    return {name: [table[name] for table in tables] for name in finite}, notes


def _over_folds(entries: Sequence[_Entry]) -> _Found:
    """The figures of the folds that all have in common, which must be the same folds."""
    tables = [folds_of(entry.folder) for entry in entries]
    shared = [name for name in tables[0] if all(name in table for table in tables)]
    _refuse_other_folds(entries, shared)
    columns = [_columns(table, shared) for table in tables]
    sides = [_folds_side(entry, each) for entry, each in zip(entries, columns, strict=True)]
    objective = _objective(entries[0].first, sides)
    order = _ranking(sides, objective)
    counts = [_fold(entries[0], name).header["data"]["counts"] for name in shared]
    share = statistics.fmean(each["test"] / (each["train"] + each.get("val", 0)) for each in counts)
    differences: dict[str, dict[tuple[int, int], Difference]] = {}
    for figure in [name for name in columns[0] if all(name in each for each in columns)]:
        values = [columns[index][figure] for index in order]
        differences[figure] = {
            (i, j): corrected_resampled_t(np.subtract(values[i], values[j]).tolist(), test_share=share)
            for i, j in _pairs(len(order))
        }
    return _Found(
        layout=entries[0].first.header["data"]["layout"],
        over=plural(len(shared), "fold"),
        count=sum(each["test"] for each in counts),
        objective=objective,
        sides=[sides[index] for index in order],
        differences=differences,
        notes=[FOLDS_TEST],
    )


def _refuse_other_folds(entries: Sequence[_Entry], shared: Sequence[str]) -> None:
    """Raises RunError unless the runs of each fold had the same samples to learn and to test."""
    first = entries[0]
    if len(shared) < 2:
        raise RunError(f"{entries[-1].folder}: expected two folds or more in common with {first.folder}; train them.")
    for entry, name in itertools.product(entries[1:], shared):
        own, other = (_fold(each, name).header["data"]["fingerprint"] for each in (entry, first))
        if own != other:
            raise RunError(
                f"{entry.folder}: cuts its data into other folds than {first.folder} (seed, number of folds, data); "
                "name data to compare them on."
            )


def _fold(entry: _Entry, name: str) -> Loaded:
    return next(member for member in entry.members if member.folder.name == name)


def _columns(table: Mapping[str, Mapping[str, Any]], folds: Sequence[str]) -> dict[str, list[float]]:
    """The figures that every fold has, one value per fold."""
    found = {name: [table[fold].get(name) for fold in folds] for name in table[folds[0]]}
    return {
        name: [float(value) for value in values if isinstance(value, (int, float)) and math.isfinite(value)]
        for name, values in found.items()
        if all(isinstance(value, (int, float)) and math.isfinite(value) for value in values)
    }


def _comparison(task: str, found: _Found) -> Comparison:
    names = sorted(found.differences, key=lambda name: name != found.objective[0])
    return Comparison(
        task=task,
        layout=found.layout,
        over=found.over,
        count=found.count,
        objective=found.objective,
        runs=tuple(found.sides),
        pairs=tuple(pair for name in names for pair in _against_best(name, found.sides, found.differences[name])),
        options=_differing(found.sides),
        notes=[*found.notes, MANY] if len(found.sides) > 2 else found.notes,
        warnings=[group.sentence() for group in grouped(found.faults)],
    )


def _against_best(figure: str, sides: Sequence[Side], differences: Mapping[tuple[int, int], Difference]) -> list[Pair]:
    """The best run with each other one; their p are corrected over all pairs, since the best is known from the data."""
    adjusted = dict(zip(differences, holm([found.p for found in differences.values()]), strict=True))
    return [
        Pair(figure, sides[0].name, sides[j].name, found, adjusted[i, j])
        for (i, j), found in differences.items()
        if i == 0
    ]


def _pairs(count: int) -> list[tuple[int, int]]:
    return list(itertools.combinations(range(count), 2))


def _objective(first: Loaded, sides: Sequence[Side]) -> tuple[str, Literal["max", "min"]]:
    """The figure that ranks the runs: what chose the first run's weights, where all runs have it."""
    name, direction = first.task.objective
    if any(side.metrics.get(name) is None for side in sides):
        raise RunError(f"{sides[0].folder}: expected a figure {name!r} of every run to rank them by.")
    return name, "max" if direction == "max" else "min"


def _ranking(sides: Sequence[Side], objective: tuple[str, str]) -> list[int]:
    """The runs by their objective, the best first; equal ones as they were named."""
    sign = -1 if objective[1] == "max" else 1
    return sorted(range(len(sides)), key=lambda index: sign * float(sides[index].metrics[objective[0]] or 0.0))


def _scored_side(entry: _Entry, metrics: Metrics) -> Side:
    figures = {name: value if math.isfinite(value) else None for name, value in metrics.result().items()}
    parameters = sum(num_parameters(run.model) for run in entry.members)
    history = records.read_metrics(entry.first.folder) if not entry.is_folds else []
    side = _side(entry, figures, parameters)
    return dataclasses.replace(side, intervals=intervals_of(metrics), history=history)


def _folds_side(entry: _Entry, columns: Mapping[str, Sequence[float]]) -> Side:
    means = {name: statistics.fmean(values) for name, values in columns.items()}
    return _side(entry, means, num_parameters(entry.first.model))


def _side(entry: _Entry, figures: Mapping[str, float | None], parameters: int) -> Side:
    timing = [records.read_timing(member.folder) for member in entry.members]
    seconds = [float(lines[-1]["seconds"]) for lines in timing if lines]  # type: ignore[arg-type]
    paces = [float(line["samples_per_second"]) for lines in timing for line in lines]  # type: ignore[arg-type]
    return Side(
        name=entry.name,
        folder=str(entry.folder),
        model=str(entry.first.header["model"]),
        trained_on=_trained_on(entry),
        metrics=figures,
        intervals={},
        parameters=parameters,
        seconds=sum(seconds) if seconds else None,
        samples_per_second=statistics.median(paces) if paces else None,
        options=entry.first.header["options"],
    )


def _trained_on(entry: _Entry) -> str:
    data = entry.first.header["data"]
    folds = f", {plural(len(entry.members), 'fold')}" if entry.is_folds else ""
    return f"{data['path'] or data['name']}: {data['layout']}{folds}" if data.get("layout") else str(data["path"])


def _differing(sides: Sequence[Side]) -> dict[str, list[Any]]:
    """The options whose value is not the same in all runs."""
    names = dict.fromkeys(name for side in sides for name in side.options if name not in NOT_OPTIONS)
    table = {name: [side.options.get(name, NO_OPTION) for side in sides] for name in names}
    return {name: values for name, values in table.items() if any(value != values[0] for value in values[1:])}
