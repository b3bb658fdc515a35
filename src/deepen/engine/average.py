"""The exponential moving average of a network's weights, which often generalizes better than the weights themselves."""

from __future__ import annotations

import copy

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
        own, theirs = self.model.state_dict(), model.state_dict()
        floats = [name for name, value in own.items() if value.is_floating_point()]
        self._own = [own[name] for name in floats]
        self._theirs = [theirs[name].detach() for name in floats]
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
