"""Numbers on a grid of 2^b steps: how they are rounded to it, and which grid suits them.

    q = clamp(round(x / s) + z, low, high),    x ~ (q - z) s

Two grids are used. Affine with any step s: of activations z and [0, 2^b - 1] are chosen so that 0 is on the grid, of
weights z = 0 and both signs go equally far. Dynamic fixed point: s is a power of two, the same within a group of
numbers, z = 0, and [-2^(b-1), 2^(b-1) - 1].

Sources: Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference, section 2.1; Courbariaux, Bengio and David 2015, Training Deep Neural Networks with Low Precision
Multiplications, section 5 (dynamic fixed point); Goodfellow, Bengio and Courville 2016, Deep Learning, section 12.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

CLIPS = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)  # parts of the range among which the one of least error is taken


@dataclass(frozen=True)
class Grid:
    """Where numbers are rounded to."""

    scale: float
    zero: int
    low: int
    high: int

    def as_list(self) -> list[float]:
        """JSON-able."""
        return [self.scale, self.zero, self.low, self.high]

    @classmethod
    def of_list(cls, values: Sequence[float]) -> Grid:
        """What `as_list` gave. Raises ValueError for what is no grid."""
        scale, zero, low, high = values
        if not (math.isfinite(scale) and scale > 0 and low <= zero <= high and -(2**15) <= low < high < 2**16):
            raise ValueError(f"{list(values)} is no grid")
        return cls(float(scale), int(zero), int(low), int(high))


def rounded(x: Tensor, grid: Grid) -> Tensor:
    """x at the nearest place of the grid. By the inverse of the step, as integer kernels do it."""
    q = torch.clamp(torch.round(x * (1.0 / grid.scale)) + grid.zero, grid.low, grid.high)
    return (q - grid.zero) * grid.scale


def straight_through(x: Tensor, grid: Grid) -> Tensor:
    """The same with the gradient of the clamped x: rounding passes it on as it is (Bengio, Leonard, Courville 2013)."""
    inside = x.clamp((grid.low - grid.zero) * grid.scale, (grid.high - grid.zero) * grid.scale)
    return inside + (rounded(x, grid) - inside).detach()


def affine_grid(values: Tensor, bits: int, *, low: float, high: float, search: bool) -> Grid:
    """The grid for activations.

    values     some of them, to judge errors by
    low, high  the least and the largest that was seen
    search     clip where that makes the mean squared error smaller
    """
    low, high = min(0.0, low), max(0.0, high)
    best, least = None, math.inf
    for clip in CLIPS if search else CLIPS[:1]:
        scale = max((high - low) * clip / (2**bits - 1), 1e-12)
        grid = Grid(scale, round(min(max(-low * clip / scale, 0), 2**bits - 1)), 0, 2**bits - 1)
        error = float((rounded(values, grid) - values).square().mean()) if len(values) else 0.0
        if error < least:
            best, least = grid, error
    assert best is not None, "numbers that were seen are finite"
    return best


def fixed_point_grid(values: Tensor, bits: int, *, largest: float) -> Grid:
    """The power of two that holds the largest number, or half of it where the mean squared error is smaller so."""
    top = 2 ** (bits - 1)
    exponent = math.ceil(math.log2(max(largest, 2.0**-30))) - (bits - 1)
    found = [Grid(2.0**e, 0, -top, top - 1) for e in (exponent, exponent - 1, exponent - 2)]
    return min(found, key=lambda grid: float((rounded(values, grid) - values).square().mean()) if len(values) else 0.0)


def weight_scales(weight: Tensor, bits: int, *, per_channel: bool, power_of_two: bool) -> Tensor:
    """The steps of weights [O] or [1], float32."""
    flat = weight.detach().flatten(1) if per_channel else weight.detach().reshape(1, -1)
    if power_of_two:
        return torch.tensor([fixed_point_grid(row, bits, largest=float(row.abs().max())).scale for row in flat])
    return (flat.abs().amax(1) / (2 ** (bits - 1) - 1)).clamp_min(1e-12).float()


def weight_limits(bits: int, *, power_of_two: bool) -> tuple[int, int]:
    """The least and the largest whole number of a weight."""
    top = 2 ** (bits - 1)
    return (-top if power_of_two else 1 - top), top - 1


def whole_numbers(weight: Tensor, scales: Tensor, bits: int, *, power_of_two: bool) -> Tensor:
    """The weights as int8, or int16 where they have more than 8 bits."""
    low, high = weight_limits(bits, power_of_two=power_of_two)
    q = torch.round(weight.detach() / spread(scales, weight.dim())).clamp(low, high)
    return q.to(torch.int8 if bits <= 8 else torch.int16)


def spread(scales: Tensor, dim: int) -> Tensor:
    """[O] as [O, 1, ...], to be multiplied to weights."""
    return scales.view(-1, *[1] * (dim - 1))
