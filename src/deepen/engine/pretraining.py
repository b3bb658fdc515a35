"""Greedy layer-wise pretraining: each hidden layer in turn learns without labels from what those below make of samples.

A layer is trained as a restricted Boltzmann machine (Hinton, Osindero and Teh 2006), as an autoencoder (Bengio,
Lamblin, Popovici and Larochelle 2007) or as a denoising one (Vincent et al. 2010). Then the next one is, and at the end
the weights of all are where the training of the whole network begins. A layer's inputs are caught on their way into it,
so nothing here knows what the samples are.

What comes out is a function of the data, the options and the seed: a run that was killed meanwhile begins anew and ends
in the same weights, and every rank does the same work and then takes rank 0's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepen.core import rng
from deepen.core.clock import Stopwatch
from deepen.core.errors import OptionError, TrainingError
from deepen.core.units import plural
from deepen.engine.events import Events, Silent
from deepen.engine.feed import on_device
from deepen.engine.layer_learners import BATCH_SIZE, EPOCHS, LayerLearner, Scaling, learner
from deepen.engine.options import FitOptions
from deepen.engine.parameter_groups import Start
from deepen.engine.signals import Interrupted, StopWish, listening
from deepen.engine.task import Task
from deepen.engine.training import fresh, place
from deepen.nn.boltzmann import Visible
from deepen.nn.stack import LayerStack, Stacked, bounds
from deepen.parallel.ranks import Alone, Ranks
from deepen.prepare.encoded import Encoded

HELD_BYTES = 1 << 29  # a layer's inputs are kept where they take no more than this, else made anew for each batch
LOOKED_AT = 1024  # samples at once while their mean and spread are taken


@dataclass(frozen=True)
class Pretrained:
    """Where training starts, and how it came there.

    start   the pretrained layers' weights and biases
    course  for each layer {"layer": its name, "inputs", "units", "errors": one number for each epoch}: the squared
            error of reconstruction as a part of the inputs' variance, so that 1 is what their mean would have
    """

    start: Start
    course: list[dict[str, Any]]


def pretrained(
    task: Task,
    encoded: Sequence[Encoded],
    options: FitOptions,
    *,
    device: torch.device | None = None,
    ranks: Ranks | None = None,
    events: Events | None = None,
) -> Pretrained:
    """The hidden layers of the task's network after pretraining on all of these samples; targets are not looked at.

    Raises OptionError for a network without a stack, TrainingError if weights are no longer finite, and Interrupted
    when a signal asked to stop; nothing is kept then.
    """
    device, ranks, events = device or torch.device("cpu"), ranks or Alone(), events or Silent()
    network = place(fresh(task, options), device).eval()
    stack = stack_of(network, options)
    samples = _Samples(task, [on_device(each, device) for each in encoded], network, device)
    loop = _Loop(options, len(samples), len(stack.layers), ranks, events, device)
    names = {layer: name for name, layer in network.named_modules() if isinstance(layer, nn.Linear)}
    events.message(
        f"pretraining {plural(len(stack.layers), 'layer')} on {plural(len(samples), 'sample')} ({options.pretrain})"
    )
    course = []
    with listening() as wish:
        for index, layer in enumerate(stack.layers):
            inputs = _Inputs(samples, layer, kind_of_inputs(stack, index, options), known=_known(stack, index))
            learns = learner(layer, stack.activation, inputs.scaling, options, index=index)
            errors = loop.run(learns, inputs, index, wish)
            with torch.no_grad():
                weight, bias = inputs.scaling.folded(*learns.layer())
                layer.weight.copy_(weight)
                layer.bias.copy_(bias)
            course.append(
                {"layer": names[layer], "inputs": layer.in_features, "units": layer.out_features, "errors": errors}
            )
            events.message(
                f"pretraining: layer {index + 1} of {len(stack.layers)} ({layer.in_features:,} to "
                f"{layer.out_features:,}) leaves {errors[-1]:.1%} of its inputs' variance, {errors[0]:.1%} at first"
            )
    own = {name: network.state_dict()[name] for name in sorted(pretrained_names(network, stack))}
    tensors = own if ranks.size == 1 else ranks.gather_tensors(own)[0]
    return Pretrained(Start(tensors, frozenset(tensors)), course)


def stack_of(network: nn.Module, options: FitOptions) -> LayerStack:
    """The network's hidden layers. Raises OptionError if it does not say which they are, or has none."""
    if not isinstance(network, Stacked) or not (stack := network.stack()).layers:
        raise OptionError(
            f"--pretrain {options.pretrain}: expected a network with a stack of hidden layers, but "
            f"{type(network).__name__} has none; leave it out, or choose another --model."
        )
    return stack


def pretrained_names(network: nn.Module, stack: LayerStack) -> frozenset[str]:
    """The names of the tensors that pretraining fills, in the network's own state."""
    return frozenset(
        f"{name}.{part}"
        for name, module in network.named_modules()
        if any(module is layer for layer in stack.layers)
        for part in ("weight", "bias")
    )


def kind_of_inputs(stack: LayerStack, index: int, options: FitOptions) -> Visible:
    """What a layer's inputs are taken for: chances where the units below have bounds, else real numbers."""
    if index == 0:
        return options.pretrain_inputs or "gaussian"
    return "binary" if bounds(stack.activation) else "gaussian"


def _known(stack: LayerStack, index: int) -> tuple[float, float] | None:
    return bounds(stack.activation) if index > 0 else None


class _Loop:
    """Epochs over a layer's inputs, the same on every rank."""

    def __init__(
        self,
        options: FitOptions,
        num_rows: int,
        num_layers: int,
        ranks: Ranks,
        events: Events,
        device: torch.device,
    ) -> None:
        self._epochs = options.pretrain_epochs or EPOCHS
        self._num_batches = max(1, math.ceil(num_rows / (options.pretrain_batch_size or BATCH_SIZE)))
        self._seed, self._ranks, self._events, self._device = options.seed, ranks, events, device
        self._total = num_layers * self._epochs * self._num_batches
        self._done, self._watch = 0, Stopwatch()

    def run(self, learns: LayerLearner, inputs: _Inputs, index: int, wish: StopWish) -> list[float]:
        """Trains one layer; its error in each epoch."""
        errors = []
        for epoch in range(self._epochs):
            order = rng.permutation(rng.key(self._seed, "pretraining order", index), epoch, len(inputs))
            squares = torch.zeros((), dtype=torch.float64, device=self._device)
            for rows in np.array_split(order, self._num_batches):
                squares += learns.update(inputs.take(rows), epoch, rows)
                self._done += 1
                part, passed = self._done / self._total, self._watch.seconds()
                self._events.step(self._done, part, passed * (1 - part) / part)
                if wish.signal and self._ranks.size == 1:
                    self._stop(wish.signal)
            self._stop_together(wish)
            weight, bias = learns.layer()
            error = float(squares) / inputs.total_variance
            if not (math.isfinite(error) and bool(weight.isfinite().all()) and bool(bias.isfinite().all())):
                raise TrainingError(
                    f"pretraining, layer {index + 1}, epoch {epoch + 1}: expected finite weights, but they are not any "
                    "more; try a lower --pretrain-lr."
                )
            errors.append(float(f"{error:.6g}"))
        return errors

    def _stop_together(self, wish: StopWish) -> None:
        """Ends on every rank after the same epoch, if any rank was asked to."""
        if self._ranks.size == 1:
            return
        wishes = torch.tensor([float(wish.signal or 0)], device=self._device)
        self._ranks.sum_([wishes])
        if float(wishes) > 0:
            self._stop(wish.signal or 15)

    def _stop(self, signal: int) -> None:
        self._events.message("pretraining was stopped before its end, and begins anew when the run goes on")
        raise Interrupted(signal)


class _Samples:
    """The rows of several encoded tables, one after another, and what of them comes to a layer."""

    def __init__(self, task: Task, encoded: Sequence[Encoded], network: nn.Module, device: torch.device) -> None:
        self._task, self._encoded, self._network, self._device = task, encoded, network, device
        self._ends = np.cumsum([len(each) for each in encoded])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def come_to(self, layer: nn.Linear, rows: np.ndarray) -> Tensor:
        """The inputs [B, D] float32 of this layer for these rows, in their order."""
        owners = np.searchsorted(self._ends, rows, side="right")
        found = torch.empty(len(rows), layer.in_features, device=self._device)
        for owner in np.unique(owners):
            places = np.flatnonzero(owners == owner)
            first = self._ends[owner] - len(self._encoded[owner])
            caught = self._caught(layer, self._encoded[owner], rows[places] - first)
            found[torch.from_numpy(places).to(self._device)] = caught
        return found

    def _caught(self, layer: nn.Linear, encoded: Encoded, rows: np.ndarray) -> Tensor:
        batch = self._task.batch(encoded, rows, None).to(self._device)

        def catch(_layer: nn.Module, given: tuple[Tensor, ...]) -> None:
            raise _Caught(given[0])

        hook = layer.register_forward_pre_hook(catch)
        try:
            with torch.no_grad():
                self._task.answer(self._network, batch, [""] * len(rows))
        except _Caught as caught:
            assert caught.inputs.dim() == 2, "a stack's layers take one vector for each sample"
            return caught.inputs.float()
        finally:
            hook.remove()
        raise AssertionError("the network answers without its own stack")


class _Caught(Exception):
    """A layer's inputs, carried out of the forward pass: what comes after the layer need not be computed."""

    def __init__(self, inputs: Tensor) -> None:
        super().__init__()
        self.inputs = inputs


class _Inputs:
    """A layer's inputs brought to one scale, kept in memory where they fit.

    known  the least and largest value there can be; else, of binary inputs, those that there are
    """

    def __init__(
        self, samples: _Samples, layer: nn.Linear, kind: Visible, *, known: tuple[float, float] | None
    ) -> None:
        self._samples, self._layer, self._held = samples, layer, None
        if len(samples) * layer.in_features * 4 <= HELD_BYTES:
            self._held = torch.cat(list(self._chunks()))
        self.scaling = self._scaling(kind, known)
        self.total_variance = max(1e-12, self.scaling.variance) * len(samples) * layer.in_features

    def __len__(self) -> int:
        return len(self._samples)

    def take(self, rows: np.ndarray) -> Tensor:
        """z [B, D] of these rows."""
        if self._held is None:
            return self.scaling(self._samples.come_to(self._layer, rows))
        return self.scaling(self._held[torch.from_numpy(rows).to(self._held.device)])

    def _chunks(self) -> Iterator[Tensor]:
        rows = np.arange(len(self._samples))
        for start in range(0, len(rows), LOOKED_AT):
            if self._held is not None:
                yield self._held[start : start + LOOKED_AT]
            else:
                yield self._samples.come_to(self._layer, rows[start : start + LOOKED_AT])

    def _scaling(self, kind: Visible, known: tuple[float, float] | None) -> Scaling:
        total = squares = torch.zeros(self._layer.in_features, dtype=torch.float64, device=self._layer.weight.device)
        least, largest = math.inf, -math.inf
        for chunk in self._chunks():
            wide = chunk.double()
            total, squares = total + wide.sum(0), squares + wide.square().sum(0)
            least, largest = min(least, float(chunk.min())), max(largest, float(chunk.max()))
        mean = total / len(self)
        variance = float((squares / len(self) - mean.square()).clamp(min=0).mean())
        if kind == "gaussian":
            scale, shift = (variance**-0.5 if variance > 0 else 1.0), mean
        else:
            low, high = known or (least, largest)
            scale, shift = (1 / (high - low) if high > low else 1.0), torch.full_like(mean, low)
        return Scaling(kind, shift.float(), scale, ((mean - shift) * scale).float(), variance * scale**2)
