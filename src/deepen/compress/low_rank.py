"""Layers as the product of two thinner ones: the largest singular values of their weights, as many as hold the energy.

    W [O, I] = U S V^T,    W ~ (U_r sqrt(S_r)) (sqrt(S_r) V_r^T)

    r the least with  sum of the first r s_i^2  >=  energy * sum of all s_i^2

A convolution W [O, I, h, w], as a matrix [O, I h w], becomes one of the same kernel with r maps and one of 1x1 behind
it (Zhang, Zou, He and Sun 2016, Accelerating Very Deep Convolutional Networks, section 2, without its data term).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from deepen.compress.replace import replace


class LowRankLinear(nn.Module):
    """x [..., I] -> [..., O] through r numbers."""

    def __init__(self, inputs: int, outputs: int, rank: int, *, bias: bool) -> None:
        super().__init__()
        self.in_features, self.out_features = inputs, outputs
        self.inner = nn.Linear(inputs, rank, bias=False)
        self.outer = nn.Linear(rank, outputs, bias=bias)

    @property
    def weight(self) -> Tensor:
        """The matrix [O, I] that both are together."""
        return self.outer.weight @ self.inner.weight

    @property
    def bias(self) -> Tensor | None:
        return self.outer.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(x))


class LowRankConv2d(nn.Module):
    """x [B, I, H, W] -> [B, O, H', W'] through r maps."""

    def __init__(self, like: nn.Conv2d, rank: int) -> None:
        super().__init__()
        self.in_channels, self.out_channels = like.in_channels, like.out_channels
        geometry: dict[str, Any] = {
            "stride": like.stride,
            "padding": like.padding,
            "dilation": like.dilation,
            "padding_mode": like.padding_mode,
        }
        kernel: Any = like.kernel_size
        self.inner = nn.Conv2d(like.in_channels, rank, kernel, bias=False, **geometry)
        self.outer = nn.Conv2d(rank, like.out_channels, 1, bias=like.bias is not None)

    @property
    def bias(self) -> Tensor | None:
        return self.outer.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(x))


def rebuild(network: nn.Module, change: Mapping[str, Any]) -> None:
    """Puts thin pairs in the place of the layers; the values come with the weights."""
    for name, rank in change["ranks"].items():
        layer = network.get_submodule(name)
        if not is_fit(layer) or not 1 <= rank <= max_rank(layer):
            raise ValueError(f"{name} has no rank {rank}")
        replace(network, name, _pair(layer, rank))


def factorize(network: nn.Module, names: Iterable[str], energy: float) -> dict[str, Any] | None:
    """Factorizes those of the named layers that get smaller by it, in place; the change, None if there is none."""
    ranks = {}
    for name in names:
        layer = network.get_submodule(name)
        if not is_fit(layer):
            continue
        u, s, v = torch.linalg.svd(_matrix(layer).double(), full_matrices=False)
        rank = rank_of(s, energy)
        if rank > max_rank(layer):
            continue
        pair: Any = _pair(layer, rank)
        root = s[:rank].sqrt()
        with torch.no_grad():
            pair.outer.weight.copy_((u[:, :rank] * root).view_as(pair.outer.weight))
            pair.inner.weight.copy_((root[:, None] * v[:rank]).view_as(pair.inner.weight))
            if pair.outer.bias is not None:
                pair.outer.bias.copy_(layer.bias)  # type: ignore[arg-type]
        replace(network, name, pair)
        ranks[name] = rank
    return {"step": "low-rank", "ranks": ranks} if ranks else None


def rank_of(singular: Tensor, energy: float) -> int:
    """How many of these values, the largest first, hold this part of the sum of their squares; at least 1.

    >>> rank_of(torch.tensor([2.0, 1.0, 1.0]), 0.8)
    2
    """
    held = singular.double().square().cumsum(0)
    return int((held < energy * held[-1] * (1 - 1e-12)).sum()) + 1


def is_fit(layer: nn.Module) -> bool:
    """Whether a layer is of a kind that can be factorized."""
    return type(layer) is nn.Linear or (type(layer) is nn.Conv2d and layer.groups == 1)


def max_rank(layer: nn.Module) -> int:
    """The largest rank with which both parts together hold fewer numbers than the layer."""
    outputs, inputs = _matrix(layer).shape
    return (outputs * inputs - 1) // (outputs + inputs)


def _matrix(layer: nn.Module) -> Tensor:
    weight: Any = layer.weight
    return weight.detach().flatten(1)


def _pair(layer: nn.Module, rank: int) -> nn.Module:
    weight: Any = layer.weight
    with weight.device:
        if isinstance(layer, nn.Conv2d):
            return LowRankConv2d(layer, rank)
        assert isinstance(layer, nn.Linear)
        return LowRankLinear(layer.in_features, layer.out_features, rank, bias=layer.bias is not None)
