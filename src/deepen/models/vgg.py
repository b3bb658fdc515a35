"""VGG: stacks of 3x3 convolutions, halved five times, and three linear layers (Simonyan and Zisserman 2014, table 1).

vgg11, 13, 16 and 19 are the columns A, B, D and E of the table; `-bn` puts batch normalization after each convolution,
which the paper, older than it, has not. Parameter names are torchvision's, so its weights load as they are.

From 64 pixels a side the maps are brought to 7x7 before the linear layers, by averages, or by repetition where they
are smaller (below 224 pixels), so that published weights fit. Below 64 a pooling that would leave nothing is left out,
and the linear layers read the mean of the last maps: 512 numbers instead of 25,088, which saves 100 million weights. So
28x28 goes 28, 14, 7, 3, 1, and the smallest image is 1x1.

Without normalization nothing keeps the scale of the signal in so deep a stack: hence He's start with the variance kept
on the way up, a warm-up, and a limit on the gradient's norm.

Multiply-adds in millions, with 10 classes at 1x28x28 and 1000 at 3x224x224; normalization adds none:
vgg11 114 and 7,609, vgg13 172 and 11,308, vgg16 224 and 15,470, vgg19 277 and 19,632.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from deepen.nn.dropout import Dropout, dropped
from deepen.nn.init import start_linears
from deepen.nn.shapes import ImageShape, Paper, require_side
from deepen.nn.staged import State, grid_means, through

CONTRACTS = ("image classifier",)

WIDTHS = (64, 128, 256, 512, 512)
HIDDEN = 4096
MAP_SIDE = 7
SMALL_SIDE = 64  # below this many pixels the linear layers read one pixel


@dataclass(frozen=True)
class Size:
    """Convolutions in each of the five stacks, and whether each is followed by batch normalization."""

    convolutions: tuple[int, int, int, int, int]
    batch_norm: bool = False


SIZES = {
    "vgg11": Size((1, 1, 2, 2, 2)),
    "vgg13": Size((2, 2, 2, 2, 2)),
    "vgg16": Size((2, 2, 3, 3, 3)),
    "vgg19": Size((2, 2, 4, 4, 4)),
    "vgg11-bn": Size((1, 1, 2, 2, 2), batch_norm=True),
    "vgg13-bn": Size((2, 2, 2, 2, 2), batch_norm=True),
    "vgg16-bn": Size((2, 2, 3, 3, 3), batch_norm=True),
    "vgg19-bn": Size((2, 2, 4, 4, 4), batch_norm=True),
}

# A convolution from I to O has 9 I O + O parameters, its norm 2 O; the head 4096*25089 + 4096*4097 + 1000*4097.
# Table 2 of the paper rounds to 133, 133, 138 and 144 million.
PAPER = {
    "vgg11": Paper(inputs=(3, 224, 224), outputs=1000, parameters=132_863_336, multiply_adds=7_609_090_048),
    "vgg13": Paper(inputs=(3, 224, 224), outputs=1000, parameters=133_047_848, multiply_adds=11_308_466_176),
    "vgg16": Paper(inputs=(3, 224, 224), outputs=1000, parameters=138_357_544, multiply_adds=15_470_264_320),
    "vgg19": Paper(inputs=(3, 224, 224), outputs=1000, parameters=143_667_240, multiply_adds=19_632_062_464),
    "vgg11-bn": Paper(inputs=(3, 224, 224), outputs=1000, parameters=132_868_840, multiply_adds=7_609_090_048),
    "vgg13-bn": Paper(inputs=(3, 224, 224), outputs=1000, parameters=133_053_736, multiply_adds=11_308_466_176),
    "vgg16-bn": Paper(inputs=(3, 224, 224), outputs=1000, parameters=138_365_992, multiply_adds=15_470_264_320),
    "vgg19-bn": Paper(inputs=(3, 224, 224), outputs=1000, parameters=143_678_248, multiply_adds=19_632_062_464),
}

RECIPE = {
    "epochs": 20,
    "batch_size": 128,
    "optimizer.kind": "sgd",
    "optimizer.learning_rate": 0.05,
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
    """Options of VGG."""

    dropout: float = field(
        default=0.5,
        metadata=dropped("each hidden linear layer"),
    )


def build(name: str, inputs: ImageShape, outputs: int, options: Options = Options()) -> nn.Module:
    """The VGG of this name, for images of any size."""
    require_side("VGG", inputs, 1)
    return VGG(SIZES[name], inputs, outputs, options)


class VGG(nn.Module):
    """images [B, C, H, W] -> logits [B, K]"""

    def __init__(self, size: Size, inputs: ImageShape, outputs: int, options: Options) -> None:
        super().__init__()
        sides = [inputs.height, inputs.width]
        layers: list[nn.Module] = []
        self.ends: list[int] = []  # of the stages among the layers
        width_in = inputs.channels
        for width, num_convolutions in zip(WIDTHS, size.convolutions, strict=True):
            for _ in range(num_convolutions):
                layers.append(nn.Conv2d(width_in, width, 3, padding=1))
                layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)] if size.batch_norm else [nn.ReLU(inplace=True)]
                width_in = width
            layers.append(_pool(sides))
            self.ends.append(len(layers))
        self.features = nn.Sequential(*layers)
        map_side = 1 if inputs.short_side < SMALL_SIDE else MAP_SIDE
        # Exporters have no adaptive pooling to uneven windows, so it stands only where it does something.
        self.avgpool = nn.Identity() if sides == [map_side, map_side] else nn.AdaptiveAvgPool2d(map_side)
        self.classifier = nn.Sequential(
            nn.Linear(width_in * map_side**2, HIDDEN),
            nn.ReLU(inplace=True),
            Dropout(options.dropout),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(inplace=True),
            Dropout(options.dropout),
            nn.Linear(HIDDEN, outputs),
        )
        _start(self)

    def forward(self, images: Tensor) -> Tensor:
        return through(self, images)

    @property
    def num_stages(self) -> int:
        return len(self.ends)

    def begin(self, images: Tensor) -> State:
        return (images,)

    def stage(self, number: int, maps: Tensor) -> State:
        first = self.ends[number - 1] if number else 0
        for layer in list(self.features)[first : self.ends[number]]:
            maps = layer(maps)
        return (maps,)

    def summary(self, maps: Tensor) -> Tensor:
        return grid_means(maps)

    def finish(self, maps: Tensor) -> Tensor:
        maps = self.avgpool(maps)  # [B, 512, 7, 7], or [B, 512, 1, 1] if small
        return self.classifier(torch.flatten(maps, 1))


def _pool(sides: list[int]) -> nn.Module:
    """The maximum over 2x2, and `sides` halved by it in place; nothing where no pixel would be left."""
    if min(sides) < 2:
        return nn.Identity()
    sides[:] = [side // 2 for side in sides]
    return nn.MaxPool2d(2)


def _start(network: VGG) -> None:
    """He's start for a stack without normalization, in place.

        w ~ Normal(0, 2 / inputs of a neuron),    biases 0

    The last layer's weights have the deviation 0.01, as in the paper, so that all classes begin about equally probable.
    Source: He et al. 2015, Delving Deep into Rectifiers, eq. 10; its rule for the backward signal (eq. 14) would shrink
    the forward one by the square root of channels out over channels in, over the stack 22-fold for a grey image.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    start_linears(network)
    last = network.classifier[-1]
    assert isinstance(last, nn.Linear)
    nn.init.normal_(last.weight, 0, 0.01)
