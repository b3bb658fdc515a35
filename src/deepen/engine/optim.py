"""Optimizers by name: PyTorch's fused ones where it has them, its grouped ones where not, else our own."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor, nn

from deepen.core.errors import OptionError
from deepen.engine.optim_eager import eager
from deepen.engine.optim_kinds import FULL_BATCH, filled
from deepen.engine.optim_lars import Lars
from deepen.engine.optim_newton import MOST_PARAMETERS, Newton, Objective
from deepen.engine.optim_yogi import Yogi
from deepen.engine.options import FitOptions, OptimizerOptions
from deepen.engine.parameter_groups import PLACES, RATE_SCALE, groups

_BESIDE_THE_LOSS = ("l1", "l2", "max_norm", "weight_noise", "clip_norm", "clip_value")


def build(options: OptimizerOptions, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer over the model's trainable parameters, in the groups of `parameter_groups`."""
    o = filled(options)
    found, rate, epsilon = groups(model, o), o.learning_rate or 0.0, o.epsilon or 0.0
    momentum, rho, betas = o.momentum or 0.0, o.rho or 0.0, (o.beta1 or 0.0, o.beta2 or 0.0)
    match o.kind:
        case "sgd":
            nesterov = bool(o.nesterov) and momentum > 0
            return eager(torch.optim.SGD)(found, lr=rate, momentum=momentum, nesterov=nesterov, fused=True)
        case "gradient-descent":
            return eager(torch.optim.SGD)(found, lr=rate, fused=True)
        case "adagrad":
            is_on_cpu = all(p.device.type == "cpu" for p in model.parameters())  # CUDA has no fused one everywhere
            fast = {"fused": True} if is_on_cpu else {"foreach": True}
            return eager(torch.optim.Adagrad)(found, lr=rate, eps=epsilon, **fast)
        case "rmsprop":
            centered = bool(o.centered)
            return eager(torch.optim.RMSprop)(
                found, lr=rate, alpha=rho, eps=epsilon, momentum=momentum, centered=centered, foreach=True
            )
        case "adadelta":
            return eager(torch.optim.Adadelta)(found, lr=rate, rho=rho, eps=epsilon, foreach=True)
        case "yogi":
            return eager(Yogi)(found, lr=rate, betas=betas, eps=epsilon)
        case "lars":
            return eager(Lars)(found, lr=rate, momentum=momentum, trust=o.trust or 0.0)
        case "newton":
            return eager(Newton)(found, lr=rate, damping=o.damping or 0.0, iterations=o.iterations or 1)
        case _:
            kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[o.kind]
            return eager(kind)(found, lr=rate, betas=betas, eps=epsilon, fused=True)


def adapted(options: FitOptions, num_rows: int) -> FitOptions:
    """The options with every number of the optimizer, and with one update per epoch where it takes all data at once.

    There `batch_size` bounds the memory, as micro-batches of the one batch.
    """
    options = dataclasses.replace(options, optimizer=filled(options.optimizer))
    if options.optimizer.kind not in FULL_BATCH:
        return options
    at_once = math.ceil(options.batch_size / options.accumulate)
    return dataclasses.replace(options, batch_size=num_rows, accumulate=math.ceil(num_rows / at_once))


def require_fit(options: FitOptions, model: nn.Module) -> None:
    """Raises OptionError where the method cannot train this network in this way."""
    if options.optimizer.kind != "newton":
        return
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if count > MOST_PARAMETERS:
        raise OptionError(
            f"--optimizer.kind newton: expected a network of at most {MOST_PARAMETERS:,} parameters, but this one has "
            f"{count:,}; take a smaller one, or another optimizer such as adamw."
        )
    if options.precision != "fp32" or options.compile:
        said = "--compile" if options.compile else f"--precision {options.precision}"
        raise OptionError(f"{said}: newton differentiates twice, in fp32 and uncompiled; leave it out.")
    changed = [name for name in _BESIDE_THE_LOSS if getattr(options, name)]
    if changed:
        raise OptionError(
            f"--{changed[0].replace('_', '-')}: newton minimizes the loss and --optimizer.weight-decay alone, in "
            "steps that a line search bounds; leave it out."
        )


def needs_objective(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an update must be able to ask for the loss at other weights, and for products with the Hessian."""
    return isinstance(optimizer, Newton)


def step(optimizer: torch.optim.Optimizer, *, bad: Tensor | None = None, objective: Objective | None = None) -> None:
    """One update from the gradients, left out where `bad`, a scalar on the device, is 1.

    A fused step reads it on the device. For the others it is read here, which waits for the device.
    """
    if bad is not None and optimizer.defaults.get("fused"):
        optimizer.found_inf = bad.float()  # type: ignore[attr-defined]  # what PyTorch's fused steps look for
    elif bad is not None and bool(bad):
        return
    if isinstance(optimizer, Newton):
        assert objective is not None
        optimizer.descend(objective)
    else:
        optimizer.step()


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of every group, times the group's own scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get(RATE_SCALE, 1.0)


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

    The layout matters: a fused step walks parameter and memory in the order of storage. A count of steps lives on the
    CPU, but for fused steps with the parameter.
    """
    parameters = _parameters(optimizer)
    is_fused = bool(optimizer.defaults.get("fused"))
    for name, value in tensors.items():
        index, _, field = name.partition(".")
        parameter = parameters[int(index)]
        if field == "step":
            value = value.to(parameter.device if is_fused else "cpu")
        elif value.shape == parameter.shape:
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        optimizer.state[parameter][field] = value


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """In the order by which checkpoints know them."""
    found = [
        (place, parameter)
        for group in optimizer.param_groups
        for place, parameter in zip(group.get(PLACES) or [0] * len(group["params"]), group["params"], strict=True)
    ]
    return [parameter for _, parameter in sorted(found, key=lambda each: each[0])]
