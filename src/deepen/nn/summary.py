"""A network as a table: its layers, their output shapes, parameters and multiply-adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


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


def operation_counter() -> FlopCounterMode:
    """PyTorch's counter of operations, two for a multiplication and its addition, which also knows what it leaves out
    on CPUs: the recurrent layers of oneDNN, and attention in one operation."""
    more = {
        torch.ops.aten.mkldnn_rnn_layer: _of_recurrent,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _of_attention,
    }
    return FlopCounterMode(display=False, custom_mapping=more)


def _of_recurrent(x: torch.Size, w: torch.Size, u: torch.Size, *rest: Any, **shapes: Any) -> int:
    """From shapes: x [T, B, I], weights [G H, I] and [G H, H]."""
    return 2 * x[0] * x[1] * (w.numel() + u.numel())


def _of_attention(query: torch.Size, key: torch.Size, value: torch.Size, *rest: Any, **shapes: Any) -> int:
    """From shapes: query [B, H, T, D], key [B, H, S, D], value [B, H, S, E]."""
    return 2 * query.numel() * key[2] + 2 * query[:3].numel() * value[2] * value[3]


def num_parameters(model: nn.Module) -> int:
    """Trainable parameters, tied ones once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def layers(model: nn.Module, inputs: Sequence[Tensor]) -> list[Layer]:
    """The layers in the order in which they are used, for one sample; what a network computes outside of any layer of
    its own stands in a last line that bears the network's name.

    inputs  what the network is called with, each [1, ...]
    """
    seen: list[tuple[str, nn.Module, tuple[int, ...]]] = []
    names = {module: name for name, module in model.named_modules()}

    def note(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((names[module], module, tuple(output.shape[1:]) if isinstance(output, Tensor) else ()))

    hooks = [m.register_forward_hook(note) for m in model.modules() if not any(m.children())]
    was_training = model.training
    counter = operation_counter()
    try:
        with torch.no_grad(), counter:
            model.eval()(*inputs)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return _rows(model, seen, counter)


def _rows(
    model: nn.Module, seen: list[tuple[str, nn.Module, tuple[int, ...]]], counter: FlopCounterMode
) -> list[Layer]:
    """PyTorch counts two operations for a multiplication and its addition; both together are one here."""
    by_module = {name: sum(counts.values()) // 2 for name, counts in counter.get_flop_counts().items()}
    root = type(model).__name__
    found = []
    for name, module, shape in seen:
        own = sum(p.numel() for p in module.parameters(recurse=False))
        found.append(Layer(name, type(module).__name__, shape, own, by_module.get(f"{root}.{name}", 0)))
    rest = counter.get_total_flops() // 2 - sum(layer.multiply_adds for layer in found)
    parameters = num_parameters(model) - sum(layer.parameters for layer in found)
    if found and (rest > 0 or parameters > 0):
        found.append(Layer("", root, found[-1].output, parameters, rest))
    return found
