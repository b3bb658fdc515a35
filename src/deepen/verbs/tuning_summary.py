"""What came of a study: the best trial, what it gained on the test split, which options mattered, and how to get it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepen.bundle import header, records, save
from deepen.core import files
from deepen.core.clock import Stopwatch
from deepen.core.errors import FileError, TrainingError
from deepen.core.jsontext import finite
from deepen.core.lock import FolderLock
from deepen.core.units import plural
from deepen.engine.evaluate import evaluate
from deepen.engine.fit import Fitted
from deepen.parallel.ranks import Alone
from deepen.report import tuning as report
from deepen.verbs.loaded import loaded
from deepen.verbs.options import Resolved, rebuilt
from deepen.verbs.prepared import Prepared
from deepen.verbs.reported import main_split, write_report
from deepen.verbs.run import Run
from deepen.verbs.search_space import Space
from deepen.verbs.tuning_study import Ledger, TrialRecord
from deepen.verbs.tuning_trials import Figures, Worker

BEST_FILE = "best.json"
RESULT_FILE = "tuning.json"
LOCK_SECONDS = 120.0


@dataclass(frozen=True)
class TuneResult:
    """A study and what came of it.

    folder      holds the trials' runs, tuning.html, tuning.json, and best.json with the options of the best trial
    objective   the figure on validation that chose, and "max" or "min"
    trials      in their order; number 0, the default, has the options that the training has anyway
    metrics     "default" and "best" -> split -> figures; the test split only where the search is over, and nothing of a
                default that is missing
    importance  share of the objective's variance that each dimension explains; empty where trials are too few
    command     trains the best trial again
    others      trials that other workers still have in hand
    """

    folder: Path
    study: str
    objective: tuple[str, str]
    trials: tuple[TrialRecord, ...]
    best: TrialRecord
    metrics: dict[str, dict[str, Figures]]
    importance: dict[str, float]
    command: str
    others: int

    @property
    def default(self) -> TrialRecord | None:
        """The trial of number 0, None where it was lost with its worker and is not done again yet."""
        return _default(self.trials)

    @property
    def run_folder(self) -> Path:
        """The best trial's run; the study's folder where a worker with another folder trained it."""
        here = self.folder / self.best.folder
        return here if here.is_dir() else self.folder

    @property
    def run(self) -> Run:
        """The best trial's run. Raises RunError where it is not in this folder."""
        return Run(self.run_folder)

    @property
    def gain(self) -> float | None:
        """By how much the best trial's objective on validation is better than the default's; never negative.

        None where the default has none, or is missing.
        """
        if self.default is None or self.default.value is None or self.best.value is None:
            return None
        return abs(self.best.value - self.default.value)


def summed_up(worker: Worker, ledger: Ledger, name: str) -> TuneResult:
    """The result, written into the folder. While other workers are at it, the test split stays unseen.

    Raises TrainingError where no trial came to its end.
    """
    with _waiting_for(worker.folder):
        found = ledger.records()
        running = sum(each.state == "running" for each in found)
        best = _best(found, worker.objective[1], running)
        default = _default(found)
        metrics: dict[str, dict[str, Figures]] = {
            "default": {"val": default.figures} if default else {},
            "best": {"val": best.figures},
        }
        if running:
            told = plural(running, "trial")
            worker.events.message(f"others have {told} in hand; the last worker sums up, and looks at the test split")
        else:
            worker.tidy(whose=None)
            metrics = {"default": _scored(worker, default) if default else {}, "best": _scored(worker, best)}
            if not worker.has_here(best):
                worker.events.message("the best trial's run lies in the folder of the worker that trained it")
        if default is None:
            worker.events.message(
                "trial 0, the default, was lost with its worker and is not done again yet, so nothing tells what was "
                "gained; the same command with more time does it first"
            )
        keys = [each.key for model in worker.space.models for each in worker.space.dimensions[model]]
        importance = ledger.importance(keys) if len(worker.space.models) == 1 else {}
        command = worker.train_command(worker.folder / BEST_FILE)
        result = TuneResult(
            worker.folder, name, worker.objective, tuple(found), best, metrics, importance, command, running
        )
        files.write_json(worker.folder / BEST_FILE, worker.options_of(best))
        files.write_json(worker.folder / RESULT_FILE, as_json(result, worker.space))
        report.write_page(worker.folder, _page(worker, result))
        return result


def _default(found: Sequence[TrialRecord]) -> TrialRecord | None:
    return next((each for each in found if each.number == 0), None)


def _best(found: Sequence[TrialRecord], better: str, running: int) -> TrialRecord:
    """The best trial, the first of equals."""
    done = [each for each in found if each.state == "done" and each.value is not None]
    if done:
        sign = 1 if better == "max" else -1
        return max(done, key=lambda each: (sign * (each.value or 0.0), -each.number))
    if running:
        raise TrainingError(f"no trial has come to its end yet; others have {plural(running, 'trial')} in hand.")
    why = next((each.why for each in found if each.why), "none was begun")
    raise TrainingError(f"none of {plural(len(found), 'trial')} came to its end; the first one: {why}")


def _scored(worker: Worker, record: TrialRecord) -> dict[str, Figures]:
    """A trial's figures on each split. The test split is scored once; its run keeps the figures."""
    folder = worker.folder / record.folder
    if not (folder / header.WEIGHTS_FILE).exists() or not worker.has_here(record):
        return {"val": record.figures}
    said: dict[str, Any] = header.read_header(folder)
    if said["metrics"].get("of") != "test":
        chosen = rebuilt(worker.task, said["options"])
        prepared = worker.prepared(chosen)
        if not len(prepared.encoded.get("test", [])):
            return {"val": record.figures}
        worker.events.message(f"scoring trial {record.number} on the test split")
        with FolderLock(folder):
            _score(folder, said, chosen, prepared)
        said = header.read_header(folder)
    return {split: said["metrics"][split] for split in ("val", "test")}


def _score(folder: Path, said: dict[str, Any], chosen: Resolved, prepared: Prepared) -> None:
    """Makes a trial's run what `train` makes: with figures on the test split, in the report too."""
    run = loaded(folder, device=chosen.fit.device)
    scored = {
        split: evaluate(prepared.task, run.model, prepared.encoded[split], device=run.device, ranks=Alone())
        for split in ("val", "test")
    }
    figures = {split: finite(dict(each.result())) for split, each in scored.items()}
    counts = {split: len(each) for split, each in prepared.encoded.items()}
    save.update(folder, metrics={"of": main_split(scored), **figures}, data={**said["data"], "counts": counts})
    history, timing = records.read_metrics(folder), records.read_timing(folder)
    took = float(timing[-1]["seconds"]) if timing else 0.0  # type: ignore[arg-type]
    step = int(history[-1]["step"]) if history else 0  # type: ignore[call-overload]
    write_report(folder, chosen, prepared, Fitted(run.model, history, timing, step, took), scored)
    save.update(folder, status="done")


def _page(worker: Worker, result: TuneResult) -> report.TuningPage:
    trials = [
        report.TrialRow(each.number, each.state, each.value, each.options, each.seconds, each.why, each is result.best)
        for each in result.trials
    ]
    model = (worker.space.model,) if worker.space.model else ()
    searched = [*model, *(each for name in worker.space.models for each in worker.space.dimensions[name])]
    dimensions = {
        each.name: report.DimensionRow(
            each.name,
            each.words(),
            log_base={"log": 10, "powers": 2}.get(each.scale, 0),
            is_number=each.scale != "choices",
        )
        for each in searched
    }
    return report.TuningPage(
        title=f"{worker.data_name} · {' and '.join(worker.space.models)}",
        task=worker.task,
        data=worker.data_name,
        objective=result.objective,
        command=result.command,
        run=result.best.folder,
        dimensions=list(dimensions.values()),
        trials=trials,
        metrics=result.metrics,
        importance=result.importance,
        kept=worker.keep,
        others=result.others,
    )


def as_json(result: TuneResult, found: Space) -> dict[str, Any]:
    """What tuning.json holds."""
    return {
        "study": result.study,
        "objective": {"figure": result.objective[0], "better": result.objective[1], "of": "val"},
        "space": found.described(),
        "best": result.best.number,
        "metrics": result.metrics,
        "importance": result.importance,
        "command": result.command,
        "trials": [finite(dataclasses.asdict(each)) for each in result.trials],
    }


@contextmanager
def _waiting_for(folder: Path) -> Iterator[None]:
    """Holds the folder, after waiting for another worker that sums up in it."""
    watch = Stopwatch()
    while True:
        lock = FolderLock(folder)
        try:
            lock.__enter__()
            break
        except FileError:
            if watch.seconds() > LOCK_SECONDS:
                raise
            time.sleep(0.1)
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _nothing(found: Sequence[TrialRecord], running: int) -> str:
    if running:
        return f"no trial has come to its end yet; other workers have {plural(running, 'trial')} in hand."
    why = next((each.why for each in found if each.why), "none was begun")
    return f"none of {plural(len(found), 'trial')} came to its end; the first one: {why}"
