"""Layers that learn with the rounding they will answer with: quantization-aware training.

Weights and inputs are rounded on the way forward, and the gradient passes as if they were not (straight-through). Names
and shapes of the parameters are the layers' own, so weights go from the plain network to this one and back.

Source: Jacob et al. 2018, Quantization and Training of Neural Networks, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from deepen.compress.rounding import Grid, spread, straight_through, weight_limits, weight_scales


def rebuild(network: nn.Module, change: Mapping[str, Any]) -> None:
    """Linear layers and convolutions of the named ones learn with rounding; the others go on as they are."""
    for name, spec in change["layers"].items():
        layer: Any = network.get_submodule(name)
        kind = _AWARE.get(type(layer))
        if kind is None:
            continue
        layer.__class__ = kind
        layer.spec = dict(spec)


def aware_weight(weight: Tensor, spec: Mapping[str, Any]) -> Tensor:
    """The weights on their grid, which follows them as they move."""
    power_of_two = spec["power_of_two"]
    scales = weight_scales(weight, spec["bits"], per_channel=spec["per_channel"], power_of_two=power_of_two)
    low, high = weight_limits(spec["bits"], power_of_two=power_of_two)
    steps = spread(scales.to(weight.device), weight.dim())
    return straight_through(weight / steps, Grid(1.0, 0, low, high)) * steps


def aware_input(x: Tensor, spec: Mapping[str, Any]) -> Tensor:
    """The input on its grid."""
    return x if spec["input"] is None else straight_through(x, Grid.of_list(spec["input"]))


class AwareLinear(nn.Linear):
    """As nn.Linear, with rounding."""

    spec: Mapping[str, Any]

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(aware_input(input, self.spec), aware_weight(self.weight, self.spec), self.bias)


class AwareConv1d(nn.Conv1d):
    """As nn.Conv1d, with rounding."""

    spec: Mapping[str, Any]

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(aware_input(input, self.spec), aware_weight(self.weight, self.spec), self.bias)


class AwareConv2d(nn.Conv2d):
    """As nn.Conv2d, with rounding."""

    spec: Mapping[str, Any]

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(aware_input(input, self.spec), aware_weight(self.weight, self.spec), self.bias)


_AWARE: dict[type, type] = {nn.Linear: AwareLinear, nn.Conv1d: AwareConv1d, nn.Conv2d: AwareConv2d}
