"""Softmax and linear regression: one linear map from the input to the outputs.

    logits = W x + b

The two names build the same network; the task's loss makes it one or the other. On images x is the flattened image, on
table rows the numbers followed by the one-hot categories, so that each category has its own weight. Any size fits.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from deepen.nn.shapes import ImageShape, Paper, TableShape
from deepen.nn.table import TableFeatures

CONTRACTS = {
    "softmax-regression": ("image classifier", "table classifier"),
    "linear-regression": ("table regressor",),
}


@dataclass(frozen=True)
class Size:
    """There is only one."""


SIZES = {"softmax-regression": Size(), "linear-regression": Size()}

# 784 * 10 weights and 10 biases; three weights and one bias
PAPER = {
    "softmax-regression": Paper(inputs=(1, 28, 28), outputs=10, parameters=7_850, multiply_adds=7_840),
    "linear-regression": Paper(inputs=(3,), outputs=1, parameters=4, multiply_adds=3),
}

RECIPE = {
    "epochs": 20,
    "batch_size": 128,
    "optimizer.kind": "adamw",
    "optimizer.learning_rate": 0.003,
    "optimizer.weight_decay": 0.0,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.0,
    "schedule.final": 0.01,
}


@dataclass(frozen=True)
class Options:
    """Options of the linear map."""

    embedding: int = field(
        default=0,
        metadata={
            "help": "width of the embedding of columns with many categories; 0: a weight per category",
            "least": 0,
        },
    )


def build(name: str, inputs: ImageShape | TableShape, outputs: int, options: Options = Options()) -> nn.Module:
    """The linear map for these inputs; it starts at zero, where the loss is convex from."""
    if isinstance(inputs, TableShape):
        return TableLinear(inputs, outputs, options)
    return ImageLinear(inputs, outputs)


class ImageLinear(nn.Module):
    """images [B, C, H, W] -> logits [B, K]"""

    def __init__(self, inputs: ImageShape, outputs: int) -> None:
        super().__init__()
        self.output = _zero_linear(inputs.num_values, outputs)

    def forward(self, images: Tensor) -> Tensor:
        return self.output(torch.flatten(images, 1))


class TableLinear(nn.Module):
    """numbers [B, F], categories [B, G] -> outputs [B, K]"""

    def __init__(self, inputs: TableShape, outputs: int, options: Options) -> None:
        super().__init__()
        self.features = TableFeatures(inputs, embedding=options.embedding)
        self.output = _zero_linear(self.features.width, outputs)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        return self.output(self.features(numbers, categories))


def _zero_linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
