"""`compress`: a run made smaller or faster, as a new run folder that every verb takes, and a table of what it cost."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepen.bundle import load
from deepen.compress import budget, measures, quantize
from deepen.compress.options import CompressOptions, refuse_unread, require_order
from deepen.core import options as option_rules
from deepen.core.errors import OptionError, RunError
from deepen.core.faults import refuse
from deepen.core.folders import check_replaceable
from deepen.data.dataset import Dataset
from deepen.engine.events import Events, Silent
from deepen.verbs.compressed_folder import write_folder
from deepen.verbs.compressing import State, Work
from deepen.verbs.loaded import Loaded, loaded
from deepen.verbs.prepared import Prepared, prepare
from deepen.verbs.reported import main_split

PARTS = (0.25, 0.5, 0.75)  # of the channels that a search tries to remove
ENERGIES = (0.9, 0.75)


@dataclass(frozen=True)
class Stage:
    """A network after a step: what it costs, and how good it is on the split that stands for the run."""

    name: str
    cost: dict[str, float]
    metrics: dict[str, float | None]


@dataclass(frozen=True)
class CompressResult:
    """A new run, and what became of the old one step by step.

    stages  the run as it was, then after each step; of a search the run as it was and the one that was taken
    split   on which the metrics are
    layers  of the new network, where asked for
    tried   by a search: every network with its figures on validation, and whether none is better in both ways
    bits    of fixed-point: the figures on validation by width, without tuning
    """

    folder: Path
    stages: tuple[Stage, ...]
    split: str
    objective: tuple[str, str]
    layers: tuple[measures.LayerCost, ...]
    tried: tuple[dict[str, Any], ...]
    bits: tuple[tuple[int, dict[str, float]], ...]
    notes: tuple[str, ...]


def compress(
    run: str | Path,
    given: Mapping[str, Any] | None = None,
    *,
    out: str | Path | None = None,
    data: str | Path | Dataset | None = None,
    others: Sequence[str | Path] = (),
    layers: bool = False,
    flags: bool = False,
    events: Events | None = None,
    command: str = "",
) -> CompressResult:
    """Compresses a run.

    given   CompressOptions by name, as `deepen compress --help` lists them
    out     the new run folder; default: beside the run, with the methods in its name
    data    what it was trained on, where that was not a file
    others  further runs, for averaging
    layers  measure each layer of the new network too

    The folder appears in one step when all is done. Raises OptionError, RunError, DataError or TrainingError.
    """
    events = events or Silent()
    known = option_rules.fields_of(CompressOptions)
    values = option_rules.resolve(known, given or {}, flags=flags)
    options = option_rules.build(CompressOptions, values)
    if options.budget is not None and "method" not in values:
        options = dataclasses.replace(options, method=("channels", "low-rank", "int8"))
    refuse_unread(values.keys(), options.method, flags=flags)
    require_order(options.method)
    wish = None if options.budget is None else budget.wish_of(options.budget)
    model = loaded(run, device="cpu")
    folder = _place(model, out, options)
    check_replaceable(folder, is_ours=lambda path: False)
    work = Work(model, _prepared(model, data), options, events, [Path(each) for each in others], frozenset(values))
    try:
        return _compressed(work, wish, folder, layers=layers, command=command or f"deepen compress {run}")
    finally:
        events.done()


def _compressed(work: Work, wish: budget.Wish | None, folder: Path, *, layers: bool, command: str) -> CompressResult:
    begin = work.begin()
    split = main_split(work.prepared.encoded)
    stages, tried = [_stage(work, begin, split)], []
    state = begin
    if wish is None:
        for method in work.options.method:
            work.events.message(f"{method} ...")
            state = work.step(state, method)
            stages.append(_stage(work, state, split))
    else:
        state, tried = _searched(work, begin, wish)
        stages.append(_stage(work, state, split))
    measured = measures.layer_costs(state.network, work.of(state).call(state, 1)) if layers else []
    result = CompressResult(
        folder=folder,
        stages=tuple(stages),
        split=split,
        objective=begin.plain.objective,
        layers=tuple(measured),
        tried=tuple(tried),
        bits=tuple(work.bits),
        notes=(*work.model.notes, *work.notes, *quantize.said(state.network), *quantize.said_here(state.network)),
    )
    write_folder(work, state, result, command=command)
    return result


def _stage(work: Work, state: State, split: str) -> Stage:
    own = work.of(state)
    judged = own.prepared.encoded[split] if split else own.train
    found = {name: value if math.isfinite(value) else None for name, value in own.figures(state, judged).items()}
    return Stage(state.name, own.cost(state).as_dict(), found)


def _searched(work: Work, begin: State, wish: budget.Wish) -> tuple[State, list[dict[str, Any]]]:
    """The network that keeps to the wish and is best then, and all that were tried, by their figures on validation.

    Raises OptionError where none keeps to it, with the nearest.
    """
    states = [begin]
    figures = [_figures(work, begin)]
    wish.limit_for(figures[0])
    for parent in _branches(work, begin):
        for state in (parent, *_leaves(work, parent)):
            if state is not begin:
                states.append(state)
                figures.append(_figures(work, state))
                work.events.message(f"{state.name}: {_short(figures[-1], begin.plain.objective[0])}")
    objective, direction = begin.plain.objective
    sign = 1 if direction == "max" else -1
    best = budget.best(figures, wish, objective=objective, direction=direction)
    edge = set(budget.front([(each["latency"], sign * each[objective]) for each in figures]))
    tried = [
        {"name": state.name, "front": number in edge, "taken": number == best, **each}
        for number, (state, each) in enumerate(zip(states, figures, strict=True))
    ]
    if best is None:
        values = [each[wish.name] for each in figures]
        near = min(values) if wish.is_below else max(values)
        raise OptionError(
            f"--budget {work.options.budget!r}: none of {len(states)} networks keeps to it; the nearest has "
            f"{wish.name} {near:.4g}; wish for less, or name other ways with --method."
        )
    return states[best], tried


def _branches(work: Work, begin: State) -> list[State]:
    """The run as it is, and with other structures; what does not suit this network is passed over with a note."""
    found = [begin]
    for name, field, values in (("channels", "channels", PARTS), ("low-rank", "energy", ENERGIES)):
        if name not in work.options.method:
            continue
        for value in values if field not in work.stated else (getattr(work.options, field),):
            own = dataclasses.replace(work, options=dataclasses.replace(work.options, **{field: value}))
            try:
                found.append(dataclasses.replace(own.step(begin, name), name=f"{name} {value:g}"))
            except OptionError as error:
                work.notes.append(str(error))
                break
    return found


def _leaves(work: Work, parent: State) -> list[State]:
    """The same with whole numbers and other last steps."""
    found = []
    for name in work.options.method:
        if name in ("channels", "low-rank"):
            continue
        state = work.step(parent, name)
        title = name if parent.name == "before" else f"{parent.name}, {name}"
        found.append(dataclasses.replace(state, name=title))
    return found


def _figures(work: Work, state: State) -> dict[str, float]:
    own = work.of(state)
    return {**own.figures(state, own.val), **own.cost(state).as_dict()}


def _short(figures: Mapping[str, float], objective: str) -> str:
    return f"{objective} {figures[objective]:.4g}, {figures['latency']:.3g} ms, {figures['size'] / 1e6:.3g} MB"


def _place(model: Loaded, out: str | Path | None, options: CompressOptions) -> Path:
    """Where the new run goes: a place that is free."""
    if out is not None:
        return Path(out)
    stem = f"{model.folder.resolve().name}-{'-'.join(options.method) if options.budget is None else 'compressed'}"
    parent, number = model.folder.resolve().parent, 1
    while (found := parent / (stem if number == 1 else f"{stem}-{number}")).exists():
        number += 1
    return found


def _prepared(model: Loaded, data: str | Path | Dataset | None) -> Prepared:
    """The data that the run was trained on, prepared as then. Raises RunError where they are others now."""
    source = model.header["data"]["path"] if data is None else data
    if not isinstance(source, Dataset) and not str(source):
        raise RunError(f"{model.folder}: was trained on data that were in memory, not in a file; name them with data=.")
    skip_bad = bool(model.header["extra"].get("skip_bad"))
    prepared = prepare(model.header["task"], source, model.options, skip_bad=skip_bad)
    if prepared.fingerprint != model.header["data"]["fingerprint"]:
        raise RunError(
            f"{source}: has changed since {model.folder} was trained on it, so its test split is not what it was; "
            "compress with the data as they were."
        )
    refuse(prepared.faults, skip_bad=skip_bad)
    state = load.load_prepare(model.folder)
    return dataclasses.replace(prepared, state=dict(state), task=model.task)
