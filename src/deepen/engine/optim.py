"""Optimizers by name, PyTorch's fused ones where it has them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepen.engine.options import OptimizerOptions


def build(options: OptimizerOptions, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer over the model's trainable parameters, in two groups: those that decay and those that do not."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.dim() > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in trainable if p.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if options.kind == "sgd":
        return torch.optim.SGD(
            groups,
            lr=options.learning_rate,
            momentum=options.momentum,
            nesterov=options.nesterov and options.momentum > 0,
            fused=True,
        )
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[options.kind]
    betas = (options.beta1, options.beta2)
    return kind(groups, lr=options.learning_rate, betas=betas, eps=options.epsilon, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def state_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory by names that depend only on the order of parameters: "3.exp_avg"."""
    found = {}
    for index, parameter in enumerate(_parameters(optimizer)):
        for name, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                found[f"{index}.{name}"] = value
    return found


def restore(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Gives an optimizer the memory that `state_tensors` returned, in each parameter's own memory layout.

    The layout matters: a fused step walks parameter and memory in the order of storage.
    """
    parameters = _parameters(optimizer)
    for name, value in tensors.items():
        index, _, field = name.partition(".")
        parameter = parameters[int(index)]
        if value.shape == parameter.shape:
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        optimizer.state[parameter][field] = value


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
