"""Newton's method for small problems: the whole data set in each update, and never a step that raises the loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

MOST_PARAMETERS = 100_000
FORCING = 0.1  # the linear system is solved to this part of the gradient at most, and more closely near the minimum
SUFFICIENT = 1e-4  # of the descent that the slope promises, the part that a step must keep (Armijo)
MOST_HALVINGS = 20


class Objective(Protocol):
    """The mean loss over the data as a function of the weights, which may be asked for more than once."""

    def value(self) -> float:
        """The loss at the weights as they are."""
        ...

    def product(self, vectors: Sequence[Tensor]) -> list[Tensor]:
        """The Hessian at the weights as they are, times a vector that is cut up like the parameters."""
        ...


class Newton(torch.optim.Optimizer):
    """Truncated Newton: conjugate gradients on exact products with the Hessian, then a line search.

        (H + (weight_decay + damping) I) d = -g          g, H of the mean loss; g with weight_decay w added
        w <- w + t lr d                                  t = 1, 1/2, 1/4, ... until
        f(w + t lr d) <= f(w) + 1e-4 t lr g.d            f: mean loss + weight_decay |w|^2 / 2

    The system is solved until its residual is min(0.1, sqrt|g|) |g|, which makes convergence superlinear, or until
    `iterations` products. Where curvature is negative the solution found until then is taken, at the start -g. If no
    length lowers the loss, the weights stay.
    Source: Nocedal and Wright, Numerical Optimization, 2nd ed., algorithms 3.1 and 7.1; the products: Pearlmutter, Fast
    Exact Multiplication by the Hessian, 1994.
    """

    def __init__(self, params: Any, *, lr: float, damping: float, iterations: int) -> None:
        defaults = {"lr": lr, "damping": damping, "iterations": iterations, "weight_decay": 0.0}
        super().__init__(params, defaults)

    @torch.no_grad()
    def descend(self, objective: Objective) -> None:
        """One update from the gradients, with as many looks at the objective as it needs.

        objective  its products take and return one tensor for each parameter, in the order of the groups
        """
        weights = [p for group in self.param_groups for p in group["params"]]
        groups = [group for group in self.param_groups for _ in group["params"]]
        decays, rates = [g["weight_decay"] for g in groups], [g["lr"] for g in groups]
        gradient = [
            (torch.zeros_like(p) if p.grad is None else p.grad) + decay * p
            for p, decay in zip(weights, decays, strict=True)
        ]

        def product(vectors: list[Tensor]) -> list[Tensor]:
            found = objective.product(vectors)
            added = [decay + group["damping"] for decay, group in zip(decays, groups, strict=True)]
            return [h + extra * v for h, extra, v in zip(found, added, vectors, strict=True)]

        def value() -> float:
            pairs = zip(weights, decays, strict=True)
            return objective.value() + sum(decay / 2 * dot([p], [p]) for p, decay in pairs if decay)

        solved = solve(product, gradient, most=groups[0]["iterations"])
        direction = [rate * d for rate, d in zip(rates, solved, strict=True)]
        slope = dot(gradient, direction)
        if not slope < 0:
            direction = [-rate * g for rate, g in zip(rates, gradient, strict=True)]
            slope = dot(gradient, direction)
        _search(weights, direction, slope, value)

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Refused: Newton's method needs `descend`, with the objective."""
        raise AssertionError("Newton.descend takes the objective; there is no step from gradients alone")


def solve(product: Callable[[list[Tensor]], list[Tensor]], gradient: list[Tensor], *, most: int) -> list[Tensor]:
    """The direction d with A d = -g for the symmetric A behind `product`, as far as it is worth the work.

    most  products
    """
    size = math.sqrt(dot(gradient, gradient))
    target = min(FORCING, math.sqrt(size)) * size
    direction = [torch.zeros_like(g) for g in gradient]
    residual = [-g for g in gradient]
    search, error = [r.clone() for r in residual], size * size
    for count in range(most):
        if math.sqrt(error) <= target:
            break
        image = product(search)
        curvature = dot(search, image)
        if not curvature > 0:
            return [-g for g in gradient] if count == 0 else direction
        length = error / curvature
        direction = [d + length * s for d, s in zip(direction, search, strict=True)]
        residual = [r - length * i for r, i in zip(residual, image, strict=True)]
        before, error = error, dot(residual, residual)
        search = [r + error / before * s for r, s in zip(residual, search, strict=True)]
    return direction


def dot(first: Sequence[Tensor], second: Sequence[Tensor]) -> float:
    """The inner product over all parameters, added up in double precision."""
    return sum(float((a.double() * b.double()).sum()) for a, b in zip(first, second, strict=True))


def _search(weights: list[Tensor], direction: list[Tensor], slope: float, value: Callable[[], float]) -> None:
    """Moves along the direction by the first of 1, 1/2, 1/4, ... that lowers the value enough, else not at all."""
    start, before = [p.clone() for p in weights], value()
    length = 1.0
    for _ in range(MOST_HALVINGS if slope < 0 else 0):
        for p, origin, d in zip(weights, start, direction, strict=True):
            p.copy_(origin + length * d)
        if value() <= before + SUFFICIENT * length * slope:
            return
        length /= 2
    for p, origin in zip(weights, start, strict=True):
        p.copy_(origin)
