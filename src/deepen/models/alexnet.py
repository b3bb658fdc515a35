"""AlexNet: five convolutions and three linear layers (Krizhevsky, Sutskever and Hinton 2012, ImageNet Classification).

In the single-tower form of Krizhevsky 2014, One Weird Trick, section 5: no groups, no response normalization, and 64,
192, 384, 256, 256 maps; 61,100,840 parameters with 1000 classes. Parameter names are torchvision's, so its weights
load as they are.

The first convolution is the paper's from 128 pixels a side: 11x11 with stride 4. From 64 its stride is 2, below 64 it
is 1, and the padding then keeps the size. The linear layers read 6x6 maps: a pooling that would leave fewer than 6
pixels is left out, and larger maps are averaged to 6x6. So 28x28 goes 28, 13, 6, the number of weights never depends on
the image's size, and the smallest image is 6x6.

Multiply-adds: 190 million at 1x28x28 with 10 classes, 714 million at 3x224x224 with 1000.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from deepen.nn.dropout import Dropout, dropped
from deepen.nn.init import start_convolutions, start_linears
from deepen.nn.shapes import ImageShape, Paper, require_side

CONTRACTS = ("image classifier",)

MAP_SIDE = 6
STRIDES = ((128, 4), (64, 2), (0, 1))  # from how many pixels a side the first convolution has which stride


@dataclass(frozen=True)
class Size:
    """Maps of the five convolutions, width of the two hidden linear layers."""

    maps: tuple[int, int, int, int, int]
    hidden: int


SIZES = {"alexnet": Size(maps=(64, 192, 384, 256, 256), hidden=4096)}

# parameters: 64*364 + 192*1601 + 384*1729 + 256*3457 + 256*2305 + 4096*9217 + 4096*4097 + 1000*4097
# multiply-adds: 55^2*64*363 + 27^2*192*1600 + 13^2*(384*1728 + 256*3456 + 256*2304) + 4096*(9216 + 4096 + 1000)
PAPER = {"alexnet": Paper(inputs=(3, 224, 224), outputs=1000, parameters=61_100_840, multiply_adds=714_188_480)}

RECIPE = {
    "epochs": 20,
    "batch_size": 128,
    "optimizer.kind": "sgd",
    "optimizer.learning_rate": 0.02,
    "optimizer.momentum": 0.9,
    "optimizer.nesterov": True,
    "optimizer.weight_decay": 5e-4,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.1,
    "schedule.final": 0.0,
    "clip_norm": 1.0,
    "augment": ("auto",),
}


@dataclass(frozen=True)
class Options:
    """Options of AlexNet."""

    dropout: float = field(
        default=0.5,
        metadata=dropped("what enters each hidden linear layer"),
    )


def build(name: str, inputs: ImageShape, outputs: int, options: Options = Options()) -> nn.Module:
    """AlexNet for these images. Raises ShapeError below 6x6 pixels, the size of the maps that the head reads."""
    require_side("AlexNet", inputs, MAP_SIDE)
    return AlexNet(SIZES[name], inputs, outputs, options)


class AlexNet(nn.Module):
    """images [B, C, H, W] -> logits [B, K]"""

    def __init__(self, size: Size, inputs: ImageShape, outputs: int, options: Options) -> None:
        super().__init__()
        first, second, third, fourth, fifth = size.maps
        stride = next(stride for least, stride in STRIDES if inputs.short_side >= least)
        padding = 2 if stride == 4 else 5
        sides = [(side + 2 * padding - 11) // stride + 1 for side in (inputs.height, inputs.width)]
        self.features = nn.Sequential(
            nn.Conv2d(inputs.channels, first, 11, stride=stride, padding=padding),
            nn.ReLU(inplace=True),
            _pool(sides),
            nn.Conv2d(first, second, 5, padding=2),
            nn.ReLU(inplace=True),
            _pool(sides),
            nn.Conv2d(second, third, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(third, fourth, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(fourth, fifth, 3, padding=1),
            nn.ReLU(inplace=True),
            _pool(sides),
        )
        # Exporters have no adaptive pooling to uneven windows, so it stands only where it does something.
        self.avgpool = nn.Identity() if sides == [MAP_SIDE, MAP_SIDE] else nn.AdaptiveAvgPool2d(MAP_SIDE)
        self.classifier = nn.Sequential(
            Dropout(options.dropout),
            nn.Linear(fifth * MAP_SIDE**2, size.hidden),
            nn.ReLU(inplace=True),
            Dropout(options.dropout),
            nn.Linear(size.hidden, size.hidden),
            nn.ReLU(inplace=True),
            nn.Linear(size.hidden, outputs),
        )
        start_convolutions(self)
        start_linears(self)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.avgpool(self.features(images))  # [B, 256, 6, 6]
        return self.classifier(torch.flatten(maps, 1))


def _pool(sides: list[int]) -> nn.Module:
    """The maximum over 3x3 with stride 2, and `sides` changed by it in place; nothing where the map is too small."""
    pooled = [(side - 3) // 2 + 1 for side in sides]
    if min(pooled) < MAP_SIDE:
        return nn.Identity()
    sides[:] = pooled
    return nn.MaxPool2d(3, stride=2)
