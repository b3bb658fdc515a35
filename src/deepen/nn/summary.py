"""A network as a table: its layers, their output shapes, parameters and multiply-adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layer:
    """One layer without layers inside.

    output         shape for one sample, without the batch
    parameters     of this layer alone
    multiply_adds  for one sample: of convolutions and matrix products, other layers count as 0
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int


def num_parameters(model: nn.Module) -> int:
    """Trainable parameters, tied ones once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def layers(model: nn.Module, inputs: Sequence[Tensor]) -> list[Layer]:
    """The layers in the order in which they are used, for one sample.

    inputs  what the network is called with, each [1, ...]
    """
    found: list[Layer] = []
    names = {module: name for name, module in model.named_modules()}

    def note(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        own = sum(p.numel() for p in module.parameters(recurse=False))
        shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()
        found.append(Layer(names[module], type(module).__name__, shape, own, _multiply_adds(module, output)))

    hooks = [m.register_forward_hook(note) for m in model.modules() if not any(m.children())]
    was_training = model.training
    try:
        with torch.no_grad():
            model.eval()(*inputs)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return found


def _multiply_adds(module: nn.Module, output: Tensor) -> int:
    """One for each weight and place where it is used."""
    if isinstance(module, nn.modules.conv._ConvNd):
        places = output[0].numel() // module.out_channels
        return module.weight.numel() * places
    if isinstance(module, nn.Linear):
        return module.weight.numel() * (output[0].numel() // module.out_features)
    return 0
