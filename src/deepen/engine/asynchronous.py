"""Training without gradients on a tape: compiled work on blocks of the data, which several threads do at once.

Threads read and write the same tables without locks (Niu et al. 2011, Hogwild: a lock-free approach to parallelizing
stochastic gradient descent); where updates are sparse they seldom meet. With one thread training is the same bit for
bit each time, and goes on from a checkpoint as if it had never stopped; with more it is not, since who comes first is
up to the machine. Draws depend on (seed, epoch, block) alone either way.

Of several ranks the first trains alone and sends the others what it learned, so the result is that of one rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from deepen.bundle import checkpoint, records
from deepen.core import rng
from deepen.core.clock import Stopwatch
from deepen.core.errors import TrainingError
from deepen.core.units import seconds
from deepen.engine import budget, schedule
from deepen.engine.evaluate import evaluate
from deepen.engine.events import Events, Silent
from deepen.engine.fit import EVALUATION_STEPS, Fitted
from deepen.engine.keeper import Elsewhere, Keeper
from deepen.engine.options import FitOptions
from deepen.engine.signals import Interrupted, listening
from deepen.engine.task import Task
from deepen.parallel.ranks import Alone, Ranks
from deepen.prepare.encoded import Encoded

READ = (  # the engine's options that this training follows; a task calls the others `unread`
    "epochs",
    "steps",
    "samples",
    "time",
    "batch_size",
    "optimizer.learning_rate",
    "schedule",
    "checkpoint_every",
    "fallback_dir",
    "device",
    "devices",
    "timeout",
    "threads",
    "seed",
)
STEPS_AHEAD = 8  # by thread, between two moments at which training can be saved
SIGN_SECONDS = 5.0  # after which the first rank tells the others that it still trains
SENT_NUMBERS = 1 << 24  # of a table at a time


class BlockWork(Protocol):
    """What is trained, and how one block of its data trains it.

    num_blocks  of one epoch, each trained on once
    network     as it stands, after `settle`
    """

    @property
    def num_blocks(self) -> int: ...

    @property
    def network(self) -> nn.Module: ...

    def train(self, epoch: int, block: int, rates: tuple[float, float]) -> tuple[float, int]:
        """Trains on a block, the learning rate falling from the first to the second; the summed loss and its count.

        Several threads call it at once.
        """
        ...

    def settle(self) -> None:
        """Brings the network to where training stands. No block is being trained on."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """All that going on needs, after `settle`."""
        ...

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Stands where `tensors` were taken."""
        ...


@dataclass
class _State:
    """Where training stands, JSON-able."""

    step: int = 0
    epoch: int = 0
    position: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    timing: list[dict[str, Any]] = field(default_factory=list)


def fit_blocks(
    task: Task,
    work: BlockWork,
    val: Encoded | None,
    options: FitOptions,
    *,
    folder: Path | None = None,
    elsewhere: Elsewhere | None = None,
    resume: bool = False,
    begun_elsewhere: bool = False,
    ranks: Ranks | None = None,
    events: Events | None = None,
) -> Fitted:
    """A network trained block by block as the options say; the last weights are kept.

    work             on ranks other than the first it is only asked for its network
    begun_elsewhere  the tables begin with values of a file: they are saved before the first step

    The other arguments are those of `engine.fit.fit`, and so is what is raised.
    """
    ranks, events = ranks or Alone(), events or Silent()
    if ranks.rank > 0:
        return _received(work, ranks)
    loop = _Loop(task, work, val, options, Keeper(folder, elsewhere), events, ranks)
    if resume and folder is not None:
        loop.restore(*checkpoint.load_checkpoint(folder))
    elif begun_elsewhere:
        loop.save()
    try:
        loop.run()
    except Interrupted as stopped:
        ranks.from_first({"stopped": stopped.signal})
        raise
    finally:
        events.done()
    return _sent(loop.fitted(), ranks)


class _Loop:
    def __init__(
        self, task: Task, work: BlockWork, val: Encoded | None, options: FitOptions, keeper: Keeper, events: Events,
        ranks: Ranks,
    ) -> None:  # fmt: skip
        self.task, self.work, self.val, self.options = task, work, val, options
        self.keeper, self.events, self.ranks = keeper, events, ranks
        self.state = _State()
        self.steps_per_epoch = budget.steps_per_epoch(work.num_blocks, options.batch_size)
        self.budget = budget.of(options, work.num_blocks)
        self.threads = torch.get_num_threads()
        self.watch = Stopwatch()
        self._saved = (0.0, -1)  # when, and after which step
        self._lap = (0.0, 0)
        self._sign = 0.0
        self._order = (-1, np.zeros(0, np.int64))  # of which epoch, and its blocks
        self._every = seconds(options.checkpoint_every, name="--checkpoint-every")

    def run(self) -> None:
        state = self.state
        with listening() as wish, _pool(self.threads) as pool:
            while self.budget.progress < 1:
                self._advance(pool)
                ended = self.budget.progress >= 1
                if ended or (state.position == 0 and state.step - self._last_evaluation() >= EVALUATION_STEPS):
                    self._evaluate()
                stop = wish.signal is not None
                if stop or ended or self.watch.seconds() - self._saved[0] >= self._every:
                    self.save()
                if stop and not ended:
                    raise Interrupted(wish.signal or 15)
                self._give_sign()
            if self._saved[1] != state.step:
                self.save()

    def save(self) -> None:
        """Puts down where training stands, if there is a folder."""
        self._saved = (self.watch.seconds(), self.state.step)
        if self.keeper.folder is None:
            return
        self.work.settle()
        tensors = self.work.tensors()
        self._require_finite(tensors)
        state = {**vars(self.state), "budget": self.budget.state(), "seconds": self._saved[0]}
        self.keeper.save(tensors, state, self.state.step, self.state.history, self.state.timing)

    def restore(self, tensors: dict[str, Tensor], state: dict[str, Any], note: str) -> None:
        """Goes on from a checkpoint."""
        if note:
            self.events.message(note)
        self.budget.restore(state.pop("budget"))
        self.watch = Stopwatch(state.pop("seconds"))
        self.state = _State(**state)
        self.work.restore(tensors)
        self._saved = (self.watch.seconds(), self.state.step)
        self._lap = (self.watch.seconds(), self.state.step)
        if self.keeper.folder is not None:
            records.truncate_metrics(self.keeper.folder, len(self.state.history))
            records.truncate_timing(self.keeper.folder, len(self.state.timing))

    def fitted(self) -> Fitted:
        """What training came to."""
        self.work.settle()
        network, state = self.work.network.eval(), self.state
        return Fitted(network, state.history, state.timing, state.step, self.watch.seconds(), self.keeper.folder)

    def _advance(self, pool: ThreadPoolExecutor | None) -> None:
        """The next steps of this epoch: one, or with several threads so many that none of them waits often."""
        state = self.state
        most = 1 if pool is None else STEPS_AHEAD * self.threads
        planned: list[tuple[int, tuple[float, float]]] = []
        last_of_step = []
        for blocks in self._steps(state.position, state.position + most):
            if self.budget.progress >= 1:
                break
            before = self._rate()
            state.step, state.position = state.step + 1, state.position + 1
            self.budget.advance(state.step)
            planned += [
                (int(block), rates)
                for block, rates in zip(blocks, _shares(before, self._rate(), len(blocks)), strict=True)
            ]
            last_of_step += [*[0] * (len(blocks) - 1), state.step]
            if self.budget.is_due(state.step):
                break
        self._train(planned, last_of_step, pool)
        if state.position == self.steps_per_epoch:
            state.epoch, state.position = state.epoch + 1, 0
        if self.budget.is_due(state.step):
            self.budget.plan(state.step, self.watch.seconds())

    def _steps(self, first: int, last: int) -> list[np.ndarray]:
        """The blocks of some steps of this epoch: near-equal parts of its order, the longer ones first."""
        epoch, count = self.state.epoch, self.work.num_blocks
        if self._order[0] != epoch:
            self._order = (epoch, rng.permutation(self.options.seed, epoch, count))
        size, longer = divmod(count, self.steps_per_epoch)
        edges = [step * size + min(step, longer) for step in range(first, min(last, self.steps_per_epoch) + 1)]
        return [self._order[1][begin:end] for begin, end in pairwise(edges)]

    def _train(
        self, planned: Sequence[tuple[int, tuple[float, float]]], steps: Sequence[int], pool: ThreadPoolExecutor | None
    ) -> None:
        epoch = self.state.epoch

        def one(each: tuple[int, tuple[float, float]]) -> tuple[float, int]:
            return self.work.train(epoch, *each)

        for (loss, count), step in zip((map if pool is None else pool.map)(one, planned), steps, strict=True):
            self.state.loss_sum += loss
            self.state.loss_count += count
            if not math.isfinite(loss):
                self._refuse()
            if step:
                self.events.step(step, self.budget.progress, self._seconds_left())

    def _seconds_left(self) -> float | None:
        return self.budget.seconds_left(self.state.step, self.watch.seconds())

    def _rate(self) -> float:
        """The learning rate where training stands."""
        peak = self.options.optimizer.learning_rate
        assert peak is not None, "a recipe states it"
        return peak * schedule.factor(self.options.schedule, self.budget.progress)

    def _evaluate(self) -> None:
        state, work = self.state, self.work
        work.settle()
        self._require_finite(dict(work.network.named_parameters()))
        record: dict[str, Any] = {
            "step": state.step,
            "epoch": round(state.epoch + state.position / self.steps_per_epoch, 4),
            "learning_rate": self._rate(),
            "train_loss": state.loss_sum / max(1, state.loss_count),
        }
        state.loss_sum, state.loss_count = 0.0, 0
        if self.val is not None and len(self.val):
            metrics = evaluate(self.task, work.network, self.val, device=torch.device("cpu"), ranks=Alone())
            record |= {f"val_{name}": value for name, value in metrics.result().items()}
        state.history.append(_rounded(record))
        state.timing.append(self._pace())
        self.keeper.append(state.history, state.timing)
        self.events.evaluated(state.history[-1])

    def _pace(self) -> dict[str, Any]:
        now, step = self.watch.seconds(), self.state.step
        (before, step_before), self._lap = self._lap, (now, step)
        blocks = (step - step_before) * self.work.num_blocks / self.steps_per_epoch
        pace = round(blocks / max(1e-9, now - before), 1)
        return {"step": step, "seconds": round(now, 3), "samples_per_second": pace}

    def _last_evaluation(self) -> int:
        return int(self.state.history[-1]["step"]) if self.state.history else 0

    def _give_sign(self) -> None:
        if self.ranks.size > 1 and self.watch.seconds() - self._sign > SIGN_SECONDS:
            self._sign = self.watch.seconds()
            self.ranks.from_first({"training": self.state.step})

    def _require_finite(self, tensors: dict[str, Tensor]) -> None:
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values() if tensor.is_floating_point()):
            self._refuse()

    def _refuse(self) -> None:
        rate = self.options.optimizer.learning_rate
        raise TrainingError(
            f"step {self.state.step}: expected finite numbers, but the tables or their loss have run away at learning "
            f"rate {rate:.3g}; train anew with a lower --optimizer.lr."
        )


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor | None]:
    """Threads for the blocks; None for one thread, which is the caller's."""
    if threads <= 1:
        yield None
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="block") as pool:
        yield pool


def _shares(first: float, last: float, count: int) -> list[tuple[float, float]]:
    """A falling rate cut into as many parts as a step has blocks."""
    edges = [first + (last - first) * part / count for part in range(count + 1)]
    return list(pairwise(edges))


def _sent(fitted: Fitted, ranks: Ranks) -> Fitted:
    """Sends every rank the first one's network and how it went."""
    if ranks.size > 1:
        ranks.from_first(
            {"history": fitted.history, "timing": fitted.timing, "step": fitted.step, "seconds": fitted.seconds}
        )
        _exchange(fitted.model, ranks)
    return fitted


def _received(work: BlockWork, ranks: Ranks) -> Fitted:
    """What the first rank trained, on another."""
    said = ranks.from_first(None)
    while "training" in said:
        said = ranks.from_first(None)
    if "stopped" in said:
        raise Interrupted(said["stopped"])
    for tensor in work.network.state_dict().values():
        tensor.zero_()
    _exchange(work.network, ranks)
    return Fitted(work.network.eval(), said["history"], said["timing"], said["step"], said["seconds"])


def _exchange(network: nn.Module, ranks: Ranks) -> None:
    """Adds up the tensors of all ranks, of which those but the first's are zero."""
    for tensor in network.state_dict().values():
        flat = tensor.view(-1)
        for begin in range(0, len(flat), SENT_NUMBERS):
            ranks.sum_([flat[begin : begin + SENT_NUMBERS]])


def _rounded(record: dict[str, Any]) -> dict[str, Any]:
    """Six significant digits are all that a curve can use, and numbers that are not finite have no JSON."""
    return {
        name: (float(f"{value:.6g}") if math.isfinite(value) else None) if isinstance(value, float) else value
        for name, value in record.items()
    }
