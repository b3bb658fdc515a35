"""One sitting of a training: from prepared data and start weights to a run folder that says it is done."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from deepen.bundle import checkpoint, header, save
from deepen.core.errors import FileError
from deepen.core.faults import grouped
from deepen.core.files import write_json
from deepen.core.lock import FolderLock
from deepen.core.units import plural
from deepen.data.dataset import Dataset
from deepen.engine.evaluate import evaluate
from deepen.engine.events import Events
from deepen.engine.fit import Fitted, choose_device, fit
from deepen.engine.keeper import Elsewhere
from deepen.engine.task import Deciding
from deepen.parallel.ranks import Ranks
from deepen.verbs import environment, pretrained, reweighted
from deepen.verbs.options import BUDGETS, Resolved, has_budget
from deepen.verbs.prepared import Prepared
from deepen.verbs.pretrained import Unlabelled, unlabelled
from deepen.verbs.reported import main_split, write_report
from deepen.verbs.run import Run
from deepen.verbs.starting_weights import RECORD, StartingWeights, record_of_run, starting_weights


@dataclass(frozen=True)
class Sitting:
    """What all parts of a sitting share, on one rank.

    folder   the run folder
    resume   whether the run in it is gone on with
    begun    the weights it starts with, if there are any
    more     samples without labels for its pretraining, if there are any
    """

    task: str
    data: str | Path | Dataset
    chosen: Resolved
    prepared: Prepared
    folder: Path
    resume: bool
    skip_bad: bool
    events: Events
    begun: StartingWeights
    more: Unlabelled

    @property
    def command(self) -> str:
        """What starts this run, or with --resume goes on with it."""
        path = self.data.name if isinstance(self.data, Dataset) else str(self.data)
        return f"deepen train {self.task} {shlex.quote(path)} --out {shlex.quote(str(self.folder))}"

    def header(self, command: str) -> dict[str, Any]:
        """What run.json says at the start."""
        chosen, prepared = self.chosen, self.prepared
        return {
            "task": self.task,
            "model": chosen.task.model,
            "options": chosen.flat,
            "data": {
                "path": "" if isinstance(self.data, Dataset) else str(self.data),
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
                "skip_bad": self.skip_bad,
                "skipped": [fault.sentence() for fault in prepared.faults if fault.level == "sample"],
                "warned": [group.sentence() for group in grouped(prepared.faults) if group.level == "warning"],
                **({RECORD: self.begun.record} if self.begun.record else {}),
                **({pretrained.RECORD: self.more.record} if self.more.record else {}),
                **({reweighted.RECORD: prepared.weighting} if prepared.weighting else {}),
            },
        }

    def said(self) -> dict[str, Any]:
        """What the other ranks must know of rank 0's sitting, JSON-able."""
        return {
            "task": self.task,
            "folder": str(self.folder),
            "resume": self.resume,
            "skip_bad": self.skip_bad,
            "fingerprint": self.prepared.fingerprint,
            "splits": list(self.prepared.encoded),
            RECORD: self.begun.record,
            pretrained.RECORD: self.more.record,
            reweighted.RECORD: self.prepared.weighting,
        }

    def fit(self, ranks: Ranks, elsewhere: Elsewhere | None = None) -> tuple[Fitted, dict[str, Any]]:
        """The trained network, and its metrics on val and test as far as there are any."""
        encoded, device = self.prepared.encoded, choose_device(self.chosen.fit.device, ranks.rank)
        if ranks.rank == 0:
            self.events.started(self._plan(device))
        fitted = fit(
            self.prepared.task,
            encoded["train"],
            encoded.get("val"),
            self.chosen.fit,
            folder=self.folder,
            elsewhere=elsewhere,
            resume=self.resume and checkpoint.has_checkpoint(self.folder),
            start=self.begun.start,
            unlabelled=self.more.encoded,
            device=device,
            ranks=ranks,
            events=self.events,
        )
        task, scored = self.prepared.task, {}
        for name in ("val", "test"):
            if name in encoded and len(encoded[name]) > 0:
                scored[name] = evaluate(task, fitted.model, encoded[name], device=device, ranks=ranks)
                if name == "val" and isinstance(task, Deciding):
                    task.decide(scored[name])  # before test is scored, which goes by it
        return fitted, scored

    def elsewhere(self, held: ExitStack) -> Elsewhere | None:
        """Makes a run folder under `--fallback-dir`, locked until `held` ends; None where no such folder is named."""
        if self.chosen.fit.fallback_dir is None:
            return None
        known = header.read_header(self.folder)  # as long as it can be read

        def moved(error: FileError) -> Path:
            new = save.free_name(Path(str(self.chosen.fit.fallback_dir)), self.folder.name)
            save.create(new, known)
            held.enter_context(FolderLock(new))
            write_json(new / header.PREPARE_FILE, self.prepared.state)
            save.update(new, status="training", files=(header.PREPARE_FILE,))
            self.events.message(f"warning: {error} Going on in {new} (--fallback-dir).")
            return new

        return moved

    def finish(self, fitted: Fitted, scored: Mapping[str, Any]) -> Run:
        """Writes weights, figures, report and card, and only then says that the run is done."""
        folder = fitted.folder or self.folder
        metrics = {name: _numbers(found.result()) for name, found in scored.items()}
        save.save_weights(folder, fitted.model.state_dict())
        if isinstance(self.prepared.task, Deciding):
            write_json(folder / header.PREPARE_FILE, self.prepared.state)
            save.update(folder, files=(header.PREPARE_FILE,))
        save.update(folder, metrics={"of": main_split(scored), **metrics})
        if fitted.pretraining:
            save.update(folder, extra={**_extra(folder), pretrained.COURSE: fitted.pretraining})
        write_report(folder, self.chosen, self.prepared, fitted, scored)
        save.update(folder, status="done")
        return Run(folder)

    def _plan(self, device: torch.device) -> dict[str, Any]:
        options = self.chosen.fit
        plan = {
            "model": self.chosen.task.model,
            "rows": len(self.prepared.encoded["train"]),
            "device": str(device),
            "objective": self.prepared.task.objective[0],
            "epochs": options.epochs,
        }
        if has_budget(self.task, self.chosen):
            name = next(name for name in BUDGETS if getattr(options, name) is not None)
            plan["budget"] = options.time if name == "time" else plural(getattr(options, name), name.removesuffix("s"))
        return plan


def start_of(
    task: str,
    chosen: Resolved,
    prepared: Prepared,
    *,
    folder: Path | None,
    skip_bad: bool,
    records: Mapping[str, Any] | None = None,
) -> tuple[StartingWeights, Unlabelled]:
    """The weights that training starts with, and the samples without labels that it is pretrained on.

    folder   the run that is gone on with, None for a new one
    records  what rank 0 wrote down of both, by their names in run.json; default: what the run's own run.json says
    """
    if records is None:
        records = (
            {}
            if folder is None
            else {RECORD: record_of_run(folder), pretrained.RECORD: pretrained.record_of_run(folder)}
        )
    begun = starting_weights(chosen, prepared.task, folder=folder, record=records.get(RECORD) or None)
    more = unlabelled(
        task, chosen, prepared, folder=folder, record=records.get(pretrained.RECORD) or None, skip_bad=skip_bad
    )
    return begun, more


def _extra(folder: Path) -> dict[str, Any]:
    extra = header.read_header(folder)["extra"]
    assert isinstance(extra, dict)
    return extra


def _numbers(result: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in result.items()}
