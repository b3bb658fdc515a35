"""What compressing does to a network step by step, as values that a search can branch from."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepen.compress import changes, channels, fold, low_rank, magnitude, measures, quantize
from deepen.compress.options import WHOLE, CompressOptions
from deepen.compress.replace import called, tied
from deepen.compress.tuning import Tuned, options_for, tuned
from deepen.core.errors import OptionError
from deepen.engine.evaluate import evaluate
from deepen.engine.events import Events
from deepen.engine.fit import choose_device
from deepen.engine.options import FitOptions
from deepen.engine.task import Carrying, SharedOutputs, Task
from deepen.nn.dropout import drawing_for
from deepen.nn.exits import WithExits, whole
from deepen.parallel.ranks import Alone
from deepen.prepare.encoded import Batch, Draws, Encoded
from deepen.verbs.loaded import Loaded
from deepen.verbs.options import Resolved, task_module
from deepen.verbs.prepared import Prepared

CPU = torch.device("cpu")
EPOCHS = 3.0
LEAST_STEPS, MOST_EPOCHS = 150, 30
EXIT_PASSES = 16
TRACED = 2  # samples that channels are followed with
SOME_BITS = (16, 14, 12, 10, 9, 8, 7, 6, 5, 4)


@dataclass(frozen=True)
class State:
    """A network on its way, what differs from the one its task builds, and what training it has had.

    encoded  the samples by split, where this network reads them otherwise than the run's does
    """

    name: str
    chosen: Resolved
    plain: Task
    network: nn.Module
    changes: tuple[dict[str, Any], ...] = ()
    tuned: tuple[Tuned, ...] = ()
    encoded: Mapping[str, Encoded] | None = None

    @property
    def task(self) -> Task:
        """The task that builds this network."""
        return changes.with_changes(self.plain, self.changes)

    def after(self, name: str, network: nn.Module, *more: dict[str, Any] | None, tuned: Sequence[Tuned] = ()) -> State:
        """The state one step further."""
        steps = (*self.changes, *(each for each in more if each))
        return dataclasses.replace(self, name=name, network=network.eval(), changes=steps, tuned=(*self.tuned, *tuned))


@dataclass
class Work:
    """What every step needs."""

    model: Loaded
    prepared: Prepared
    options: CompressOptions
    events: Events
    others: Sequence[Path] = ()
    stated: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)
    bits: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    @property
    def train(self) -> Encoded:
        """The training samples."""
        return self.prepared.encoded["train"]

    @property
    def val(self) -> Encoded:
        """The validation samples, those of training where there are none."""
        found = self.prepared.encoded.get("val")
        return found if found is not None and len(found) else self.train

    def begin(self) -> State:
        """The run as it is."""
        known = tuple(changes.of_header(self.model.header))
        task = task_module(self.model.header["task"]).Task(
            self.model.options.task, self.prepared.state, self.model.options.network
        )
        return State("before", self.model.options, task, self.model.model, known)

    def of(self, state: State) -> Work:
        """The same with the samples as this network reads them."""
        if state.encoded is None:
            return self
        encoded = dict(state.encoded)
        return dataclasses.replace(self, prepared=dataclasses.replace(self.prepared, encoded=encoded))

    def figures(self, state: State, split: Encoded) -> dict[str, float]:
        """How good a network is."""
        return evaluate(state.task, state.network, split, device=CPU, ranks=Alone()).result()

    def cost(self, state: State) -> measures.Cost:
        """What a network costs."""
        some = EXIT_PASSES if isinstance(state.network, WithExits) else 1  # what exits save depends on the sample
        one, many = ([self.call(state, count, start * count) for start in range(some)] for count in (1, 32))
        return measures.cost(state.network, one, many)

    def call(self, state: State, count: int, first: int = 0) -> Callable[[nn.Module], Any]:
        """A pass over so many samples, some of them twice where there are not as many."""
        return _call(state.task, self.val, np.arange(first, first + count, dtype=np.int64) % len(self.val))

    def calls(self, state: State) -> Iterator[Callable[[nn.Module], Any]]:
        """Passes over the samples for calibration."""
        count = min(self.options.calibration, len(self.val))
        for rows in np.array_split(np.arange(count, dtype=np.int64), max(1, count // 64)):
            yield _call(state.task, self.val, rows)

    def step(self, state: State, method: str) -> State:
        """One method. Raises OptionError where it has nothing to do with this network."""
        if method not in ("distil",) and quantize.is_quantized(state.network):
            raise OptionError(
                f"--method {method}: the weights of this network are whole numbers already; compress the run that "
                "it was made from."
            )
        if isinstance(state.network, WithExits) and method not in WHOLE:
            raise OptionError(f"--method {method}: this network has early exits already; compress the run before them.")
        own = self.of(state)
        if method in ("distil", "average"):
            from deepen.verbs import compressing_runs

            return getattr(compressing_runs, method)(own, state)
        if method == "early-exit":
            from deepen.verbs import compressing_exits

            return compressing_exits.early_exit(own, state)
        found = _STEPS[method](own, state)
        self.bits = own.bits
        return found

    def fit(self, state: State, fit: FitOptions, task: Task, network: nn.Module | None, **more: Any) -> Tuned:
        """Further training on the run's own data."""
        device = choose_device(fit.device)
        val = self.prepared.encoded.get("val")
        return tuned(task, network, self.train, val, fit, device=device, events=self.events, **more)

    def short(self, state: State, default: float = EPOCHS) -> FitOptions | None:
        """The options of a tuning, None where there is to be none."""
        epochs = self.options.epochs
        if epochs is None:  # of small data some more, as in training
            steps = max(1, math.ceil(len(self.train) / state.chosen.fit.batch_size))
            epochs = max(default, min(MOST_EPOCHS, math.ceil(LEAST_STEPS / steps)))
        if epochs == 0:
            return None
        return options_for(state.chosen.fit, len(self.train), epochs=epochs, rate=self.options.rate)

    def heal(self, state: State, network: nn.Module, name: str, change: dict[str, Any] | None, **more: Any) -> State:
        """The changed network, tuned where that is wanted."""
        after = state.after(name, network, change)
        fit = self.short(state)
        if fit is None:
            return after
        found = self.fit(state, fit, after.task, network, **more)
        return state.after(name, found.network, change, tuned=[found])


def _call(task: Any, encoded: Encoded, rows: np.ndarray) -> Callable[[nn.Module], Any]:
    batch: Batch = task.batch(encoded, rows, None)
    if isinstance(task, SharedOutputs):
        return lambda network: task.outputs(network, batch)
    return lambda network: task.score(network, batch, task.metrics())


def _channels(work: Work, state: State) -> State:
    network = copy.deepcopy(state.network)
    rows = np.arange(min(TRACED, len(work.train)), dtype=np.int64)
    task: Any = state.task
    draws = Draws(state.chosen.fit.seed, 0)
    batch = task.batch(work.train, rows, draws)

    def learn(each: nn.Module) -> Tensor:
        with drawing_for(draws.seed, 0, rows, CPU):
            return task.loss(each, batch).sum

    change = channels.prune(
        network,
        work.options.channels,
        answer=_call(task, work.val, rows % len(work.val)),
        learn=None if isinstance(task, Carrying) and task.carried is not None else learn,
        criterion=work.options.criterion,
    )
    return work.heal(state, network, "channels", change)


def _prune(work: Work, state: State) -> State:
    options = work.options
    network = copy.deepcopy(state.network)
    gradual = options.pace == "gradual" and work.short(state) is not None
    pruning = magnitude.Pruning(options.sparsity, gradual=gradual, by_layer=options.by_layer)
    pruning(network, 0.0)
    found = work.heal(state, network, "prune", None, after=pruning, settled=magnitude.RAMP if gradual else 0.0)
    return found


def _low_rank(work: Work, state: State) -> State:
    network = copy.deepcopy(state.network)
    kept, shared = work.options.keep, tied(network)
    names = [name for name in called(network, work.call(state, TRACED)) if name not in shared and name not in kept]
    change = low_rank.factorize(network, names, work.options.energy)
    if change is None:
        raise OptionError(
            f"--energy {work.options.energy:g}: no layer of this network gets smaller by it; choose a smaller energy."
        )
    return work.heal(state, network, "low-rank", change)


def _whole(scheme: quantize.Scheme, work: Work, state: State) -> State:
    options, network, found = work.options, copy.deepcopy(state.network), []
    with whole(network):
        change = fold.fold(network, work.call(state, TRACED)) if isinstance(state.task, SharedOutputs) else None
        state = state.after(scheme, network, change)
        kinds = quantize.layers_of(network, work.call(state, TRACED), options.keep)
        if not kinds:
            raise OptionError(f"--method {scheme}: this network has no layer whose weights could be whole numbers.")
        timed = (work.call(state, 1), work.call(state, 32))
        seen = {} if scheme == "int8-weights" else quantize.calibrated(network, kinds, work.calls(state), timed)
    bits = options.bits if scheme == "fixed-point" else 8
    specs = quantize.specs(kinds, seen, scheme, bits=bits, search=options.clip)
    if scheme == "fixed-point":
        work.bits = [(each, _at_width(work, state, kinds, seen, each)) for each in SOME_BITS]
    if options.aware and scheme != "int8-weights" and (fit := work.short(state)) is not None:
        learning = changes.with_changes(state.task, [{"step": "aware", "layers": specs}])
        learned = work.fit(state, fit, learning, network)
        network = state.task.build()
        network.load_state_dict(learned.network.state_dict())
        found = [learned]
    step = quantize.quantize(network.eval(), specs, seen)
    return state.after(scheme, network, step, tuned=found)


def _at_width(work: Work, state: State, kinds: Any, seen: Any, bits: int) -> dict[str, float]:
    """How good the network is at a width, without tuning."""
    network = copy.deepcopy(state.network)
    quantize.quantize(network, quantize.specs(kinds, seen, "fixed-point", bits=bits), seen)
    return work.figures(dataclasses.replace(state, network=network), work.val)


_STEPS: dict[str, Callable[[Work, State], State]] = {
    "channels": _channels,
    "prune": _prune,
    "low-rank": _low_rank,
    "int8": partial(_whole, "int8"),
    "int8-weights": partial(_whole, "int8-weights"),
    "fixed-point": partial(_whole, "fixed-point"),
}
