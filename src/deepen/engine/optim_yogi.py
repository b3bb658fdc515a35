"""Yogi: Adam whose mean of squared gradients moves by what a gradient says, not by how far it is away."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Yogi(torch.optim.Optimizer):
    """Adam with an additive second moment.

        g   = gradient + weight_decay w
        m  <- b1 m + (1 - b1) g
        v  <- v - (1 - b2) sign(v - g^2) g^2
        w  <- w - lr m' / (sqrt(v') + eps),     m' = m / (1 - b1^t),  v' = v / (1 - b2^t)

    m and v begin at zero, so the first step is Adam's. Where gradients become rare, v shrinks slowly, so that the rate
    does not shoot up.
    Source: Zaheer, Reddi, Sachan, Kale and Kumar, Adaptive Methods for Nonconvex Optimization, 2018, algorithm 2, which
    has no correction of the start and leaves the first v to the user.
    """

    def __init__(self, params: Any, *, lr: float, betas: tuple[float, float], eps: float) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update from the gradients."""
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if weights:
                self._step(group, weights)

    def _step(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        (beta1, beta2), decay = group["betas"], group["weight_decay"]
        gradients = [p.grad for p in weights if p.grad is not None]
        if decay:
            gradients = torch._foreach_add(gradients, weights, alpha=decay)
        states = [self._state_of(p) for p in weights]
        means, squares = [s["exp_avg"] for s in states], [s["exp_avg_sq"] for s in states]
        torch._foreach_add_([s["step"] for s in states], 1)
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        squared = torch._foreach_mul(gradients, gradients)
        signs = torch._foreach_sub(squares, squared)
        torch._foreach_sign_(signs)
        torch._foreach_addcmul_(squares, signs, squared, value=-(1 - beta2))
        count = float(states[0]["step"])
        divisors = torch._foreach_div(squares, 1 - beta2**count)
        torch._foreach_sqrt_(divisors)
        torch._foreach_add_(divisors, group["eps"])
        torch._foreach_addcdiv_(weights, means, divisors, value=-group["lr"] / (1 - beta1**count))

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        return state
