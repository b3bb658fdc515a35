"""Modules whose tensors are as large as what they have read, which only their weights say.

A run is loaded into a network that is built without memory, and its weights have to fit it. A module with `size_like`
takes the sizes from the weights first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class SizedByState(Protocol):
    """A module that brings its tensors to the shapes of a state, without taking its values."""

    def size_like(self, state: Mapping[str, Tensor]) -> None:
        """`state` holds the module's own tensors under their names in it. Raises ShapeError for what cannot be its."""
        ...


def size_like(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Brings every such module in a network to the shapes of the network's state."""
    for name, module in model.named_modules():
        if isinstance(module, SizedByState):
            prefix = f"{name}." if name else ""
            module.size_like({key.removeprefix(prefix): t for key, t in state.items() if key.startswith(prefix)})
