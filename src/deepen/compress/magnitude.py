"""Unstructured pruning: the smallest weights become zero and stay so.

    s(t) = s_end (1 - (1 - t / t_end)^3)        the part that is zero, t the part of the fine-tuning that is over

One-shot is t_end = 0. The smallest are taken over all layers together or in each layer for itself. Zeros make a network
neither faster nor its file smaller here, unless the file is packed: they say how much of it is needed.

Sources: Han et al. 2015, Learning both Weights and Connections (magnitude); Zhu and Gupta 2018, To Prune, or Not to
Prune (the cubic schedule).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

RAMP = 0.7  # the part of fine-tuning over which gradual pruning goes on; the rest heals


def prunable(network: nn.Module) -> dict[str, Tensor]:
    """The weights that are pruned, by name: matrices and kernels, no biases and norms; tied ones once."""
    found = {}
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1:
            found[name] = parameter
    return found


@torch.no_grad()
def masks(weights: Mapping[str, Tensor], sparsity: float, *, by_layer: bool = False) -> dict[str, Tensor]:
    """True where a weight stays. Exactly int(sparsity * count) go, of equals those that stand first.

    by_layer  of each layer the same part; else the smallest of all
    """
    if by_layer:
        return {name: masks({name: weight}, sparsity)[name] for name, weight in weights.items()}
    flat = torch.cat([weight.detach().abs().flatten() for weight in weights.values()])
    keep = torch.ones(len(flat), dtype=torch.bool, device=flat.device)
    keep[torch.argsort(flat, stable=True)[: int(sparsity * len(flat) + 1e-9)]] = False
    parts = keep.split([weight.numel() for weight in weights.values()])
    return {name: part.view(weight.shape) for (name, weight), part in zip(weights.items(), parts, strict=True)}


@torch.no_grad()
def zero(network: nn.Module, kept: Mapping[str, Tensor]) -> None:
    """Sets what does not stay to zero, in place."""
    known = dict(network.named_parameters())
    for name, mask in kept.items():
        known[name].mul_(mask)


def sparsity_at(progress: float, end: float, *, gradual: bool) -> float:
    """The part that is zero when this part of fine-tuning is over.

    >>> sparsity_at(0.0, 0.8, gradual=True), sparsity_at(0.9, 0.8, gradual=True)
    (0.0, 0.8)
    """
    if not gradual or progress >= RAMP:
        return end
    return end * (1 - (1 - progress / RAMP) ** 3)


class Pruning:
    """Called after each update of a fine-tuning, it keeps to zero what is to be zero; the masks only ever grow."""

    def __init__(self, sparsity: float, *, gradual: bool, by_layer: bool) -> None:
        self.sparsity, self.gradual, self.by_layer = sparsity, gradual, by_layer
        self._kept: dict[str, Tensor] = {}
        self._at = -1.0

    def __call__(self, network: nn.Module, progress: float) -> None:
        wanted = sparsity_at(progress, self.sparsity, gradual=self.gradual)
        if self._kept:
            zero(network, self._kept)
        if wanted > self._at:  # what is zero already is the smallest there is, so it stays among what goes
            self._kept, self._at = masks(prunable(network), wanted, by_layer=self.by_layer), wanted
            zero(network, self._kept)


def zeros(network: nn.Module) -> float:
    """The part of the prunable weights that is zero."""
    weights = prunable(network)
    count = sum(weight.numel() for weight in weights.values())
    return sum(int((weight == 0).sum()) for weight in weights.values()) / max(1, count)
