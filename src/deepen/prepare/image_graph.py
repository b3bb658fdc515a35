"""The normalization of pixels as a part of a network, so that an exported graph takes them as they are decoded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from deepen.prepare.image import normalized


class ImageGraph(nn.Module):
    """A network on pictures that takes pixels [B, H, W, C] uint8."""

    def __init__(self, network: nn.Module, state: Mapping[str, Any]) -> None:
        super().__init__()
        self.network, self.state = network, state
        normalized(examples(state)["pixels"], state)  # its numbers are made once and kept: not while this is traced

    def forward(self, pixels: Tensor) -> Tensor:
        """The network's own outputs."""
        return self.network(normalized(pixels.permute(0, 3, 1, 2), self.state))


def examples(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Two pictures as a graph takes them, by the name of its input."""
    shape = (2, *state["size"], state["channels"])
    return {"pixels": (torch.arange(torch.Size(shape).numel()) % 251).to(torch.uint8).reshape(shape)}


def without_normalization(state: Mapping[str, Any]) -> dict[str, Any]:
    """What decoding and resizing in front of the graph need."""
    return {name: state[name] for name in ("size", "channels", "background", "resize")}
