"""The part of a network that can be trained layer by layer: linear layers, each with the same nonlinearity after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Activation = Literal["relu", "sigmoid", "tanh", "linear"]


@dataclass(frozen=True)
class LayerStack:
    """The hidden layers of a network, the first below.

    layers      each takes vectors [B, D], and what it gives goes through the activation to the one above
    activation  what follows each of them
    """

    layers: tuple[nn.Linear, ...]
    activation: Activation


@runtime_checkable
class Stacked(Protocol):
    """A network that says which of its layers are a stack. Whoever looks for such networks looks for `def stack(`."""

    def stack(self) -> LayerStack:
        """Its hidden layers."""
        ...


def activated(x: Tensor, activation: Activation) -> Tensor:
    """The nonlinearity, element by element.

    >>> activated(torch.tensor([-1.0, 2.0]), "relu").tolist()
    [0.0, 2.0]
    """
    functions = {"relu": F.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}
    return functions[activation](x) if activation in functions else x


def bounds(activation: Activation) -> tuple[float, float] | None:
    """The least and the largest value that the nonlinearity can give, None where one of them is infinite."""
    return {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}.get(activation)
