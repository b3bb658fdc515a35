"""A network with fewer channels: its tensors cut to what is kept, and the layers told of their new sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

Kept = Mapping[str, Mapping[int, Tensor]]


def rebuild(network: nn.Module, change: Mapping[str, Any]) -> None:
    """Brings the named tensors to their new shapes; the values come with the weights.

    Raises ValueError for a shape that is no cut of what was there.
    """
    shapes = {name: tuple(shape) for name, shape in change["shapes"].items()}
    known = dict(_named(network))
    cut: dict[int, Tensor] = {}
    for name, shape in shapes.items():
        old = known[name]
        fits = len(shape) == old.dim() and all(
            isinstance(a, int) and 1 <= a <= b for a, b in zip(shape, old.shape, strict=True)
        )
        if not fits:
            raise ValueError(f"{name} of {tuple(old.shape)} cannot be cut to {shape}")
        cut[id(old)] = _like(old, old.detach().new_empty(shape))
    _put(network, cut, change["groups"])


def resize(network: nn.Module, kept: Kept, groups: Mapping[str, int]) -> dict[str, Any]:
    """Keeps these places of these dimensions of the named tensors, in place; the change.

    groups  of the convolutions that get another number of them
    """
    known = dict(_named(network))
    cut: dict[int, Tensor] = {}
    for name, dimensions in kept.items():
        tensor = known[name].detach()
        for dimension, places in dimensions.items():
            tensor = tensor.index_select(dimension, places)
        cut[id(known[name])] = _like(known[name], tensor.contiguous())
    _put(network, cut, groups)
    after = dict(_named(network))
    return {
        "step": "resize",
        "shapes": {name: list(after[name].shape) for name in kept},
        "groups": dict(groups),
    }


def _named(network: nn.Module) -> list[tuple[str, Tensor]]:
    """Every parameter and buffer under each of its names."""
    return [
        *network.named_parameters(remove_duplicate=False),
        *network.named_buffers(remove_duplicate=False),
    ]


def _like(old: Tensor, new: Tensor) -> Tensor:
    return nn.Parameter(new, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else new


def _put(network: nn.Module, cut: Mapping[int, Tensor], groups: Mapping[str, int]) -> None:
    """Puts the new tensors wherever the old ones stand, tied ones too."""
    for module in network.modules():
        for held in (module._parameters, module._buffers):
            for name, tensor in list(held.items()):
                if tensor is not None and id(tensor) in cut:
                    held[name] = cut[id(tensor)]  # type: ignore[assignment]
    for name, count in groups.items():
        network.get_submodule(name).groups = count  # type: ignore[assignment]
    for module in network.modules():
        _tell(module)


def _tell(module: Any) -> None:
    """What a layer says of itself, by the shapes of its tensors."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        module.out_channels = module.weight.shape[0]
        module.in_channels = module.weight.shape[1] * module.groups
    elif isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
        module.num_features = len(module.running_mean)
    elif isinstance(module, nn.Embedding):
        module.embedding_dim = module.weight.shape[1]


def index(places: list[int]) -> Tensor:
    """Places as a tensor to select by."""
    return torch.tensor(places, dtype=torch.int64)
