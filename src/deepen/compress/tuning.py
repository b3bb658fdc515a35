"""Further training of a compressed network, by the engine's own updates, with something done after each of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from deepen.core.clock import Stopwatch
from deepen.core.errors import OptionError
from deepen.engine import optim
from deepen.engine.evaluate import evaluate
from deepen.engine.events import Events
from deepen.engine.options import FitOptions, OptimizerOptions
from deepen.engine.parameter_groups import Start
from deepen.engine.task import FittingItself, Task
from deepen.engine.training import Training
from deepen.parallel.ranks import Alone
from deepen.prepare.encoded import Encoded

WHOLE_DATA = ("gradient-descent", "newton")  # methods whose update takes all samples: too slow to touch up with
OFF: dict[str, Any] = {"weights": None, "freeze": (), "trunk_lr": None, "pretrain": None, "pretrain_on": None}
PLAIN: dict[str, Any] = {
    "devices": 1,
    "compile": False,
    "ema": 0.0,
    "swa": 0.0,
    "initialization": "model",
    "patience": 0,
}

AfterUpdate = Callable[[nn.Module, float], None]


@dataclass
class Tuned:
    """A network that was trained further, and how it went: the lines of metrics.jsonl and timing.jsonl."""

    network: nn.Module
    history: list[dict[str, Any]] = field(default_factory=list)
    timing: list[dict[str, Any]] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0


def options_for(options: FitOptions, num_rows: int, *, epochs: float, rate: float) -> FitOptions:
    """The run's own options for this many epochs at this part of their learning rate; epochs may be a part of one.

    What begins a training, and means of its weights, are left out.
    """
    adapted = optim.adapted(options, num_rows)
    optimizer = adapted.optimizer
    if optimizer.kind in WHOLE_DATA:
        optimizer = OptimizerOptions(learning_rate=1e-3)
    assert optimizer.learning_rate is not None, "optim.adapted fills it in"
    optimizer = dataclasses.replace(optimizer, learning_rate=optimizer.learning_rate * rate)
    known = {each.name for each in dataclasses.fields(FitOptions)}
    off = {name: value for name, value in {**OFF, **PLAIN}.items() if name in known}
    steps = max(1, round(epochs * math.ceil(num_rows / options.batch_size)))
    return dataclasses.replace(options, **off, optimizer=optimizer, epochs=None, samples=None, time=None, steps=steps)


def tuned(
    task: Task,
    network: nn.Module | None,
    train: Encoded,
    val: Encoded | None,
    options: FitOptions,
    *,
    device: torch.device,
    after: AfterUpdate | None = None,
    settled: float = 0.0,
    events: Events,
) -> Tuned:
    """The network after further training, with its best weights by validation.

    task     its `build` gives a network of the same tensors
    network  whose values are begun with; None begins at random
    after    called after each update with the network that learns and the part of training that is over
    settled  the part of training before which no weights are chosen, since the network is not yet what it shall be

    Raises OptionError for a task that trains in a way of its own, TrainingError for a loss that is not finite.
    """
    if isinstance(task, FittingItself) and task.fits_itself:
        raise OptionError("--epochs: this network does not learn by gradients, so it cannot be tuned; use --epochs 0.")
    watch = Stopwatch()
    start = (
        None if network is None else Start({n: t.detach().cpu() for n, t in network.state_dict().items()}, frozenset())
    )
    training = Training(task, train, options, device=device, ranks=Alone(), start=start)
    found = Tuned(training.model)
    best: tuple[float, dict[str, torch.Tensor]] | None = None
    objective, direction = task.objective
    try:
        while training.budget.progress < 1:
            for rows in training.order()[training.position :]:
                training.update(rows)
                if after is not None:
                    after(training.model, training.budget.progress)
                events.step(
                    training.step,
                    training.budget.progress,
                    training.budget.seconds_left(training.step, watch.seconds()),
                )
                if training.budget.progress >= 1:
                    break
            training.check_finite()
            record = _record(training, val)
            found.history.append(record)
            found.timing.append(
                {
                    "step": training.step,
                    "seconds": round(watch.seconds(), 3),
                    "samples_per_second": _pace(training, watch),
                }
            )
            events.evaluated(record)
            value = record.get(
                f"val_{objective}", -float(training.step) if direction == "min" else float(training.step)
            )
            sign = 1 if direction == "max" else -1
            if (
                training.budget.progress >= settled
                and value is not None
                and (best is None or sign * value >= sign * best[0])
            ):
                best = (value, {name: t.detach().clone() for name, t in training.model.state_dict().items()})
    finally:
        training.close()
    if best is not None:
        training.model.load_state_dict(best[1])
    found.network = training.model.cpu().eval()
    found.step, found.seconds = training.step, watch.seconds()
    return found


def _record(training: Training, val: Encoded | None) -> dict[str, Any]:
    loss = float(training.loss_sum) / max(1, training.loss_count)
    training.loss_sum.zero_()
    training.loss_count = 0
    epoch = training.epoch + training.position / training.steps_per_epoch
    record: dict[str, Any] = {
        "step": training.step,
        "epoch": round(epoch, 4),
        "learning_rate": training.rate,
        "train_loss": loss,
    }
    if val is not None and len(val):
        metrics = evaluate(training.task, training.model, val, device=training.device, ranks=Alone())
        record |= {f"val_{name}": value for name, value in metrics.result().items()}
    return {
        n: (float(f"{v:.6g}") if math.isfinite(v) else None) if isinstance(v, float) else v for n, v in record.items()
    }


def _pace(training: Training, watch: Stopwatch) -> float:
    samples = training.step * len(training.train) / training.steps_per_epoch
    return round(samples / max(1e-9, watch.seconds()), 1)
