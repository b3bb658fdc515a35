"""The loop: every task that learns by gradients is trained here."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deepen.bundle import checkpoint, records
from deepen.core.clock import Stopwatch
from deepen.core.errors import TrainingError
from deepen.core.units import seconds
from deepen.engine import schedule
from deepen.engine.evaluate import evaluate
from deepen.engine.events import Events, Silent
from deepen.engine.options import FitOptions
from deepen.engine.signals import Interrupted, listening
from deepen.engine.task import Task
from deepen.engine.training import Training
from deepen.parallel.ranks import Alone, Ranks
from deepen.prepare.encoded import Encoded

EVALUATION_STEPS = 25  # fewest updates between two evaluations: an epoch of a small data set is over at once


@dataclass
class Fitted:
    """A trained network and how it went.

    model             with the best weights by validation (the last, where there is no validation split)
    history           one record per evaluation, as in metrics.jsonl
    timing            one record per evaluation: seconds so far, samples per second since the last one
    """

    model: nn.Module
    history: list[dict[str, Any]]
    timing: list[dict[str, Any]]
    step: int
    seconds: float


@dataclass
class _Progress:
    """What the loop remembers beside the training state itself."""

    best: float | None = None
    best_step: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    since_best: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    timing: list[dict[str, Any]] = field(default_factory=list)


def fit(
    task: Task,
    train: Encoded,
    val: Encoded | None,
    options: FitOptions,
    *,
    folder: Path | None = None,
    resume: bool = False,
    device: torch.device | None = None,
    ranks: Ranks | None = None,
    events: Events | None = None,
) -> Fitted:
    """A network trained as the options say.

    train, val  encoded tables; without `val` the last weights are kept
    folder      a run folder for checkpoints, metrics.jsonl and timing.jsonl; None: nothing is written
    resume      go on from the folder's newest checkpoint, if it has one

    Raises TrainingError if training cannot go on, and Interrupted, after saving, when a signal asked to stop.
    """
    device, ranks, events = device or torch.device("cpu"), ranks or Alone(), events or Silent()
    training = _started(task, train, options, device, ranks)
    loop = _Loop(training, val, folder if ranks.rank == 0 else None, events)
    if resume and folder is not None:
        loop.restore(*checkpoint.load_checkpoint(folder))
    try:
        loop.run()
    except (RuntimeError, MemoryError) as error:
        explained = _explained(error, options, min(options.batch_size, len(train)))
        if explained is None:
            raise
        raise explained from error
    finally:
        training.close()
        events.done()
    return loop.fitted()


def _started(task: Task, train: Encoded, options: FitOptions, device: torch.device, ranks: Ranks) -> Training:
    try:
        return Training(task, train, options, device=device, ranks=ranks)
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error) and "overflow" not in str(error).lower():
            raise
        raise TrainingError(
            "--model: the network needs more memory than there is; choose a smaller one, or smaller --network options."
        ) from error


class _Loop:
    def __init__(self, training: Training, val: Encoded | None, folder: Path | None, events: Events) -> None:
        self.training, self.val, self.folder, self.events = training, val, folder, events
        self.progress = _Progress()
        self.watch = Stopwatch()
        self._saved_seconds = 0.0
        self._saved_step = -1
        self._lap = (0.0, 0)
        self._every = seconds(training.options.checkpoint_every, name="--checkpoint-every")

    def run(self) -> None:
        training = self.training
        with listening() as wish:
            while training.budget.progress < 1 and not self._out_of_patience():
                order = training.order()
                for rows, following in pairwise([*order[training.position :], None]):
                    assert rows is not None
                    stop = training.update(rows, wish_to_stop=wish.signal is not None, following=following)
                    self._plan()
                    self.events.step(training.step, training.budget.progress, self._seconds_left())
                    ended = training.budget.progress >= 1
                    if ended or self._evaluation_is_due():
                        self._evaluate()
                    if stop or ended or self._checkpoint_is_due():
                        self._save()
                    if stop and not ended:
                        raise Interrupted(wish.signal or 15)
                    if ended or self._out_of_patience():
                        break
            if self._saved_step != training.step:
                self._save()

    def restore(self, tensors: dict[str, Tensor], state: dict[str, Any], note: str) -> None:
        if note:
            self.events.message(note)
        self.training.restore(state["training"], tensors)
        best = {name.removeprefix("best."): value for name, value in tensors.items() if name.startswith("best.")}
        self.progress = _Progress(best_weights=best, **state["progress"])
        self.watch = Stopwatch(state["seconds"])
        self._saved_seconds, self._saved_step = state["seconds"], self.training.step
        self._lap = (state["seconds"], self.training.step)
        if self.folder is not None:
            records.truncate_metrics(self.folder, len(self.progress.history))
            records.truncate_timing(self.folder, len(self.progress.timing))

    def fitted(self) -> Fitted:
        model = self.training.evaluated
        if self.progress.best_weights:
            model.load_state_dict(self.progress.best_weights)
        model.eval()
        return Fitted(model, self.progress.history, self.progress.timing, self.training.step, self.watch.seconds())

    def _plan(self) -> None:
        training = self.training
        if training.budget.is_due(training.step):
            training.budget.plan(training.step, self.watch.seconds())
            training.budget.restore(training.ranks.from_first(training.budget.state()))

    def _evaluate(self) -> None:
        training, progress = self.training, self.progress
        training.check_finite()
        record: dict[str, Any] = {"step": training.step, "epoch": _epochs(training), **self._rates()}
        if self.val is not None:
            metrics = evaluate(
                training.task, training.evaluated, self.val, device=training.device, ranks=training.ranks
            ).result()
            record |= {f"val_{name}": value for name, value in metrics.items()}
            self._keep_if_best(metrics[training.task.objective[0]])
        progress.history.append(_rounded(record))
        progress.timing.append(self._pace())
        if self.folder is not None:
            records.append_timing(self.folder, progress.timing[-1])
            records.append_metrics(self.folder, progress.history[-1])
        if training.ranks.rank == 0:
            self.events.evaluated(progress.history[-1])

    def _rates(self) -> dict[str, float]:
        training = self.training
        options = training.options
        rate = options.optimizer.learning_rate * schedule.factor(options.schedule, training.budget.progress)
        loss = float(training.loss_sum) / max(1, training.loss_count)
        training.loss_sum.zero_()
        training.loss_count = 0
        return {"learning_rate": rate, "train_loss": loss}

    def _keep_if_best(self, value: float) -> None:
        progress, training = self.progress, self.training
        sign = 1 if training.task.objective[1] == "max" else -1
        if math.isfinite(value) and (progress.best is None or sign * value >= sign * progress.best):
            progress.best, progress.best_step, progress.since_best = value, training.step, 0
            progress.best_weights = {name: t.detach().clone() for name, t in training.evaluated.state_dict().items()}
        else:
            progress.since_best += 1

    def _out_of_patience(self) -> bool:
        patience = self.training.options.patience
        return patience > 0 and self.progress.since_best >= patience

    def _pace(self) -> dict[str, Any]:
        now, step = self.watch.seconds(), self.training.step
        seconds_before, step_before = self._lap
        self._lap = (now, step)
        samples = (step - step_before) * len(self.training.train) / self.training.steps_per_epoch
        return {
            "step": step,
            "seconds": round(now, 3),
            "samples_per_second": round(samples / max(1e-9, now - seconds_before), 1),
        }

    def _seconds_left(self) -> float | None:
        return self.training.budget.seconds_left(self.training.step, self.watch.seconds())

    def _evaluation_is_due(self) -> bool:
        """At the end of an epoch, but of short epochs not at every one."""
        training = self.training
        last = self.progress.history[-1]["step"] if self.progress.history else 0
        return training.position == 0 and training.step - last >= EVALUATION_STEPS

    def _checkpoint_is_due(self) -> bool:
        return self.watch.seconds() - self._saved_seconds >= self._every

    def _save(self) -> None:
        self._saved_seconds, self._saved_step = self.watch.seconds(), self.training.step
        if self.folder is None:
            return
        self.training.check_finite()
        progress = self.progress
        tensors = self.training.tensors()
        tensors |= {f"best.{name}": value for name, value in progress.best_weights.items()}
        state = {
            "training": self.training.state(),
            "progress": {
                "best": progress.best,
                "best_step": progress.best_step,
                "since_best": progress.since_best,
                "history": progress.history,
                "timing": progress.timing,
            },
            "seconds": self._saved_seconds,
        }
        checkpoint.save_checkpoint(self.folder, tensors, state, step=self.training.step)


def choose_device(name: str, rank: int = 0) -> torch.device:
    """The device of this rank: for "auto" a GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        return torch.device("cuda", rank % max(1, torch.cuda.device_count()))
    return torch.device(name)


def available_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _epochs(training: Training) -> float:
    return round(training.epoch + training.position / training.steps_per_epoch, 4)


def _rounded(record: dict[str, Any]) -> dict[str, Any]:
    """Six significant digits are all that a curve can use, and numbers that are not finite have no JSON."""
    return {
        name: (float(f"{value:.6g}") if math.isfinite(value) else None) if isinstance(value, float) else value
        for name, value in record.items()
    }


def _is_out_of_memory(error: BaseException) -> bool:
    said = ("allocate memory", "could not create a primitive")  # PyTorch's own, and oneDNN's way to say the same
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(text in str(error) for text in said)


def _explained(error: BaseException, options: FitOptions, num_rows: int) -> TrainingError | None:
    if _is_out_of_memory(error):
        return TrainingError(
            f"--batch-size {options.batch_size}: a step needs more memory than there is; "
            f"try --batch-size {max(1, num_rows // 2)}, or the same batch with --accumulate "
            f"{options.accumulate * 2}."
        )
    return None
