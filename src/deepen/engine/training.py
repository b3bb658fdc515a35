"""Everything that one update needs and changes, as one state that can be saved and restored bit for bit."""

from __future__ import annotations

import math
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepen.core import rng
from deepen.core.errors import OptionError, TrainingError
from deepen.engine import budget, optim, schedule
from deepen.engine.average import MovingAverage, UniformAverage
from deepen.engine.feed import Feeder, on_device
from deepen.engine.optim_objective import BatchObjective
from deepen.engine.options import FitOptions
from deepen.engine.parameter_groups import Start, begin, frozen_norms, is_weight, running_statistics
from deepen.engine.regularize import NOTHING_LEARNS, MaxNorm, Penalty
from deepen.engine.task import Carrying, OwnOrder, Task
from deepen.nn import init
from deepen.nn.dropout import drawing_for
from deepen.nn.extra_loss import collecting
from deepen.nn.noise import noisy_weights
from deepen.ops.losses import Loss
from deepen.parallel.ranks import Ranks
from deepen.prepare.encoded import Batch, Draws, Encoded

FINITE_CHECK_STEPS = 16  # on a GPU a check costs a synchronization; bad updates are skipped there without one
SOURCES_SHOWN = 3
STATISTICS_ROWS = 10_000  # training rows from which the batch norms of a uniform average learn their statistics


class Training:
    """The network, its optimizer and average, and where training stands.

    epoch, position  the batch that comes next: its epoch, and its place in that epoch
    step             updates so far
    """

    def __init__(
        self,
        task: Task,
        train: Encoded,
        options: FitOptions,
        *,
        device: torch.device,
        ranks: Ranks,
        start: Start | None = None,
    ) -> None:
        options = optim.adapted(options, len(train))
        self.task, self.options, self.device, self.ranks = task, options, device, ranks
        self.train = on_device(train, device)
        if options.pretrain is not None and start is None:
            raise OptionError(
                f"--pretrain {options.pretrain}: only a whole training begins with it, not a range test; leave it out."
            )
        self.model = fresh(task, options)
        begin(self.model, start, options)
        self.model = place(self.model, device)
        optim.require_fit(options, self.model)
        self.optimizer = optim.build(options.optimizer, self.model)
        self.plateau = schedule.Plateau(options.schedule)
        self.average = MovingAverage(self.model, options.ema) if options.ema > 0 else None
        self.uniform_average = UniformAverage(self.model, options.swa) if options.swa > 0 else None
        self.budget = budget.of(options, len(train))
        self.steps_per_epoch = budget.steps_per_epoch(len(train), options.batch_size)
        self.step = self.epoch = self.position = 0
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.loss_count = 0
        self.grad_norm = torch.zeros((), device=device)
        self._forward: Any = torch.compile(self.model) if options.compile else self.model
        self._buffers = [b for b in self.model.buffers() if b.is_floating_point()]
        self._saved_buffers = [torch.empty_like(b) for b in self._buffers]
        self._trainable = [p for p in self.model.parameters() if p.requires_grad]
        self._frozen_norms = frozen_norms(self.model)
        self._statistics = running_statistics(self.model) if ranks.size > 1 else []
        self._noised = {name: p for name, p in self.model.named_parameters() if p.requires_grad and is_weight(name, p)}
        self._penalty = Penalty(self.model, l1=options.l1, l2=options.l2)
        self._max_norm = MaxNorm(self.model, options.max_norm)
        self._scaler = _scaler(options, device)
        self._first_bad = torch.full((), -1, dtype=torch.int64, device=device)
        self._recent: deque[tuple[int, np.ndarray, float]] = deque(maxlen=FINITE_CHECK_STEPS)
        self._feeder = Feeder(task, self.train, options, device)
        self._carried = task.carried if isinstance(task, Carrying) else None
        self._batches: list[Batch] = []  # of the update under way, where the optimizer asks for the loss again
        self._objective: BatchObjective | None = None
        self.model.train()

    @property
    def evaluated(self) -> nn.Module:
        """The network that is evaluated and kept: the average where there is one, the uniform one once it has begun."""
        if self.uniform_average and self.uniform_average.count:
            return self.uniform_average.model
        return self.average.model if self.average else self.model

    @property
    def rate(self) -> float:
        """The learning rate of the next update."""
        peak = self.options.optimizer.learning_rate
        assert peak is not None, "optim.adapted fills it in"
        return peak * schedule.factor(self.options.schedule, self.budget.progress) * self.plateau.scale

    def order(self) -> list[np.ndarray]:
        """The batches of the current epoch: row numbers, a pure function of (seed, epoch)."""
        if isinstance(self.task, OwnOrder):
            found = self.task.order(self.train, self.steps_per_epoch, seed=self.options.seed, epoch=self.epoch)
            assert len(found) == self.steps_per_epoch, "an order has as many batches as an epoch has steps"
            return found
        rows = rng.permutation(self.options.seed, self.epoch, len(self.train))
        return np.array_split(rows, self.steps_per_epoch)

    def update(
        self,
        rows: np.ndarray,
        *,
        wish_to_stop: bool = False,
        following: np.ndarray | None = None,
        rate: float | None = None,
    ) -> bool:
        """One update from these rows (over all ranks). Returns whether any rank wishes to stop.

        following  the rows of the next update in this epoch, so that making them ready can begin
        rate       the learning rate, where it is not the schedule's

        Raises TrainingError, with the network as it was before, if the loss or the gradient is not finite.
        """
        rate = self.rate if rate is None else rate
        optim.set_rate(self.optimizer, rate)
        for norm in self._frozen_norms:
            norm.eval()
        if self._buffers:
            torch._foreach_copy_(self._saved_buffers, self._buffers)
        for parameter in self._trainable:  # as Optimizer.zero_grad, without the hooks around it
            parameter.grad = None
        noise = self.options.weight_noise
        with noisy_weights(self._noised, noise, seed=self.options.seed, step=self.step):
            loss_sum, count = self._backward(rows, following)
        loss_sum, count, stop = self._add_ranks(loss_sum, count, wish_to_stop, len(self._share(rows)) / len(rows))
        self._scale_gradients(len(rows) / max(count, 1))
        if optim.needs_objective(self.optimizer):
            self._objective = self._objective_of(count)
        self._apply(loss_sum, rows, rate)
        self._max_norm.apply()
        if self._carried:
            self._carried.step(self.ranks)
        self.loss_sum += loss_sum
        self.loss_count += count
        self.step += 1
        self.position += 1
        if self.average:
            self.average.update(self.step)
        self.budget.advance(self.step)
        if self.uniform_average:
            self.uniform_average.update(self.budget.progress)
        if self.position == self.steps_per_epoch:
            self.epoch, self.position = self.epoch + 1, 0
        return stop

    def check_finite(self) -> None:
        """Raises TrainingError if an update since the last check had to be skipped. Reads from the device."""
        bad = int(self._first_bad)
        if bad < 0:
            return
        step, rows, rate = next((entry for entry in self._recent if entry[0] == bad), self._recent[-1])
        self._refuse(step, rows, rate, loss=math.nan, norm=math.nan)

    def settle(self) -> None:
        """Makes the network that is evaluated ready for it: a mean of weights needs batch norms' statistics of its own.

        They are those of up to 10,000 training rows, drawn anew for each epoch, and the same on every rank.
        """
        if self.uniform_average and self.uniform_average.count:
            rows = rng.permutation(self.options.seed, self.epoch, len(self.train))[:STATISTICS_ROWS]
            size = math.ceil(min(self.options.batch_size, len(self.train)) / self.options.accumulate)
            batches = np.array_split(rows, max(1, len(rows) // size))
            self.uniform_average.learn_statistics([partial(self._only_forward, each) for each in batches])

    def close(self) -> None:
        """Ends what runs beside training."""
        self._feeder.close()

    def state(self) -> dict[str, Any]:
        """Where training stands, JSON-able."""
        return {
            "step": self.step,
            "epoch": self.epoch,
            "position": self.position,
            "loss_count": self.loss_count,
            "budget": self.budget.state(),
            "plateau": self.plateau.state(),
            "scaler": self._scaler.state_dict() if self._scaler else None,
            "averaged": self.uniform_average.count if self.uniform_average else 0,
        }

    def tensors(self) -> dict[str, Tensor]:
        """All tensors that a resumed run needs, by name."""
        found = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        found |= {f"optimizer.{name}": value for name, value in optim.state_tensors(self.optimizer).items()}
        if self.average:
            found |= {f"average.{name}": value for name, value in self.average.tensors().items()}
        if self.uniform_average:
            found |= {f"uniform.{name}": value for name, value in self.uniform_average.tensors().items()}
        if self._carried:
            found |= {f"carried.{name}": value for name, value in self._carried.tensors().items()}
        found["loss_sum"] = self.loss_sum
        return found

    def restore(self, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Stands where `state` and `tensors` were taken."""
        self.step, self.epoch, self.position = state["step"], state["epoch"], state["position"]
        self.loss_count = state["loss_count"]
        self.budget.restore(state["budget"])
        self.plateau.restore(state.get("plateau", {}))
        if self._scaler and state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])
        self.model.load_state_dict(_under("model.", tensors))
        optim.restore(self.optimizer, _under("optimizer.", tensors))
        if self.average:
            self.average.model.load_state_dict(_under("average.", tensors))
        if self.uniform_average:
            self.uniform_average.restore(state["averaged"], _under("uniform.", tensors))
        if self._carried:
            self._carried.restore(_under("carried.", tensors))
        self.loss_sum.copy_(tensors["loss_sum"])

    def _backward(self, rows: np.ndarray, following: np.ndarray | None) -> tuple[Tensor, int]:
        """This rank's share of the batch, in micro-batches: gradients of the summed loss over the number of rows."""
        batches = self._feeder.take(self.epoch, self.position, self._share(rows))
        if following is not None:
            self._feeder.prepare(self.epoch, self.position + 1, self._share(following))
        loss_sum = torch.zeros((), device=self.device)
        count = 0
        self._batches = batches if optim.needs_objective(self.optimizer) else []
        for batch in batches:
            loss = self._loss(batch)
            scaled = loss.sum * (1.0 / len(rows))
            (self._scaler.scale(scaled) if self._scaler else scaled).backward()
            loss_sum += loss.sum.detach().float()
            count += batch.count
        return loss_sum, count

    def _loss(self, batch: Batch) -> Loss:
        """The summed loss of a batch, a pure function of the weights, the epoch and the rows."""
        draws = drawing_for(self.options.seed, self.epoch, batch.rows, self.device)
        with draws, self._precision(), collecting() as extra:
            loss = self.task.loss(self._forward, batch)
        return replace(loss, sum=loss.sum + batch.count * sum(extra)) if extra else loss

    def _objective_of(self, count: int) -> BatchObjective:
        return BatchObjective(
            lambda batch: self._loss(batch).sum,
            self._batches,
            [p for group in self.optimizer.param_groups for p in group["params"]],
            self._buffers,
            ranks=self.ranks,
            count=count,
            device=self.device,
        )

    def _only_forward(self, rows: np.ndarray, model: nn.Module) -> None:
        batch = self.task.batch(self.train, rows, Draws(self.options.seed, self.epoch)).to(self.device)
        with drawing_for(self.options.seed, self.epoch, rows, self.device), self._precision():
            self.task.loss(model, batch)

    def _share(self, rows: np.ndarray) -> np.ndarray:
        return rows if self.ranks.size == 1 else np.array_split(rows, self.ranks.size)[self.ranks.rank]

    def _add_ranks(self, loss_sum: Tensor, count: int, wish: bool, share: float) -> tuple[Tensor, int, bool]:
        """Of gradients, loss, count and wishes the sum over ranks; of running statistics the mean, each rank's by its
        share of the rows, so that all ranks evaluate and save one network."""
        if self.ranks.size == 1:
            return loss_sum, count, wish
        for statistic in self._statistics:
            statistic.mul_(share)
        for parameter in self._trainable:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        shared = torch.tensor([float(count), float(wish)], device=self.device)
        loss = loss_sum.reshape(1)
        gradients = [p.grad for p in self._trainable if p.grad is not None]
        self.ranks.sum_([*gradients, *self._statistics, loss, shared])
        return loss[0], int(shared[0]), bool(shared[1] > 0)

    def _scale_gradients(self, ratio: float) -> None:
        """From the mean over rows to the mean over targets, where a row has not exactly one."""
        gradients = [p.grad for p in self._trainable if p.grad is not None]
        if self._scaler:
            self._scaler.unscale_(self.optimizer)
        if ratio != 1.0:
            torch._foreach_mul_(gradients, ratio)
        self._penalty.add_gradients()
        gradients = [p.grad for p in self._trainable if p.grad is not None]
        self.grad_norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        norm = self.grad_norm
        if self.options.clip_value is not None:
            torch.nn.utils.clip_grad_value_(self._trainable, self.options.clip_value)
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        if self.options.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self._trainable, self.options.clip_norm, norm)

    def _apply(self, loss_sum: Tensor, rows: np.ndarray, rate: float) -> None:
        """The optimizer's step, left out where loss or gradient is not finite."""
        if self.device.type == "cpu":
            loss, norm = float(loss_sum), float(self.grad_norm)
            if not (math.isfinite(loss) and math.isfinite(norm)):
                self._restore_buffers(torch.tensor(True))
                self._refuse(self.step + 1, rows, rate, loss=loss / len(rows), norm=norm)
            optim.step(self.optimizer, objective=self._objective)
            return
        bad = ~(torch.isfinite(loss_sum) & (torch.isfinite(self.grad_norm) | (self._scaler is not None)))
        self._recent.append((self.step + 1, rows, rate))
        self._restore_buffers(bad)
        self._first_bad = torch.where(bad & (self._first_bad < 0), self.step + 1, self._first_bad)
        if self._scaler:
            self._scaler.step(self.optimizer)
            self._scaler.update()
        else:
            optim.step(self.optimizer, bad=bad, objective=self._objective)
        if self.step % FINITE_CHECK_STEPS == FINITE_CHECK_STEPS - 1:
            self.check_finite()

    def _restore_buffers(self, bad: Tensor) -> None:
        for live, saved in zip(self._buffers, self._saved_buffers, strict=True):
            live.copy_(torch.where(bad, saved, live))

    def _precision(self) -> AbstractContextManager[Any]:
        if self.options.precision == "fp32":
            return nullcontext()
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[self.options.precision]
        return torch.autocast(self.device.type, dtype=dtype)

    def _refuse(self, step: int, rows: np.ndarray, rate: float, *, loss: float, norm: float) -> None:
        sources = [self.train.source(int(row)) for row in rows[:SOURCES_SHOWN]]
        more = f" and {len(rows) - len(sources)} more" if len(rows) > len(sources) else ""
        raise TrainingError(
            f"step {step}: expected a finite loss and gradient, but the loss is {loss:.4g} and the gradient's norm "
            f"{norm:.4g}, at learning rate {rate:.3g}; the batch holds {', '.join(sources)}{more}. The weights are as "
            "they were before this step; look at these samples, or train with a lower --optimizer.lr or --clip-norm 1."
        )


def fresh(task: Task, options: FitOptions) -> nn.Module:
    """The network at its random start, a function of the options and their seed."""
    torch.manual_seed(rng.key(options.seed, "initialization") % 2**63)
    return drawn(task, options)


def drawn(task: Task, options: FitOptions) -> nn.Module:
    """A network at a random start, by the formula that the options name; draws come from torch's generator.

    Raises OptionError for a formula where no weight would begin by it.
    """
    model = task.build()
    if options.initialization != "model":
        if not any(init.weights_of(model)):
            raise OptionError(f"--initialization {options.initialization}: {NOTHING_LEARNS}; leave it out.")
        init.start(model, options.initialization, options.initialization_value)
    return model


def place(model: nn.Module, device: torch.device) -> nn.Module:
    """The network on the device; convolution weights with channels last, which is faster there and on CPUs."""
    if any(p.dim() == 4 for p in model.parameters()):
        return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.to(device)


def _scaler(options: FitOptions, device: torch.device) -> torch.amp.GradScaler | None:
    if options.precision != "fp16":
        return None
    if device.type == "cpu":
        raise OptionError("--precision fp16: expected a GPU for fp16, but this is a CPU; use fp32.")
    return torch.amp.GradScaler(device.type)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
