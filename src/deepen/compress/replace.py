"""Modules of a network by name, and others in their place."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


def replace(network: nn.Module, name: str, new: nn.Module) -> None:
    """Puts a module in the place of the one with this name, wherever in the network that one stands.

    Raises AttributeError for a name that is none.
    """
    old = network.get_submodule(name)
    new.train(old.training)
    for parent in list(network.modules()):
        for child, module in list(parent._modules.items()):
            if module is old:
                parent._modules[child] = new


def called(network: nn.Module, call: Callable[[nn.Module], object]) -> list[str]:
    """The names of the modules without modules inside, and of recurrent layers, that a call of the network uses.

    In the order in which they are first used. What only reads another module's weights does not use it.
    """
    names = {module: name for name, module in network.named_modules()}
    found: dict[str, None] = {}
    hooks = [
        module.register_forward_pre_hook(lambda module, _: found.setdefault(names[module]))
        for module in network.modules()
    ]
    try:
        with torch.no_grad():
            call(network)
    finally:
        for hook in hooks:
            hook.remove()
    return [name for name in found if not any(network.get_submodule(name).children())]


def tied(network: nn.Module) -> set[str]:
    """The names of the modules with a parameter that another module has too."""
    owners: dict[int, list[str]] = {}
    for name, module in network.named_modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append(name)
    return {name for names in owners.values() if len(names) > 1 for name in names}
