"""`train`: raw data to a run folder with the best weights, their figures, a report and a model card."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from deepen.bundle import checkpoint, header, records, save
from deepen.core.errors import DeepenError, FileError, RunError
from deepen.core.faults import grouped, refuse
from deepen.core.files import write_json
from deepen.core.lock import FolderLock
from deepen.core.units import seconds
from deepen.data.dataset import Dataset
from deepen.engine.evaluate import evaluate
from deepen.engine.events import Events, Silent
from deepen.engine.fit import Fitted, available_cores, choose_device, fit
from deepen.engine.keeper import Elsewhere
from deepen.engine.signals import Interrupted
from deepen.parallel import launch
from deepen.parallel.ranks import Ranks
from deepen.verbs import environment, pretrained
from deepen.verbs.board import Board
from deepen.verbs.options import BUDGETS, Resolved, rebuilt, resolved, with_epochs
from deepen.verbs.prepared import Prepared, base_options, prepare
from deepen.verbs.pretrained import Unlabelled, unlabelled
from deepen.verbs.reported import main_split, write_report
from deepen.verbs.resumed import base_of_run, require_same_data, resumed
from deepen.verbs.run import Run
from deepen.verbs.starting_weights import RECORD, StartingWeights, record_of_run, starting_weights

LEAST_STEPS = 600  # small data sets are passed over more often than the recipe says, until training has this many steps
MOST_EPOCHS = 100
SLOWER = 5  # times rank 0's seconds that another rank may take to prepare the same data beside it


@dataclass(frozen=True)
class _Order:
    """What every rank needs to do its part; picklable."""

    task: str
    data: str | Path | Dataset
    options: dict[str, Any]
    skip_bad: bool


def train(
    task: str,
    data: str | Path | Dataset,
    given: Mapping[str, Any] | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    config: str | Path | None = None,
    skip_bad: bool = False,
    events: Events | None = None,
    tensorboard: bool = False,
    command: str = "",
    flags: bool = False,
    prepared: Prepared | None = None,
) -> Run:
    """The run that this training made, or finished.

    task     a name from `deepen list`
    data     a path, a built-in name ("digits"), "tiny", or a Dataset
    given    options by dotted name; a config file's come before them, the model's recipe before those
    out      the run folder; default runs/<data>-<model>, with -2, -3, ... if taken
    resume   go on with the run in `out` where its newest checkpoint stands
    command  what to write down as the command that made this run
    prepared the data as these options prepare them, where that was done before; a split it lacks is not scored

    Started by torchrun, every rank calls this with the same arguments; rank 0 writes and speaks, in a folder that all
    ranks can read. Raises OptionError, DataError, RunError or TrainingError; Interrupted after a signal, with
    everything saved.
    """
    follows = launch.under_torchrun() and not launch.is_first()
    events = Silent() if follows or events is None else events
    base = (base_of_run(task, out) if resume else {}) or base_options(task, data)
    chosen = resolved(task, given or {}, config, flags=flags, base=base)
    folder = Path(out) if out is not None else None
    if resume:
        folder, chosen = resumed(task, chosen, folder)
    going_on = resume and folder is not None and (folder / header.RUN_FILE).exists()
    if folder is not None and not going_on and not follows:
        save.check_free(folder)
    _set_threads(chosen)
    prepared = prepared or accepted(task, data, chosen, skip_bad, events)
    chosen = budgeted(chosen, prepared)
    if follows:
        timeout_seconds = seconds(chosen.fit.timeout, name="--timeout")
        device_type = choose_device(chosen.fit.device).type
        with launch.group(1, device_type, _other_rank, None, timeout_seconds=timeout_seconds) as ranks:
            return Run(_follow(chosen, prepared, ranks))
    before = folder if going_on else None
    begun = starting_weights(chosen, prepared.task, folder=before, record=record_of_run(before) if before else None)
    more = unlabelled(
        task,
        chosen,
        prepared,
        folder=before,
        record=pretrained.record_of_run(before) if before else None,
        skip_bad=skip_bad,
    )
    for note in (*begun.notes, *more.notes):
        events.message(note)
    if folder is None:
        folder = save.free_name(Path("runs"), f"{prepared.dataset.name}-{chosen.task.model}")
    if not going_on:
        command = command or _command(task, data, folder)
        save.create(folder, _header(task, data, chosen, prepared, command, skip_bad, begun, more))
    with FolderLock(folder):
        if going_on:
            require_same_data(folder, prepared.fingerprint)
            save.sweep(folder)
        if not (folder / header.PREPARE_FILE).exists():  # a run that was killed before its first step may lack it
            write_json(folder / header.PREPARE_FILE, prepared.state)
        save.update(folder, status="training", files=(header.PREPARE_FILE,))
        if tensorboard:
            events = Board(events, folder, first_step=_last_step(folder) + 1)
        return _trained(task, data, chosen, prepared, folder, going_on, skip_bad, events, begun, more)


def _trained(
    task: str,
    data: str | Path | Dataset,
    chosen: Resolved,
    prepared: Prepared,
    folder: Path,
    resume: bool,
    skip_bad: bool,
    events: Events,
    begun: StartingWeights,
    more: Unlabelled,
) -> Run:
    order = _Order(task, data, chosen.flat, skip_bad)
    device = choose_device(chosen.fit.device)
    timeout_seconds = seconds(chosen.fit.timeout, name="--timeout")
    try:
        with launch.group(
            chosen.fit.devices,
            device.type,
            _other_rank,
            order,
            prepare=_other_prepared,
            timeout_seconds=timeout_seconds,
            join_seconds=timeout_seconds + SLOWER * prepared.seconds,
        ) as ranks:
            said = {"folder": str(folder), "resume": resume, "fingerprint": prepared.fingerprint, RECORD: begun.record}
            said |= {"task": task, "skip_bad": skip_bad, pretrained.RECORD: more.record}
            ranks.from_first({**said, "splits": list(prepared.encoded)})
            with ExitStack() as held:
                elsewhere = _elsewhere(chosen, prepared, folder, events, held)
                fitted, scored = _fit(chosen, prepared, folder, resume, ranks, events, begun, more, elsewhere)
                run = _finished(chosen, prepared, fitted.folder or folder, fitted, scored, events)
                ranks.wait()
                return run
    except Interrupted:
        _mark(folder, "interrupted")
        events.message(f"stopped and saved; go on with: {_command(task, data, folder)} --resume")
        raise
    except DeepenError:
        _mark(folder, "failed")
        raise


def _elsewhere(chosen: Resolved, prepared: Prepared, folder: Path, events: Events, held: ExitStack) -> Elsewhere | None:
    """Makes a run folder under `--fallback-dir`, locked until `held` ends; None where no such folder is named."""
    if chosen.fit.fallback_dir is None:
        return None
    known = header.read_header(folder)  # as long as it can be read

    def moved(error: FileError) -> Path:
        new = save.free_name(Path(str(chosen.fit.fallback_dir)), folder.name)
        save.create(new, known)
        held.enter_context(FolderLock(new))
        write_json(new / header.PREPARE_FILE, prepared.state)
        save.update(new, status="training", files=(header.PREPARE_FILE,))
        events.message(f"warning: {error} Going on in {new} (--fallback-dir).")
        return new

    return moved


def _mark(folder: Path, status: str) -> None:
    """Says in run.json how the run ended; where the folder cannot be written, what ended it is what matters."""
    with suppress(DeepenError):
        save.update(folder, status=status)


def _fit(
    chosen: Resolved,
    prepared: Prepared,
    folder: Path,
    resume: bool,
    ranks: Ranks,
    events: Events,
    begun: StartingWeights,
    more: Unlabelled,
    elsewhere: Elsewhere | None = None,
) -> tuple[Fitted, Any]:
    device = choose_device(chosen.fit.device, ranks.rank)
    encoded = prepared.encoded
    if ranks.rank == 0:
        events.started(_plan(chosen, prepared, device))
    fitted = fit(
        prepared.task,
        encoded["train"],
        encoded.get("val"),
        chosen.fit,
        folder=folder,
        elsewhere=elsewhere,
        resume=resume and checkpoint.has_checkpoint(folder),
        start=begun.start,
        unlabelled=more.encoded,
        device=device,
        ranks=ranks,
        events=events,
    )
    scored = {
        name: evaluate(prepared.task, fitted.model, encoded[name], device=device, ranks=ranks)
        for name in ("val", "test")
        if name in encoded and len(encoded[name]) > 0
    }
    return fitted, scored


def _other_prepared(order: _Order) -> tuple[Resolved, Prepared]:
    """What ranks 1, 2, ... do before they join: they read and prepare the data as rank 0 did."""
    chosen = rebuilt(order.task, order.options)
    _set_threads(chosen)
    return chosen, accepted(order.task, order.data, chosen, order.skip_bad, Silent())


def _other_rank(ranks: Ranks, ready: tuple[Resolved, Prepared]) -> None:
    """What ranks 1, 2, ... do: the same, without writing or saying anything."""
    with suppress(Interrupted):  # rank 0 saves, and says so
        _follow(*ready, ranks)


def _follow(chosen: Resolved, prepared: Prepared, ranks: Ranks) -> Path:
    """Trains along with rank 0, which says where the run stands."""
    said = ranks.from_first(None)
    if prepared.fingerprint != said["fingerprint"]:
        raise RunError(f"rank {ranks.rank}: expected the data that rank 0 read, but it differs; use one copy of it.")
    encoded = {name: prepared.encoded[name] for name in said["splits"]}
    prepared = replace(prepared, encoded=encoded)
    folder = Path(said["folder"])
    before = folder if said["resume"] else None
    begun = starting_weights(chosen, prepared.task, folder=before, record=said[RECORD] or None)
    more = unlabelled(
        said["task"],
        chosen,
        prepared,
        folder=before,
        record=said[pretrained.RECORD] or None,
        skip_bad=said["skip_bad"],
    )
    _fit(chosen, prepared, folder, said["resume"], ranks, Silent(), begun, more)
    ranks.wait()
    return folder


def _finished(
    chosen: Resolved, prepared: Prepared, folder: Path, fitted: Fitted, scored: dict[str, Any], events: Events
) -> Run:
    """Writes weights, figures, report and card, and only then says that the run is done."""
    metrics = {name: _numbers(found.result()) for name, found in scored.items()}
    save.save_weights(folder, fitted.model.state_dict())
    save.update(folder, metrics={"of": main_split(scored), **metrics})
    if fitted.pretraining:
        save.update(folder, extra={**_extra(folder), pretrained.COURSE: fitted.pretraining})
    write_report(folder, chosen, prepared, fitted, scored)
    save.update(folder, status="done")
    return Run(folder)


def accepted(task: str, data: str | Path | Dataset, chosen: Resolved, skip_bad: bool, events: Events) -> Prepared:
    """The prepared data, after saying what is odd about it and refusing what is wrong."""
    prepared = prepare(task, data, chosen, skip_bad=skip_bad)
    events.message(prepared.dataset.layout)
    events.message(prepared.split)
    for group in grouped(fault for fault in prepared.faults if fault.level in ("warning", "note")):
        events.message(f"{'warning: ' if group.level == 'warning' else ''}{group.sentence()}")
    refuse(prepared.faults, skip_bad=skip_bad)
    skipped = [fault for fault in prepared.faults if fault.level == "sample"]
    if skipped:
        events.message(f"{len(skipped)} bad samples are left out (--skip-bad); the list is in run.json")
    return prepared


def budgeted(chosen: Resolved, prepared: Prepared) -> Resolved:
    """The options with a budget: where the user states none, the recipe's epochs, and more on small data."""
    fit_options = chosen.fit
    if any(name in chosen.stated and getattr(fit_options, name) is not None for name in BUDGETS):
        return chosen
    steps = max(1, math.ceil(len(prepared.encoded["train"]) / fit_options.batch_size))
    epochs = max(fit_options.epochs or 1, min(MOST_EPOCHS, math.ceil(LEAST_STEPS / steps)))
    return with_epochs(chosen, epochs)


def _header(
    task: str,
    data: str | Path | Dataset,
    chosen: Resolved,
    prepared: Prepared,
    command: str,
    skip_bad: bool,
    begun: StartingWeights,
    more: Unlabelled,
) -> dict[str, Any]:
    return {
        "task": task,
        "model": chosen.task.model,
        "options": chosen.flat,
        "data": {
            "path": "" if isinstance(data, Dataset) else str(data),
            "name": prepared.dataset.name,
            "layout": prepared.dataset.layout,
            "split": prepared.split,
            "fingerprint": prepared.fingerprint,
            "counts": {name: len(encoded) for name, encoded in prepared.encoded.items()},
        },
        "seed": chosen.fit.seed,
        "versions": environment.versions(),
        "command": command,
        "extra": {
            "skip_bad": skip_bad,
            "skipped": [fault.sentence() for fault in prepared.faults if fault.level == "sample"],
            "warned": [group.sentence() for group in grouped(prepared.faults) if group.level == "warning"],
            **({RECORD: begun.record} if begun.record else {}),
            **({pretrained.RECORD: more.record} if more.record else {}),
        },
    }


def _plan(chosen: Resolved, prepared: Prepared, device: torch.device) -> dict[str, Any]:
    fit_options = chosen.fit
    budget = next((name, getattr(fit_options, name)) for name in BUDGETS if getattr(fit_options, name) is not None)
    return {
        "model": chosen.task.model,
        "rows": len(prepared.encoded["train"]),
        "device": str(device),
        "budget": f"{budget[1]} {budget[0]}" if budget[0] != "time" else budget[1],
        "objective": prepared.task.objective[0],
        "epochs": fit_options.epochs,
    }


def _set_threads(chosen: Resolved) -> None:
    if chosen.fit.threads is not None:
        torch.set_num_threads(chosen.fit.threads)
    elif chosen.fit.devices > 1 or launch.under_torchrun():
        torch.set_num_threads(max(1, available_cores() // max(1, chosen.fit.devices)))


def _extra(folder: Path) -> dict[str, Any]:
    extra = header.read_header(folder)["extra"]
    assert isinstance(extra, dict)
    return extra


def _numbers(result: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in result.items()}


def _last_step(folder: Path) -> int:
    records_before = records.read_metrics(folder)
    return int(records_before[-1]["step"]) if records_before else 0  # type: ignore[call-overload]


def _command(task: str, data: str | Path | Dataset, folder: Path) -> str:
    path = data.name if isinstance(data, Dataset) else str(data)
    return f"deepen train {task} {shlex.quote(path)} --out {shlex.quote(str(folder))}"
