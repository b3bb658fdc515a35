"""Averages of a network's weights over training, which often generalize better than the weights themselves."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class MovingAverage:
    """A copy of the network whose weights follow it.

        w_avg <- d w_avg + (1 - d) w,     d = min(decay, (1 + t) / (10 + t)) at update t

    Buffers that are floats (running statistics) follow in the same way, the others are copied.
    Source: Polyak and Juditsky 1992; the warm-up of d as commonly used with it.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.decay = decay
        own, theirs = _tensors_once(self.model), _tensors_once(model)
        floats = [name for name, value in own.items() if value.is_floating_point()]
        self._own = [own[name] for name in floats]
        self._theirs = [theirs[name] for name in floats]
        self._others = [(own[name], theirs[name]) for name in own if name not in set(floats)]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Follows the network after its update number `step` (1, 2, ...)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._own, self._theirs, 1 - decay)
        for own, theirs in self._others:
            own.copy_(theirs)

    def tensors(self) -> dict[str, Tensor]:
        """The averaged weights and buffers by name."""
        return self.model.state_dict()


class UniformAverage:
    """A copy of the network whose parameters are the mean of its parameters after each update of training's last part.

        w_avg = (w[s + 1] + ... + w[t]) / (t - s),    s = the last update with progress <= 1 - fraction

    taken one after the other: w_avg <- w_avg + (w - w_avg) / n. Buffers are no part of the mean; the statistics of
    batch norms have to be learned anew for it (`learn_statistics`) before the copy answers.

    count  updates in the mean so far

    Source: Izmailov et al. 2018, Averaging Weights Leads to Wider Optima and Better Generalization, algorithm 1 (there
    once per epoch or cycle).
    """

    def __init__(self, model: nn.Module, fraction: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.fraction = fraction
        self.count = 0
        self._live = model
        self._own: list[Tensor] = list(self.model.parameters())
        self._theirs = [p.detach() for p in model.parameters()]

    def update(self, progress: float) -> None:
        """Takes the network in after an update, if training, which is `progress` (0 to 1) on, has come that far."""
        if progress <= 1 - self.fraction + 1e-9:
            return
        self.count += 1
        with torch.no_grad():
            torch._foreach_lerp_(self._own, self._theirs, 1 / self.count)

    def learn_statistics(self, forward: Iterable[Callable[[nn.Module], Any]]) -> None:
        """The mean and variance of every batch norm of the copy, anew over some training batches.

        forward  one function for each batch, which runs the network it is given on that batch

        A batch counts as much as any other. Batch norms that are frozen in the network keep their statistics, and a
        network without any is left alone, its batches not even made. Buffers of other kinds are the network's.
        """
        with torch.no_grad():
            for own, theirs in zip(self.model.buffers(), self._live.buffers(), strict=True):
                own.copy_(theirs)
        norms = [
            own
            for own, live in zip(self.model.modules(), self._live.modules(), strict=True)
            if isinstance(own, nn.modules.batchnorm._BatchNorm) and own.track_running_stats and live.training
        ]
        if not norms:
            return
        with _as_training(self.model, self._live), _anew(norms), torch.no_grad():
            for run in forward:
                run(self.model)

    def tensors(self) -> dict[str, Tensor]:
        """The averaged weights, and buffers, by name."""
        return self.model.state_dict()

    def restore(self, count: int, tensors: dict[str, Tensor]) -> None:
        """Stands where `count` and `tensors` were taken."""
        self.count = count
        self.model.load_state_dict(tensors)


def _tensors_once(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of the network's state, those that have two names (tied weights) by the first alone."""
    found: dict[int, tuple[str, Tensor]] = {}
    for name, value in model.state_dict(keep_vars=True).items():
        found.setdefault(id(value), (name, value.detach()))
    return dict(found.values())


@contextmanager
def _as_training(model: nn.Module, like: nn.Module) -> Any:
    """Within it, every module is in the mode of its counterpart; after it, in evaluation."""
    for own, other in zip(model.modules(), like.modules(), strict=True):
        own.training = other.training
    try:
        yield
    finally:
        model.eval()


@contextmanager
def _anew(norms: list[nn.modules.batchnorm._BatchNorm]) -> Any:
    """Within it, running statistics are forgotten and become the mean over batches; after it, they move as before."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # type: ignore[assignment]  # PyTorch's way to ask for the plain mean
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
