"""What the tests of image networks measure: multiply-adds, and whether a few updates bring the loss down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from deepen.nn.shapes import ImageShape
from deepen.ops.auxiliary import with_auxiliary


def cost(net: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiply-adds of convolutions and linear layers for one image; on the meta device, so nothing is computed."""
    total = 0

    def add(layer: nn.Module, _: Any, output: torch.Tensor) -> None:
        nonlocal total
        total += output.numel() * layer.weight[0].numel()

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(add)
    net.eval()(torch.zeros(1, *shape, device="meta"))
    return total


def on_meta(module: Any, name: str, shape: tuple[int, int, int], outputs: int = 1000, **options: Any) -> nn.Module:
    """The network without storage for its weights."""
    with torch.device("meta"):
        return module.build(name, ImageShape(*shape), outputs, module.Options(**options))


def num_parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def losses(net: nn.Module, recipe: Mapping[str, Any], *, side: int, steps: int) -> tuple[float, float]:
    """Cross-entropy before and after updates as the recipe says, its rate rising from zero to a quarter of its peak.

    The data are 13 grey images of this side; which quarter is bright is the class, one of four.
    """
    torch.manual_seed(0)
    targets = torch.arange(13) % 4
    images = 0.3 * torch.randn(13, 1, side, side)
    half = side // 2
    for image, target in zip(images, targets.tolist(), strict=True):
        high, wide = divmod(target, 2)
        image[:, high * half : (high + 1) * half, wide * half : (wide + 1) * half] += 1.5
    assert recipe["optimizer.kind"] == "sgd"
    rate, momentum = recipe["optimizer.learning_rate"], recipe["optimizer.momentum"]
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=momentum, nesterov=True)
    found = []
    for step in range(steps + 1):
        loss = with_auxiliary(net(images), lambda logits: F.cross_entropy(logits, targets))
        found.append(loss.item())
        if step == steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate * (step + 1) / steps / 4
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), recipe.get("clip_norm", 1e9))
        optimizer.step()
    return found[0], found[-1]
