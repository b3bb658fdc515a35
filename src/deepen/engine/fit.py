"""The loop: every task that learns by gradients is trained here."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
from deepen.engine.evaluate import evaluate
from deepen.engine.events import Events, Silent
from deepen.engine.keeper import Elsewhere, Keeper
from deepen.engine.options import FitOptions
from deepen.engine.parameter_groups import Start
from deepen.engine.pretraining import pretrained, pretrained_names, stack_of
from deepen.engine.signals import Interrupted, listening
from deepen.engine.task import FittingItself, Task
from deepen.engine.training import Training
from deepen.nn.sketch import sketched
from deepen.parallel.ranks import Alone, Ranks
from deepen.prepare.encoded import Encoded

SLOW_BFLOAT16 = (
    "--precision bf16: this processor does not multiply in bfloat16, so a step takes several times as long as in fp32"
)
EVALUATION_STEPS = 25  # fewest updates between two evaluations: an epoch of a small data set is over at once


@dataclass
class Fitted:
    """A trained network and how it went.

    model             with the best weights by validation (the last, where there is no validation split)
    history           one record per evaluation, as in metrics.jsonl
    timing            one record per evaluation: seconds so far, samples per second since the last one
    folder            the run folder that was written to in the end; None on ranks that write nothing
    pretraining       how each layer learned before (see engine/pretraining.py), empty without `--pretrain`
    """

    model: nn.Module
    history: list[dict[str, Any]]
    timing: list[dict[str, Any]]
    step: int
    seconds: float
    folder: Path | None = None
    pretraining: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class _Progress:
    """What the loop remembers beside the training state itself."""

    best: float | None = None
    best_step: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    since_best: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    timing: list[dict[str, Any]] = field(default_factory=list)
    pretraining: list[dict[str, Any]] = field(default_factory=list)


def fit(
    task: Task,
    train: Encoded,
    val: Encoded | None,
    options: FitOptions,
    *,
    folder: Path | None = None,
    elsewhere: Elsewhere | None = None,
    resume: bool = False,
    start: Start | None = None,
    unlabelled: Sequence[Encoded] = (),
    device: torch.device | None = None,
    ranks: Ranks | None = None,
    events: Events | None = None,
) -> Fitted:
    """A network trained as the options say.

    train, val  encoded tables; without `val` the last weights are kept, and patience waits for a lower training loss
    folder      a run folder for checkpoints, metrics.jsonl and timing.jsonl; None: nothing is written
    elsewhere   makes another run folder, should the first no longer be writable; None: training then ends
    resume      go on from the folder's newest checkpoint, if it has one
    start       weights to begin with; they are in a checkpoint before the first step, so no later one needs them
    unlabelled  samples that pretraining sees beside `train`, where the options ask for pretraining

    Raises TrainingError if training cannot go on, and Interrupted, after saving, when a signal asked to stop.
    """
    device, ranks, events = device or torch.device("cpu"), ranks or Alone(), events or Silent()
    if isinstance(task, FittingItself) and task.fits_itself:
        try:
            return task.fit(
                train,
                val,
                options,
                folder=folder if ranks.rank == 0 else None,
                elsewhere=elsewhere,
                resume=resume,
                device=device,
                ranks=ranks,
                events=events,
            )
        finally:
            events.done()
    course: list[dict[str, Any]] = []
    if options.pretrain is not None:
        going_on = resume and folder is not None
        start, course = _pretrained(task, [train, *unlabelled], options, device, ranks, events, going_on)
    if options.precision == "bf16" and device.type == "cpu" and not multiplies_bfloat16():
        events.message(SLOW_BFLOAT16)
    training = _started(task, train, options, device, ranks, start)
    keeper = Keeper(folder if ranks.rank == 0 else None, elsewhere)
    loop = _Loop(training, val, keeper, events)
    loop.progress.pretraining = course
    if resume and folder is not None:
        loop.restore(*checkpoint.load_checkpoint(folder))
    elif start is not None:
        loop._save()
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


def _pretrained(
    task: Task,
    encoded: Sequence[Encoded],
    options: FitOptions,
    device: torch.device,
    ranks: Ranks,
    events: Events,
    going_on: bool,
) -> tuple[Start, list[dict[str, Any]]]:
    """Where training starts after pretraining, and its course; of a run that goes on the names alone."""
    if going_on:
        with sketched():
            network = task.build()
        return Start({}, pretrained_names(network, stack_of(network, options))), []
    try:
        found = pretrained(task, encoded, options, device=device, ranks=ranks, events=events)
    except BaseException:
        events.done()
        raise
    return found.start, found.course


def _started(
    task: Task, train: Encoded, options: FitOptions, device: torch.device, ranks: Ranks, start: Start | None
) -> Training:
    try:
        return Training(task, train, options, device=device, ranks=ranks, start=start)
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error) and "overflow" not in str(error).lower():
            raise
        raise TrainingError(
            "--model: the network needs more memory than there is; choose a smaller one, or smaller --network options."
        ) from error


class _Loop:
    def __init__(self, training: Training, val: Encoded | None, keeper: Keeper, events: Events) -> None:
        self.training, self.val, self.keeper, self.events = training, val, keeper, events
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
        folder = self.keeper.folder
        if folder is not None:
            records.truncate_metrics(folder, len(self.progress.history))
            records.truncate_timing(folder, len(self.progress.timing))

    def fitted(self) -> Fitted:
        model = self.training.evaluated
        if self.progress.best_weights:
            model.load_state_dict(self.progress.best_weights)
        model.eval()
        progress, seconds_taken = self.progress, self.watch.seconds()
        pace, step, folder = progress.timing, self.training.step, self.keeper.folder
        return Fitted(model, progress.history, pace, step, seconds_taken, folder, progress.pretraining)

    def _plan(self) -> None:
        training = self.training
        if training.budget.is_due(training.step):
            training.budget.plan(training.step, self.watch.seconds())
            training.budget.restore(training.ranks.from_first(training.budget.state()))

    def _evaluate(self) -> None:
        training, progress = self.training, self.progress
        training.check_finite()
        training.settle()
        record: dict[str, Any] = {"step": training.step, "epoch": _epochs(training), **self._rates()}
        watched, larger_is_better = record["train_loss"], False
        if self.val is not None:
            metrics = evaluate(
                training.task, training.evaluated, self.val, device=training.device, ranks=training.ranks
            ).result()
            record |= {f"val_{name}": value for name, value in metrics.items()}
            watched, larger_is_better = metrics[training.task.objective[0]], training.task.objective[1] == "max"
        watched = training.ranks.from_first(float(watched))
        self._compare(watched, 1 if larger_is_better else -1)
        if training.plateau.is_on:
            training.plateau.see(watched, larger_is_better=larger_is_better)
        progress.history.append(_rounded(record))
        progress.timing.append(self._pace())
        self.keeper.append(progress.history, progress.timing)
        if training.ranks.rank == 0:
            self.events.evaluated(progress.history[-1])

    def _rates(self) -> dict[str, float]:
        training = self.training
        loss = float(training.loss_sum) / max(1, training.loss_count)
        training.loss_sum.zero_()
        training.loss_count = 0
        return {"learning_rate": training.rate, "train_loss": loss}

    def _compare(self, value: float, sign: int) -> None:
        """Whether this evaluation is the best so far; its weights are kept where there is a validation split."""
        progress, training = self.progress, self.training
        if math.isfinite(value) and (progress.best is None or sign * value >= sign * progress.best):
            progress.best, progress.best_step, progress.since_best = value, training.step, 0
            if self.val is not None:
                state = training.evaluated.state_dict()
                progress.best_weights = {name: t.detach().clone() for name, t in state.items()}
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
        if self.keeper.folder is None:
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
                "pretraining": progress.pretraining,
            },
            "seconds": self._saved_seconds,
        }
        self.keeper.save(tensors, state, self.training.step, progress.history, progress.timing)


def choose_device(name: str, rank: int = 0) -> torch.device:
    """The device of this rank: for "auto" a GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        return torch.device("cuda", rank % max(1, torch.cuda.device_count()))
    return torch.device(name)


def multiplies_bfloat16() -> bool:
    """Whether this processor's kernels multiply in bfloat16, which they do with AVX-512 and on newer Arm ones."""
    asked = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return bool(asked()) if asked else True


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
