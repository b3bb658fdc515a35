"""`train`: raw data to a run folder with the best weights, their figures, a report and a model card."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from deepen.bundle import header, records, save
from deepen.core import processor
from deepen.core.errors import DataError, DeepenError, OptionError, RunError
from deepen.core.faults import grouped, refuse
from deepen.core.files import write_json
from deepen.core.lock import FolderLock
from deepen.core.units import seconds
from deepen.data.dataset import Dataset
from deepen.engine.events import Events, Silent
from deepen.engine.fit import choose_device
from deepen.engine.signals import Interrupted
from deepen.parallel import launch
from deepen.parallel.ranks import Ranks
from deepen.verbs import board
from deepen.verbs.learned_before import learned_before
from deepen.verbs.options import BUDGETS, Resolved, has_budget, rebuilt, resolved, task_module, with_epochs
from deepen.verbs.prepared import Prepared, base_options, prepare
from deepen.verbs.resumed import base_of_run, require_same_data, require_same_weighting, resumed
from deepen.verbs.reweighted import RECORD
from deepen.verbs.run import Run
from deepen.verbs.sitting import Sitting, start_of

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
    base: Mapping[str, Any] | None = None,
) -> Run:
    """The run that this training made, or finished.

    task     a name from `deepen list`
    data     a path, a built-in name ("digits"), "tiny", or a Dataset
    given    options by dotted name; a config file's come before them, the model's recipe before those
    out      the run folder; default runs/<data>-<model>, with -2, -3, ... if taken
    resume   go on with the run in `out` where its newest checkpoint stands
    command  what to write down as the command that made this run
    prepared the data as these options prepare them, where that was done before; a split it lacks is not scored
    base     options that came with the data, where they were read before

    Started by torchrun, every rank calls this with the same arguments; rank 0 writes and speaks, in a folder that all
    ranks can read. Raises OptionError, DataError, RunError or TrainingError; Interrupted after a signal, with
    everything saved.
    """
    follows = launch.under_torchrun() and not launch.is_first()
    events = Silent() if follows or events is None else events
    base = (base_of_run(task, out) if resume else {}) or (base_options(task, data) if base is None else base)
    chosen = resolved(task, given or {}, config, flags=flags, base=base)
    folder = Path(out) if out is not None else None
    if resume:
        folder, chosen = resumed(task, chosen, folder)
    going_on = resume and folder is not None and (folder / header.RUN_FILE).exists()
    if folder is not None and not going_on and not follows:
        save.check_free(folder)
    _set_threads(chosen)
    for note in chosen.notes:
        events.message(note)
    prepared = prepared or accepted(task, data, chosen, skip_bad, events)
    chosen = budgeted(chosen, prepared) if has_budget(task, chosen) else chosen
    if follows:
        timeout_seconds = seconds(chosen.fit.timeout, name="--timeout")
        device_type = choose_device(chosen.fit.device).type
        with launch.group(1, device_type, _other_rank, None, timeout_seconds=timeout_seconds) as ranks:
            return Run(_follow(chosen, prepared, ranks))
    before = folder if going_on else None
    begun, more = start_of(task, chosen, prepared, folder=before, skip_bad=skip_bad)
    for note in (*begun.notes, *more.notes):
        events.message(note)
    was_there = folder is not None and folder.exists()
    if folder is None:
        folder = save.free_name(Path("runs"), f"{prepared.dataset.name}-{chosen.task.model}")
    sitting = Sitting(task, data, chosen, prepared, folder, going_on, skip_bad, events, begun, more)
    if not going_on:
        save.create(folder, sitting.header(command or sitting.command))
    with FolderLock(folder), _nothing_left_if_refused(folder, going_on=going_on, keep_folder=was_there):
        if going_on:
            require_same_data(folder, prepared.fingerprint)
            require_same_weighting(folder, prepared.weighting)
            save.sweep(folder)
        if not (folder / header.PREPARE_FILE).exists():  # a run that was killed before its first step may lack it
            write_json(folder / header.PREPARE_FILE, prepared.state)
        save.update(folder, status="training", files=(header.PREPARE_FILE, *further_files(task, folder, prepared)))
        if tensorboard:
            sitting = replace(sitting, events=board.Board(events, folder, first_step=_last_step(folder) + 1))
        return _trained(sitting)


@contextmanager
def _nothing_left_if_refused(folder: Path, *, going_on: bool, keep_folder: bool) -> Iterator[None]:
    """Takes a new run away again where its options or data are refused before it has learned anything."""
    try:
        yield
    except (OptionError, DataError):
        if not going_on:
            with suppress(DeepenError):
                save.withdraw(folder, further=(board.FOLDER,), keep_folder=keep_folder)
        raise


def _trained(sitting: Sitting) -> Run:
    """The run at the end of this sitting, trained on as many ranks as the options say."""
    chosen, folder = sitting.chosen, sitting.folder
    order = _Order(sitting.task, sitting.data, chosen.flat, sitting.skip_bad)
    timeout_seconds = seconds(chosen.fit.timeout, name="--timeout")
    try:
        with launch.group(
            chosen.fit.devices,
            choose_device(chosen.fit.device).type,
            _other_rank,
            order,
            prepare=_other_prepared,
            timeout_seconds=timeout_seconds,
            join_seconds=timeout_seconds + SLOWER * sitting.prepared.seconds,
        ) as ranks:
            ranks.from_first(sitting.said())
            with ExitStack() as held:
                fitted, scored = sitting.fit(ranks, sitting.elsewhere(held))
                run = sitting.finish(fitted, scored)
                ranks.wait()
                return run
    except Interrupted:
        _mark(folder, "interrupted")
        sitting.events.message(f"stopped and saved; go on with: {sitting.command} --resume")
        raise
    except DeepenError:
        _mark(folder, "failed")
        raise


def _mark(folder: Path, status: str) -> None:
    """Says in run.json how the run ended; where the folder cannot be written, what ended it is what matters."""
    with suppress(DeepenError):
        save.update(folder, status=status)


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
    if prepared.weighting != said[RECORD]:
        raise RunError(f"rank {ranks.rank}: expected the --reweight data of rank 0, but they differ; use one copy.")
    encoded = {name: prepared.encoded[name] for name in said["splits"]}
    prepared = replace(prepared, encoded=encoded)
    folder = Path(said["folder"])
    task, going_on, skip_bad = said["task"], said["resume"], said["skip_bad"]
    before = folder if going_on else None
    begun, more = start_of(task, chosen, prepared, folder=before, skip_bad=skip_bad, records=said)
    Sitting(task, "", chosen, prepared, folder, going_on, skip_bad, Silent(), begun, more).fit(ranks)
    ranks.wait()
    return folder


def accepted(task: str, data: str | Path | Dataset, chosen: Resolved, skip_bad: bool, events: Events) -> Prepared:
    """The prepared data, after saying what is odd about it and refusing what is wrong."""
    prepared = prepare(task, data, chosen, skip_bad=skip_bad)
    prepared.faults.extend(learned_before(chosen, prepared.dataset, prepared.tables))
    events.message(prepared.dataset.layout)
    events.message(prepared.split)
    for group in grouped(fault for fault in prepared.faults if fault.level in ("warning", "note")):
        events.message(f"{'warning: ' if group.level == 'warning' else ''}{group.sentence()}")
    refuse(prepared.faults, skip_bad=skip_bad)
    skipped = [fault for fault in prepared.faults if fault.level == "sample"]
    if skipped:
        events.message(f"{len(skipped)} bad samples are left out (--skip-bad); the list is in run.json")
    return prepared


def further_files(task: str, folder: Path, prepared: Prepared) -> tuple[str, ...]:
    """The names of the files that the task wants in the run folder for others to read, after writing them."""
    wanted: Any = getattr(task_module(task), "files", None)
    found = wanted(prepared.state) if wanted is not None else {}
    for name, content in found.items():
        write_json(folder / name, content)
    return tuple(found)


def budgeted(chosen: Resolved, prepared: Prepared) -> Resolved:
    """The options with a budget: where the user states none, the recipe's epochs, and more on small data.

    With a learning rate of 0 the network is made before the first step, and more passes change nothing.
    """
    fit_options = chosen.fit
    if any(name in chosen.stated and getattr(fit_options, name) is not None for name in BUDGETS):
        return chosen
    steps = max(1, math.ceil(len(prepared.encoded["train"]) / fit_options.batch_size))
    least = 1 if fit_options.optimizer.learning_rate == 0 else min(MOST_EPOCHS, math.ceil(LEAST_STEPS / steps))
    epochs = max(fit_options.epochs or 1, least)
    return with_epochs(chosen, epochs)


def _set_threads(chosen: Resolved) -> None:
    if chosen.fit.threads is not None:
        torch.set_num_threads(chosen.fit.threads)
    elif chosen.fit.devices > 1 or launch.under_torchrun():
        torch.set_num_threads(max(1, processor.available_cores() // max(1, chosen.fit.devices)))


def _last_step(folder: Path) -> int:
    records_before = records.read_metrics(folder)
    return int(records_before[-1]["step"]) if records_before else 0  # type: ignore[call-overload]
