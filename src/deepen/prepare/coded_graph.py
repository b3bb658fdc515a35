"""An autoencoder with the preparation of its pictures as one network, for export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from deepen.prepare import image_graph
from deepen.prepare.image import normalized


class CodedGraph(nn.Module):
    """pixels [B, H, W, C] uint8 -> outputs [B, D + 2], or [B, D + 4] of a network that bounds a likelihood.

    What the columns are, and what the inputs `noise` [B, C, H, W] and `draws` [B, D] are for, is said in
    runtime/answer_features.py. `noise` is read where `has_noise`, `draws` where the network has a bound.
    """

    mean_image: Tensor

    def __init__(self, network: nn.Module, state: Mapping[str, Any], mean_image: Tensor, *, has_noise: bool) -> None:
        super().__init__()
        self.network, self.state, self.has_noise = network, state, has_noise
        self.register_buffer("mean_image", mean_image)
        normalized(image_graph.examples(state)["pixels"], state)  # its numbers are made once: not while this is traced

    def forward(self, pixels: Tensor, first: Tensor | None = None, second: Tensor | None = None) -> Tensor:
        """The outputs."""
        clean = normalized(pixels.permute(0, 3, 1, 2), self.state)
        fed = clean + first if self.has_noise and first is not None else clean
        return outputs_of(self.network, fed, clean, self.mean_image, second if self.has_noise else first)


def outputs_of(network: Any, fed: Tensor, clean: Tensor, mean_image: Tensor, draws: Tensor | None) -> Tensor:
    """The columns for images that are fed, [B, C, H, W], against clean ones.

    draws  [B, D] of a network that bounds a likelihood, else None
    """
    if draws is None:
        decoded, codes, _ = network(fed)
        bounds = []
    else:
        decoded, codes, *terms = network.at(fed, draws, clean)
        bounds = [term[:, None] for term in terms]
    columns = [squared(decoded - clean)[:, None], squared(clean.flatten(1) - mean_image)[:, None]]
    return torch.cat([codes, *columns, *bounds], dim=1)


def squared(differences: Tensor) -> Tensor:
    """The mean of the squares of each row, [B]."""
    return differences.float().square().flatten(1).mean(dim=1)


def zeros_of(state: Mapping[str, Any], *, has_noise: bool, draws: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the inputs beside the pixels, of one row, in their order.

    draws  how many numbers a draw has, 0 where there are none
    """
    noise = {"noise": (state["channels"], *state["size"])} if has_noise else {}
    return {**noise, **({"draws": (draws,)} if draws else {})}
