"""Which parameters learn, which decay, and at what share of the learning rate: the groups of every optimizer.

Like `requires_grad`, a parameter's share of the rate is kept on the parameter itself: the model is all that is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from deepen.core import names
from deepen.core.errors import OptionError
from deepen.engine.options import LOADED, FitOptions, OptimizerOptions

RATE_SCALE = "rate_scale"  # the attribute of a parameter, and the key of a group
ARE_WEIGHTS = "are_weights"
PLACES = "places"


def groups(model: nn.Module, options: OptimizerOptions) -> list[dict[str, Any]]:
    """The parameters that are trained, grouped for a torch optimizer. No group is empty.

    Weights (`is_weight`) decay by `options.weight_decay`; biases and norms do not. Parameters whose
    rate is scaled (`scale_rate`) stand in groups of their own, after the others. Frozen parameters are in none.

    returns  {"params", "weight_decay", "rate_scale", "are_weights", "places"}: the third multiplies the learning rate
             of the schedule, the last are the parameters' places among all, by which checkpoints know them

    >>> [(g["weight_decay"], g["rate_scale"]) for g in groups(nn.Linear(3, 2), OptimizerOptions(weight_decay=0.1))]
    [(0.1, 1.0), (0.0, 1.0)]
    """
    trained = [(is_weight(name, p), p) for name, p in model.named_parameters() if p.requires_grad]
    found, count = [], 0
    for scale in sorted({rate_scale(p) for _, p in trained}, key=lambda scale: (scale != 1.0, scale)):
        at_scale = [(weighs, p) for weighs, p in trained if rate_scale(p) == scale]
        # checkpoints name a parameter's memory by its place in this order
        by_place = [each for each in at_scale if each[1].dim() > 1] + [each for each in at_scale if each[1].dim() <= 1]
        for are_weights in (True, False):
            own = [(count + place, p) for place, (weighs, p) in enumerate(by_place) if weighs == are_weights]
            decay = (options.weight_decay or 0.0) if are_weights else 0.0
            if own:
                group = {"params": [p for _, p in own], "weight_decay": decay, RATE_SCALE: scale}
                found.append(group | {ARE_WEIGHTS: are_weights, PLACES: [place for place, _ in own]})
        count += len(by_place)
    return found


def is_weight(name: str, parameter: Tensor) -> bool:
    """Whether decay, penalties and noise concern a parameter: it has more than one dimension, and is no bias, which has
    three where networks stand side by side."""
    return parameter.dim() > 1 and name.rpartition(".")[2] != "bias"


def rate_scale(parameter: nn.Parameter) -> float:
    """What multiplies the learning rate of this parameter: 1 unless `scale_rate` said otherwise."""
    return getattr(parameter, RATE_SCALE, 1.0)


def scale_rate(model: nn.Module, names: Iterable[str], scale: float) -> None:
    """Trains the parameters of these names at `scale` times the learning rate; names that are none are passed over."""
    chosen = set(names)
    for name, parameter in model.named_parameters():
        if name in chosen:
            setattr(parameter, RATE_SCALE, scale)


def freeze(model: nn.Module, names: Iterable[str]) -> None:
    """Trains the parameters of these names no more; names that are none are passed over."""
    chosen = set(names)
    for name, parameter in model.named_parameters():
        if name in chosen:
            parameter.requires_grad_(False)


def frozen_norms(model: nn.Module) -> list[nn.Module]:
    """The batch norms all of whose parameters are frozen: they stay in evaluation mode, so that their statistics stay.

    A batch norm without parameters of its own is not among them: nothing says that it is frozen.
    """
    found: list[nn.Module] = []
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            own = list(module.parameters(recurse=False))
            if own and not any(p.requires_grad for p in own):
                found.append(module)
    return found


def running_statistics(model: nn.Module) -> list[Tensor]:
    """Means and variances of the batch norms that follow what they see."""
    frozen = {id(module) for module in frozen_norms(model)}
    return [
        statistic
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and id(module) not in frozen
        for statistic in (module.running_mean, module.running_var)
        if statistic is not None
    ]


@dataclass(frozen=True)
class Start:
    """Where training starts, other than at a random draw.

    tensors  by the names of the network's own state, in its shapes; empty for a run that goes on from a checkpoint
    loaded   the names of all tensors that came from elsewhere when the run was begun
    """

    tensors: Mapping[str, Tensor]
    loaded: frozenset[str]


def begin(model: nn.Module, start: Start | None, options: FitOptions) -> None:
    """Puts the loaded tensors into a fresh network, and says which parameters learn and how fast.

    Raises OptionError for a part to freeze that the network does not have, and where nothing would be left to train.
    """
    loaded = start.loaded if start else frozenset()
    if start:
        own = model.state_dict()
        with torch.no_grad():
            for name, tensor in start.tensors.items():
                own[name].copy_(tensor)
    freeze(model, names_to_freeze(model, loaded, options.freeze))
    if options.trunk_lr is not None:
        scale_rate(model, loaded - head_names(model), options.trunk_lr)


def head_names(model: nn.Module) -> frozenset[str]:
    """The names of the parameters of the last layer that has any: what gives the answers."""
    last, found = "", list(model.named_modules())
    for name, module in found:
        if any(True for _ in module.parameters(recurse=False)):
            last = name
    of_last = dict(found)[last].named_parameters(prefix=last, recurse=False)
    return frozenset(name for name, _ in of_last)


def names_to_freeze(model: nn.Module, loaded: frozenset[str], parts: Iterable[str]) -> frozenset[str]:
    """The parameters that `--freeze` means.

    loaded  the names of tensors that came from a file of weights
    parts   names of layers or parameters, whole up to a dot; LOADED: what was loaded, but for the last layer
    """
    known = [name for name, _ in model.named_parameters()]
    found: set[str] = set()
    for part in parts:
        if part == LOADED:
            chosen = set(known) & (loaded - head_names(model))
        else:
            chosen = {name for name in known if name == part or name.startswith(f"{part}.")}
        if not chosen:
            raise OptionError(f"--freeze {part}: the network has no parameters there{_nearest(part, known)}")
        found |= chosen
    if known and len(found) == len(known):
        raise OptionError(f"--freeze {','.join(parts)}: nothing would be left to train; freeze less.")
    return frozenset(found)


def _nearest(part: str, known: Iterable[str]) -> str:
    layers = {".".join(name.split(".")[:depth]) for name in known for depth in range(1, name.count(".") + 1)}
    near = names.nearest(part, [*layers, *known])
    parts = ", ".join(dict.fromkeys(name.split(".")[0] for name in known))
    return f"; did you mean {near}?" if near else f"; its parts are {parts}."
