"""What the layers of a network put out on their way, without the network knowing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Within it the network answers (evaluation mode) and none of its parameters asks for a gradient."""
    was_training = {module: module.training for module in model.modules()}
    asked = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        model.eval()
        for parameter in asked:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in asked:
            parameter.requires_grad_(True)
        for module, mode in was_training.items():
            module.training = mode


def layer_outputs(
    model: nn.Module, call: Callable[[], Tensor], names: Collection[str] | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """The result of the call, and the tensors that layers put out in it, in the order in which they finished.

    call   runs the network
    names  of the layers (all if not given); a layer that is used twice counts once, as it was last

    The tensors are part of the graph, so that a gradient by them can be asked for. What follows in place of them (a
    ReLU, say) shows in them.
    """
    found: dict[str, Tensor] = {}
    hooks = []
    for name, module in model.named_modules():
        if name and (names is None or name in names):
            hooks.append(module.register_forward_hook(_keeper(found, name)))
    try:
        return call(), found
    finally:
        for hook in hooks:
            hook.remove()


def last_map_layer(model: nn.Module, call: Callable[[], Tensor]) -> str | None:
    """The layer that finished last among those with maps [B, C, h, w] of more than one place; None without any.

    Layers without weights that only spread fewer places over more (pooling to a fixed size, say) are passed over: they
    add nothing to see.
    """
    last: list[str] = []

    def look(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: tuple[object, ...], output: object) -> None:
            before = given[0] if given else None
            spreads = is_map_like(before) and is_map_like(output) and _places(before) < _places(output)
            if is_map(output) and not (spreads and not any(True for _ in module.parameters())):
                last[:] = [name]

        return hook

    hooks = [module.register_forward_hook(look(name)) for name, module in model.named_modules() if name]
    try:
        with torch.no_grad():
            call()
    finally:
        for hook in hooks:
            hook.remove()
    return last[0] if last else None


def frame_of(model: nn.Module, call: Callable[[], Tensor], images: Tensor) -> tuple[int, int, int, int]:
    """Where the images stand in what the first layer gets: (top, left, height, width), as a rule (0, 0, H, W).

    A network that frames small images with zeros has maps that cover the frame, not the image alone.

    images  [B, C, H, W], what the call runs the network with
    """
    height, width = images.shape[2:]
    found = [(0, 0, height, width)]

    def look(_module: nn.Module, given: tuple[object, ...]) -> None:
        x = given[0] if given else None
        if not (isinstance(x, Tensor) and is_map_like(x) and x.shape[:2] == images.shape[:2]):
            return
        top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
        if top + left > 0 and torch.equal(x[:, :, top : top + height, left : left + width], images):
            found[:] = [(top, left, x.shape[2], x.shape[3])]

    hooks = [module.register_forward_pre_hook(look) for module in model.modules()]
    try:
        with torch.no_grad():
            call()
    finally:
        for hook in hooks:
            hook.remove()
    return found[0]


def is_map(output: object) -> bool:
    """Whether it is [B, C, h, w] with more than one place."""
    return is_map_like(output) and _places(output) > 1


def is_map_like(output: object) -> bool:
    """Whether it has four dimensions."""
    return isinstance(output, Tensor) and output.dim() == 4


def _places(output: object) -> int:
    assert isinstance(output, Tensor)
    return output.shape[2] * output.shape[3]


def _keeper(found: dict[str, Tensor], name: str) -> Callable[..., None]:
    def hook(_module: nn.Module, _given: object, output: object) -> None:
        if isinstance(output, Tensor):
            found.pop(name, None)
            found[name] = output

    return hook
