"""The trials of `tune`: one worker draws options, trains, reports, and keeps the weights of the best few alone."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import shlex
import shutil
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_type_hints

import optuna

from deepen.bundle import header, save
from deepen.core import options
from deepen.core.clock import Stopwatch
from deepen.core.errors import DeepenError, OptionError, ShapeError, TrainingError
from deepen.core.lock import FolderLock
from deepen.data.dataset import Dataset
from deepen.data.read import ReadOptions
from deepen.data.split import SplitOptions
from deepen.engine.events import Events, Silent
from deepen.engine.signals import Interrupted
from deepen.engine.task import StartsFromRows
from deepen.verbs.options import BUDGETS, Resolved, resolved, task_module, without_unread
from deepen.verbs.prepared import Prepared
from deepen.verbs.reweighted import ReweightOptions
from deepen.verbs.run import Run
from deepen.verbs.search_space import MOST_POINTS, Space
from deepen.verbs.train import accepted, budgeted, train
from deepen.verbs.tuning_study import RUNGS, WORKERS, Ledger, Surplus, TrialRecord, drawn, plain, trial_folder

Figures = dict[str, Any]


class Pruned(TrainingError):
    """A trial that was stopped early."""


class Worker:
    """What one worker needs to try options and to sum up."""

    def __init__(
        self,
        task: str,
        data: str | Path | Dataset,
        given: dict[str, Any],
        config: str | Path | None,
        skip_bad: bool,
        base: Mapping[str, Any],
        found: Space,
        prepared: Prepared,
        folder: Path,
        keep: int,
        events: Events,
    ) -> None:
        self.task, self.data, self.given, self.config, self.skip_bad = task, data, given, config, skip_bad
        self.base, self.space, self.folder, self.keep, self.events = base, found, folder, keep, events
        self.objective: tuple[str, str] = prepared.task.objective
        self._kept = (_preparing(task, found.starts[found.models[0]]), prepared)
        self._budgets = {model: _budget(start, prepared) for model, start in found.starts.items()}
        self._stopped: BaseException | None = None
        self._ledger: Ledger
        self._trials: int | None = None
        self._took: list[float] = []

    def require_one_objective(self) -> None:
        """Raises OptionError for models that are judged by different figures, before any of them is trained.

        A model for which the data would have to be prepared anew is taken at its word.
        """
        figure, better = self.objective
        for model in self.space.models[1:]:
            start = self.space.starts[model]
            if self.space.model is None or _preparing(self.task, start) != self._kept[0]:
                continue
            other = self.prepared(start).task.objective
            if other != self.objective:
                raise OptionError(
                    f"--search model={self.space.model.words()}: {self.space.models[0]} is judged by its {figure} "
                    f"({better}), but {model} by its {other[0]} ({other[1]}), so their trials cannot be compared; "
                    "search each by itself."
                )

    def work(self, ledger: Ledger, trials: int | None, limit_seconds: float | None) -> None:
        """Does trials until there are enough, or the time is up."""
        self._ledger, self._trials = ledger, trials
        watch = Stopwatch()
        while True:
            ledger.reclaim()
            if trials is not None and ledger.num_begun() >= trials and not ledger.is_waiting():
                return
            expected = statistics.median(self._took) if self._took else 0.0
            if limit_seconds is not None and self._took and watch.seconds() + expected > limit_seconds:
                return
            if not ledger.is_waiting() and self._is_exhausted():
                self.events.message("every combination has been tried")
                return
            self._one(ledger)

    def _one(self, ledger: Ledger) -> None:
        try:
            ledger.run(self._objective)
        except KeyboardInterrupt:
            raise self._stopped or KeyboardInterrupt from None
        finally:
            self._stopped = None

    def _objective(self, trial: Any) -> float:
        trial.set_user_attr("worker", self._ledger.worker)
        place = self._ledger.place(trial)
        if self._trials is not None and place >= self._trials:
            trial.set_user_attr("surplus", True)
            raise Surplus
        trial.set_user_attr("place", place)
        watch = Stopwatch()
        try:
            return self._tried(trial, place, self._chosen(trial, place))
        except Interrupted as stopped:
            trial.set_user_attr("interrupted", True)
            self._stopped = stopped
            raise KeyboardInterrupt from stopped
        except KeyboardInterrupt:
            trial.set_user_attr("interrupted", True)
            raise
        except (TrainingError, OptionError, ShapeError) as error:
            if place == 0 and not isinstance(error, TrainingError):
                raise
            return self._given_up(trial, place, error)
        finally:
            trial.set_user_attr("seconds", round(watch.seconds(), 2))
            self._took.append(watch.seconds())

    def _tried(self, trial: Any, place: int, chosen: Resolved) -> float:
        """The objective of a trial, trained unless another had the same options."""
        before = [each for each in self._ledger.records() if each.number != place and each.state in ("done", "pruned")]
        twin = next((each for each in before if each.options == trial.user_attrs["options"]), None)
        if twin is not None:
            trial.set_user_attr("same_as", twin.number if twin.same_as is None else twin.same_as)
            trial.set_user_attr("figures", twin.figures)
            if twin.state == "pruned" or twin.value is None:
                trial.set_user_attr("why", f"has the options of trial {twin.number}, which was stopped")
                raise optuna.TrialPruned
            self._tell(place, f"has the options of trial {twin.number}, so its figures too", twin.value)
            return twin.value
        figures = self._figures(trial, place, chosen)
        value = figures.get(self.objective[0])
        if value is None:
            raise TrainingError(f"expected a finite {self.objective[0]} on validation, but it is none.")
        trial.set_user_attr("figures", figures)
        self._tell(place, f"val {self.objective[0]} {value:.4f}", value)
        self.tidy(whose=self._ledger.worker, just_done=(value, place))
        return value

    def _figures(self, trial: Any, place: int, chosen: Resolved) -> Figures:
        """Trains, or goes on with, the trial's run, and returns its figures on validation."""
        folder = self.folder / trial_folder(place)
        if (folder / header.RUN_FILE).exists() and header.read_header(folder)["status"] == "done":
            return Run(folder).metrics_of("val")  # its worker was killed after the run's end
        prepared = self.prepared(chosen)
        encoded = {name: each for name, each in prepared.encoded.items() if name != "test"}
        run = train(
            self.task,
            self.data,
            without_unread(self.task, chosen),
            prepared=replace(prepared, encoded=encoded),
            out=folder,
            resume=True,
            skip_bad=self.skip_bad,
            events=_Watch(self.events, trial, place, self.objective[0], self._ledger.before(trial)),
            command=self.train_command(folder),
        )
        return run.metrics_of("val")

    def _given_up(self, trial: Any, place: int, error: DeepenError) -> float:
        trial.set_user_attr("why", str(error))
        self._tell(place, str(error), None)
        folder = self.folder / trial_folder(place)
        if (folder / header.RUN_FILE).exists():
            _drop_weights(folder)
        raise optuna.TrialPruned from error

    def _chosen(self, trial: Any, place: int) -> Resolved:
        """The options of a trial, written down with it; those of a combination that is refused too, as drawn."""
        model = self.space.models[0]
        if self.space.model is not None:
            model = str(drawn(trial, self.space.model))
        start = self.space.starts[model]
        found = {}
        for each in self.space.dimensions[model]:
            if place > 0 or each.default is not None:
                found[each.name] = each.value(drawn(trial, each))
        given = {**self.given, **found}
        if self.space.model is not None:
            given["model"] = model
        if not any(name in found for name in BUDGETS):
            given |= self._budgets[model]
        named = {"model": start.task.model} if self.space.model is not None else {}
        trial.set_user_attr("options", {**named, **found})
        chosen = resolved(self.task, given, self.config, base=self.base)
        searched = {each.name: chosen.flat[each.name] for each in self.space.dimensions[model]}
        trial.set_user_attr("options", {**named, **searched})
        return chosen

    def prepared(self, chosen: Resolved) -> Prepared:
        """The data as these options prepare them; those of the trial before, where that is the same."""
        wanted = _preparing(self.task, chosen)
        before, prepared = self._kept
        if before != wanted:
            prepared = accepted(self.task, self.data, chosen, self.skip_bad, Silent())
            self._kept = (wanted, prepared)
        state = copy.deepcopy(prepared.state)  # which a trial may settle more of
        own = task_module(self.task).Task(chosen.task, state, chosen.network)
        if isinstance(own, StartsFromRows):
            own.start_from(prepared.encoded["train"])
        return replace(prepared, task=own, state=state)

    def _tell(self, place: int, what: str, value: float | None) -> None:
        """One line per trial."""
        done = [(each.value, each.number) for each in self._ledger.records() if each.state == "done"]
        found = [(v, number) for v, number in [*done, (value, place)] if v is not None]
        best = ""
        if found:
            best_value, number = (max if self.objective[1] == "max" else min)(found, key=lambda pair: pair[0])
            best = f"  best {best_value:.4f} (trial {number})"
        of = f" of {self._trials}" if self._trials is not None else ""
        number = f"trial {place}" + (", the default," if place == 0 else "")
        self.events.message(f"{number}{of and f' ({place + 1}{of})'}: {what}{best}")

    def tidy(self, *, whose: str | None, just_done: tuple[float, int] | None = None) -> None:
        """Takes the weights of all trials in this folder but the best few and the first.

        whose      only those of this worker, so that no two are at one run; None: of all
        just_done  value and place of a trial that the storage does not have yet
        """
        here = [each for each in self._ledger.records() if each.state == "done" and self.has_here(each)]
        found = [(each.value or 0.0, each.number, each.worker) for each in here if each.same_as is None]
        if just_done is not None:
            found.append((just_done[0], just_done[1], self._ledger.worker))
        found.sort(reverse=self.objective[1] == "max")
        for _, number, worker in found[self.keep :]:
            if number != 0 and whose in (None, worker):
                _drop_weights(self.folder / trial_folder(number))

    def has_here(self, record: TrialRecord) -> bool:
        """Whether a trial's run is in this worker's folder."""
        return (self.folder / WORKERS / plain(record.worker)).is_dir()

    def _is_exhausted(self) -> bool:
        """Whether a finite space has been tried out."""
        if self.space.num_points > MOST_POINTS:
            return False
        tried = set()
        for each in self._ledger.records():
            model = each.options.get("model", self.space.models[0])
            keys = {dimension.key for dimension in self.space.dimensions[model]}
            if each.state in ("done", "pruned") and keys <= set(each.drawn):
                tried.add(json.dumps(each.options, sort_keys=True))
        return len(tried) >= self.space.num_points

    def options_of(self, record: TrialRecord) -> dict[str, Any]:
        """Every option of a trial by dotted name, so that `train` can do it again."""
        model = record.options.get("model", self.space.models[0])
        given = {**self.given, "model": model, **record.options}
        if not any(name in record.options for name in BUDGETS):
            given |= self._budgets[model]
        return without_unread(self.task, resolved(self.task, given, self.config, base=self.base))

    def train_command(self, config: Path) -> str:
        """The command that trains with the options in a file, or of a run."""
        words = ["deepen", "train", self.task, self.data_name, "--config", str(config)]
        return shlex.join([*words, *(["--skip-bad"] if self.skip_bad else [])])

    @property
    def data_name(self) -> str:
        """The data as one can name them on a command line."""
        return self.data.name if isinstance(self.data, Dataset) else str(self.data)


class _Watch:
    """Watches one trial's training: reports to the study at each rung, and stops a hopeless trial there."""

    def __init__(self, events: Events, trial: Any, place: int, objective: str, before: Mapping[int, float]) -> None:
        self._events, self._trial, self._place, self._objective = events, trial, place, objective
        self._rungs, self._last, self._progress = RUNGS, 0, 0.0
        for rung, value in sorted(before.items()):
            self._report(rung, value)

    def message(self, text: str) -> None:
        """What is said about the run is said once, about the study."""

    def started(self, plan: Mapping[str, Any]) -> None:
        """Opens a bar where there are bars."""
        self._events.started({"objective": self._objective})

    def step(self, step: int, progress: float, seconds_left: float | None) -> None:
        """Passed on."""
        self._progress = progress
        self._events.step(step, progress, seconds_left)

    def evaluated(self, record: Mapping[str, Any]) -> None:
        """Reports at a new rung. Raises Pruned if the trial should stop there; the first trial always goes on."""
        rung = math.floor(self._progress * self._rungs + 1e-9)
        value = record.get(f"val_{self._objective}")
        if rung <= self._last or value is None:
            return
        self._report(rung, value)
        if self._place > 0 and self._progress < 1 and self._trial.should_prune():
            raise Pruned(f"stopped early, at {self._progress:.0%}, with {self._objective} {value:.4f} on validation")

    def done(self) -> None:
        """Closes the bar."""
        self._events.done()

    def _report(self, rung: int, value: float) -> None:
        self._trial.report(value, rung)
        self._last = rung


def _budget(start: Resolved, prepared: Prepared) -> dict[str, Any]:
    """The budget that all trials of a model share: that of the training as it is, whatever batch size is tried."""
    if any(name in start.stated and getattr(start.fit, name) is not None for name in BUDGETS):
        return {}
    return {"epochs": budgeted(start, prepared).fit.epochs}


def _preparing(task: str, chosen: Resolved) -> dict[str, Any]:
    """The options on which the prepared data depend: all of the task's that do not say otherwise, and the data's."""
    groups = (SplitOptions, ReadOptions, ReweightOptions)
    names = [*_preparing_names(task_module(task).Options), *options.fields_of(*groups), "seed"]
    return {name: chosen.flat[name] for name in names}


def _preparing_names(group: type, prefix: str = "") -> Iterator[str]:
    hints = get_type_hints(group)
    for each in dataclasses.fields(group):
        if each.metadata.get("internal") or not each.metadata.get("prepares", prefix + each.name != "model"):
            continue
        if dataclasses.is_dataclass(hints[each.name]):
            yield from _preparing_names(hints[each.name], f"{prefix}{each.name}.")  # type: ignore[arg-type]
        else:
            yield prefix + each.name


def _drop_weights(folder: Path) -> None:
    """Takes weights and checkpoints out of a trial's run, which then says so."""
    if not (folder / header.RUN_FILE).exists():
        return
    with FolderLock(folder):
        said: dict[str, Any] = header.read_header(folder)
        inner = folder / header.CHECKPOINT_FOLDER
        if not (folder / header.WEIGHTS_FILE).exists() and not inner.exists():
            return
        save.update(folder, status="training")  # which forgets the digest of the weights
        (folder / header.WEIGHTS_FILE).unlink(missing_ok=True)
        shutil.rmtree(inner, ignore_errors=True)
        told = {**said["extra"], "weights_removed": "a trial that was not among the best"}
        save.update(folder, status=said["status"], extra=told)
