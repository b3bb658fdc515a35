"""Batch normalization folded into the convolution or linear layer before it: fewer layers, the same answers.

    y = gamma * (W x + b - mean) / sqrt(var + eps) + beta
      = (gamma / sqrt(var + eps)) W x  +  (b - mean) gamma / sqrt(var + eps) + beta

Source: Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from deepen.compress.replace import replace

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)
Norm = nn.modules.batchnorm._BatchNorm


def rebuild(network: nn.Module, change: Mapping[str, Any]) -> None:
    """The layers of each pair get a bias, the norms give way to nothing; the values come with the weights."""
    for layer_name, norm_name in change["pairs"]:
        layer = network.get_submodule(layer_name)
        if not isinstance(layer, LAYERS) or not isinstance(network.get_submodule(norm_name), Norm):
            raise ValueError(f"{layer_name} and {norm_name} are no layer and batch norm")
        if layer.bias is None:
            layer.bias = nn.Parameter(layer.weight.new_zeros(layer.weight.shape[0]))
        replace(network, norm_name, nn.Identity())


def fold(network: nn.Module, call: Callable[[nn.Module], Tensor]) -> dict[str, Any] | None:
    """Folds every batch norm that reads the output of one layer alone, in place; the change, None if there is none.

    call  a pass through the network in evaluation mode, whose outputs must stay
    """
    pairs = pairs_of(network, call)
    for layer_name, norm_name in pairs:
        _fold(network.get_submodule(layer_name), network.get_submodule(norm_name))
        replace(network, norm_name, nn.Identity())
    return {"step": "fold-batch-norms", "pairs": [list(pair) for pair in pairs]} if pairs else None


def pairs_of(network: nn.Module, call: Callable[[nn.Module], Tensor]) -> list[tuple[str, str]]:
    """(layer, norm) where what the layer gives is read by the norm and by nothing else, and both are used once.

    Read elsewhere is what changes the outputs when it is spoiled while the norm still gets the true one.
    """
    outputs: dict[int, tuple[str, Tensor]] = {}
    uses: dict[str, int] = {}
    found: list[tuple[str, str]] = []
    names = {module: name for name, module in network.named_modules()}

    def note(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        uses[names[module]] = uses.get(names[module], 0) + 1
        if isinstance(module, Norm) and given and id(given[0]) in outputs:
            found.append((outputs[id(given[0])][0], names[module]))
        if isinstance(module, LAYERS):
            outputs[id(output)] = (names[module], output)

    hooks = [each.register_forward_hook(note) for each in network.modules() if isinstance(each, (Norm, *LAYERS))]
    try:
        with torch.no_grad():
            right = call(network)
    finally:
        for hook in hooks:
            hook.remove()
    candidates = [
        pair for pair in found if uses[pair[0]] == 1 and uses[pair[1]] == 1 and _has_statistics(network, pair)
    ]
    return [pair for pair in candidates if _alone(network, pair, call, right)]


def _has_statistics(network: nn.Module, pair: tuple[str, str]) -> bool:
    norm: Any = network.get_submodule(pair[1])
    layer: Any = network.get_submodule(pair[0])
    return norm.running_mean is not None and norm.num_features == layer.weight.shape[0]


def _alone(network: nn.Module, pair: tuple[str, str], call: Callable[[nn.Module], Tensor], right: Tensor) -> bool:
    """Whether the outputs stay when the layer gives something else, and the norm is handed the true values."""
    layer, norm = (network.get_submodule(name) for name in pair)
    held: list[Tensor] = []

    def spoil(module: nn.Module, given: tuple[Any, ...], output: Tensor) -> Tensor:
        held.append(output)
        return output + 1.0

    hooks = [
        layer.register_forward_hook(spoil),
        norm.register_forward_pre_hook(lambda module, given: (held[-1], *given[1:])),
    ]
    try:
        with torch.no_grad():
            return torch.equal(call(network), right)
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def _fold(layer: Any, norm: Any) -> None:
    factor = torch.rsqrt(norm.running_var + norm.eps)
    if norm.weight is not None:
        factor = factor * norm.weight
    bias = torch.zeros_like(norm.running_mean) if layer.bias is None else layer.bias
    shift = (bias - norm.running_mean) * factor
    if norm.bias is not None:
        shift = shift + norm.bias
    layer.weight.mul_(factor.view(-1, *[1] * (layer.weight.dim() - 1)))
    layer.bias = nn.Parameter(shift.clone())
