"""LeNet-5: two convolutions and three linear layers (LeCun, Bottou, Bengio and Haffner 1998, section II.B).

Modernised in the usual way: every map of the second convolution sees all six maps of the first (the paper's table I
leaves some out), pooling has no weights, the output is linear instead of radial basis functions, and by default ReLU
and maximum stand where the paper has tanh and average. With ten classes and one channel that makes 61,706 parameters.

The network is made for 32x32. Smaller images are framed with zeros to 32 pixels (28x28 gets 2 on each side, as in the
paper); the maps of larger ones are averaged to 5x5 before the linear layers. So the number of weights never depends
on the image's size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn.dropout import Dropout, dropped
from deepen.nn.init import start_convolutions, start_linears
from deepen.nn.shapes import ImageShape, Paper, require_side

CONTRACTS = ("image classifier",)

SIDE = 32
MAP_SIDE = 5


@dataclass(frozen=True)
class Size:
    """Maps of the two convolutions and widths of the two hidden linear layers."""

    maps: tuple[int, int]
    hidden: tuple[int, int]


SIZES = {"lenet": Size(maps=(6, 16), hidden=(120, 84))}

# parameters: 6*26 + 16*151 + 120*401 + 84*121 + 10*85
# multiply-adds: 28*28*6*25 + 10*10*16*150 + 120*400 + 84*120 + 10*84
PAPER = {"lenet": Paper(inputs=(1, 32, 32), outputs=10, parameters=61_706, multiply_adds=416_520)}

RECIPE = {
    "epochs": 20,
    "batch_size": 128,
    "optimizer.kind": "adamw",
    "optimizer.learning_rate": 0.003,
    "optimizer.weight_decay": 0.01,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.05,
    "schedule.final": 0.01,
}


@dataclass(frozen=True)
class Options:
    """Options of LeNet-5."""

    activation: Literal["relu", "tanh"] = field(
        default="relu", metadata={"help": "what follows each layer; tanh is the paper's"}
    )
    pooling: Literal["max", "average"] = field(
        default="max", metadata={"help": "how maps are halved; average is the paper's"}
    )
    dropout: float = field(
        default=0.0,
        metadata=dropped("each hidden linear layer"),
    )


def build(name: str, inputs: ImageShape, outputs: int, options: Options = Options()) -> nn.Module:
    """LeNet-5 for these images. Raises ShapeError below 4x4 pixels, where nothing is left to see."""
    require_side("LeNet", inputs, 4)
    return LeNet(SIZES[name], inputs, outputs, options)


class LeNet(nn.Module):
    """images [B, C, H, W] -> logits [B, K]"""

    def __init__(self, size: Size, inputs: ImageShape, outputs: int, options: Options) -> None:
        super().__init__()
        self.frame = _frame(inputs)
        pool = nn.MaxPool2d if options.pooling == "max" else nn.AvgPool2d
        self.maps = nn.Sequential(
            nn.Conv2d(inputs.channels, size.maps[0], 5),
            _activation(options),
            pool(2),
            nn.Conv2d(size.maps[0], size.maps[1], 5),
            _activation(options),
            pool(2),
        )
        # Exporters have no adaptive pooling to uneven windows, so it stands only where it does something.
        self.shrink = nn.AdaptiveAvgPool2d(MAP_SIDE) if max(inputs.height, inputs.width) > SIDE else nn.Identity()
        self.head = nn.Sequential(
            nn.Linear(size.maps[1] * MAP_SIDE**2, size.hidden[0]),
            _activation(options),
            Dropout(options.dropout),
            nn.Linear(*size.hidden),
            _activation(options),
            Dropout(options.dropout),
            nn.Linear(size.hidden[1], outputs),
        )
        start_convolutions(self)
        start_linears(self)

    def forward(self, images: Tensor) -> Tensor:
        x = F.pad(images, self.frame)  # [B, C, 32, 32] or larger
        x = self.shrink(self.maps(x))  # [B, 16, 5, 5]
        return self.head(torch.flatten(x, 1))


def _frame(inputs: ImageShape) -> tuple[int, int, int, int]:
    """Zeros to add left, right, above and below."""
    wide, high = max(0, SIDE - inputs.width), max(0, SIDE - inputs.height)
    return wide // 2, wide - wide // 2, high // 2, high - high // 2


def _activation(options: Options) -> nn.Module:
    return nn.ReLU() if options.activation == "relu" else nn.Tanh()
