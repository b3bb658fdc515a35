"""Penalties and limits on weights, applied once per update, after micro-batches and ranks have been added up.

    objective = mean loss + l1 * sum |w| + l2 / 2 * sum w^2

over the weights: trained parameters of more than one dimension, so no bias and no normalization. The penalties' part of
the gradient is added before it is clipped; the loss that is shown is without them.

How this differs from `optimizer.weight_decay`, which the optimizer itself applies: with a decoupled decay (AdamW) the
weight shrinks by rate * decay * w whatever the gradient's history, while an L2 penalty's gradient goes through moments
and scaling as any other. For plain SGD both are the same (Loshchilov and Hutter 2019, Decoupled Weight Decay, prop. 1).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deepen.core.errors import OptionError
from deepen.engine.parameter_groups import is_weight
from deepen.nn.init import Weight, weights_of

NOTHING_LEARNS = "expected a linear, convolutional or recurrent layer that learns, but this network has none"


class Penalty:
    """The gradient of l1 * sum |w| + l2 / 2 * sum w^2 over trained weights: no bias, no normalization.

        g <- g + l2 * w + l1 * sign(w),    sign(0) = 0

    Source: Hoerl and Kennard 1970 (L2); Tibshirani 1996 (L1, here by its subgradient, which leaves weights near 0
    rather than at it).
    """

    def __init__(self, model: nn.Module, *, l1: float, l2: float) -> None:
        self.l1, self.l2 = l1, l2
        weights = (p for name, p in model.named_parameters() if p.requires_grad and is_weight(name, p))
        self._weights: list[Tensor] = list(weights) if l1 or l2 else []

    @torch.no_grad()
    def add_gradients(self) -> None:
        """Adds it to the gradients; a weight that the loss did not reach gets this one alone."""
        if not self._weights:
            return
        gradients = []
        for weight in self._weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            gradients.append(weight.grad)
        if self.l2:
            torch._foreach_add_(gradients, self._weights, alpha=self.l2)
        if self.l1:
            torch._foreach_add_(gradients, torch._foreach_sign(self._weights), alpha=self.l1)

    def value(self) -> Tensor:
        """What the penalties come to, for logs and tests: scalar."""
        total = torch.zeros((), device=self._weights[0].device if self._weights else None)
        for weight in self._weights:
            total = total + self.l1 * weight.abs().sum() + self.l2 / 2 * weight.square().sum()
        return total


class MaxNorm:
    """Keeps the weights that come into each unit of linear, convolutional and recurrent layers within a ball.

        w <- w min(1, limit / |w|)    for each unit, |w| over all its inputs

    In a recurrent layer the units of each gate are units, and what comes from the inputs and what comes from the state
    have a ball each.

    Source: Srivastava et al. 2014, Dropout, section 5.1 (there for hidden units; here the last layer is among them).

    Raises OptionError where there is a limit and no such layer learns.
    """

    def __init__(self, model: nn.Module, limit: float | None) -> None:
        self.limit = limit
        self._weights: Sequence[Weight] = []
        if limit is not None:
            self._weights = [weight for _, weight in weights_of(model)]
            if not self._weights:
                raise OptionError(f"--max-norm {limit:g}: {NOTHING_LEARNS}; leave it out.")

    @torch.no_grad()
    def apply(self) -> None:
        """Projects every unit, after an update. Units within the ball keep every bit."""
        for weight in self._weights:
            norm = torch.linalg.vector_norm(weight.parameter, dim=weight.incoming, keepdim=True)
            assert self.limit is not None
            weight.parameter.mul_(torch.where(norm > self.limit, self.limit / norm, 1.0))
