"""LARS: every layer's step has a length in proportion to the layer's weights, which holds very large batches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Lars(torch.optim.Optimizer):
    """Momentum whose rate is scaled layer by layer.

        d  = gradient + weight_decay w
        r  = trust |w| / (|gradient| + weight_decay |w|)
        u <- momentum u + lr r d
        w <- w - u

    r is 1 where either norm is zero, and for what is no weight: parameters of one dimension (biases, norms), and groups
    that say so.
    Source: You, Gitman and Ginsburg, Large Batch Training of Convolutional Networks, 2017, algorithm 1; that biases and
    norms are left out is usual, not the paper's.
    """

    def __init__(self, params: Any, *, lr: float, momentum: float, trust: float) -> None:
        super().__init__(
            params, {"lr": lr, "momentum": momentum, "trust": trust, "weight_decay": 0.0, "are_weights": True}
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update from the gradients."""
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if weights:
                self._step(group, weights)

    def _step(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        gradients = [p.grad for p in weights if p.grad is not None]
        directions = torch._foreach_add(gradients, weights, alpha=group["weight_decay"])
        rates = _ratios(weights, gradients, group)
        torch._foreach_mul_(rates, group["lr"])
        torch._foreach_mul_(directions, rates)
        memory = [self._memory_of(p) for p in weights]
        torch._foreach_mul_(memory, group["momentum"])
        torch._foreach_add_(memory, directions)
        torch._foreach_sub_(weights, memory)

    def _memory_of(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        return state["momentum_buffer"]


def _ratios(weights: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
    """A scalar for each layer, on its device: nothing is read from there."""
    lengths = torch.stack(torch._foreach_norm(weights))
    slopes = torch.stack(torch._foreach_norm(gradients))
    ratios = group["trust"] * lengths / (slopes + group["weight_decay"] * lengths)
    ratios = torch.where((lengths > 0) & (slopes > 0), ratios, 1.0)
    scaled = [group["are_weights"] and p.dim() > 1 for p in weights]
    return [ratio if wanted else torch.ones_like(ratio) for wanted, ratio in zip(scaled, ratios, strict=True)]
