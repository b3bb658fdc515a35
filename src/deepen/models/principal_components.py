"""Principal component analysis: the linear autoencoder of least squared error, found in closed form.

    h = W (x - m),    x' = m + W^T h,    W W^T = I

m is the mean of the training images and the rows of W are the directions of their greatest variance (Pearson 1901;
Hotelling 1933), which no other linear code of the same size beats (Baldi and Hornik 1989). Both are computed from the
training images before the first step, so the recipe's learning rate is 0: the passes over the data measure the loss and
change nothing. With a rate above 0 training would go on from there as for any linear autoencoder with tied weights.

With at most 4,096 values per image all images count; with more, the first 4,096 of them (see ops/projection.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deepen.nn.coded import Coded
from deepen.nn.shapes import ImageShape, Paper
from deepen.ops.projection import principal_components

CONTRACTS = ("image autoencoder",)
OBJECTIVE = ("mean_squared_error", "min")


@dataclass(frozen=True)
class Size:
    """There is only one."""


SIZES = {"principal-components": Size()}

# 784 * 30 directions, used on the way there and back, and a mean
PAPER = {
    "principal-components": Paper(inputs=(1, 28, 28), outputs=30, parameters=24_304, multiply_adds=47_040),
}

RECIPE = {
    "epochs": 1,
    "batch_size": 500,
    "optimizer.kind": "adamw",
    "optimizer.learning_rate": 0.0,
    "optimizer.weight_decay": 0.0,
    "schedule.kind": "constant",
    "schedule.warm_up": 0.0,
}


@dataclass(frozen=True)
class Options:
    """Options of the principal components: none."""


def build(name: str, inputs: ImageShape, outputs: int, options: Options = Options()) -> nn.Module:
    """The components before they have seen data: random directions at right angles."""
    return PrincipalComponents(inputs, outputs)


class PrincipalComponents(nn.Module):
    """images [B, C, H, W] in 0 to 1 -> Coded"""

    def __init__(self, inputs: ImageShape, code_size: int) -> None:
        super().__init__()
        self.shape = (inputs.channels, inputs.height, inputs.width)
        self.mean = nn.Parameter(torch.zeros(inputs.num_values))
        self.components = nn.Parameter(torch.empty(code_size, inputs.num_values))
        nn.init.orthogonal_(self.components)

    @torch.no_grad()
    def start(self, batches: Iterable[Tensor], weights: Tensor | None = None) -> None:
        """Takes mean and directions from all training images, each batch [B, C, H, W]; weights [N], None for 1 each."""
        flat = (torch.flatten(batch, 1).cpu() for batch in batches)
        mean, directions, _ = principal_components(flat, len(self.components), weights)
        self.mean.copy_(mean)
        self.components.copy_(directions)

    def encode(self, images: Tensor) -> Tensor:
        """The codes [B, D], in the order of the variance that they explain."""
        return (torch.flatten(images, 1) - self.mean) @ self.components.T

    def decode(self, codes: Tensor) -> Tensor:
        """The images [B, C, H, W] of codes [B, D]."""
        return (self.mean + codes @ self.components).view(-1, *self.shape)

    def forward(self, images: Tensor, targets: Tensor | None = None) -> Coded:
        code = self.encode(images)
        decoded = self.decode(code)
        return Coded(decoded, code, (decoded - (images if targets is None else targets)).square().flatten(1).sum(dim=1))
