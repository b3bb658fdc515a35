"""Wren: a small residual network that learns the most per minute of CPU; the default for images.

An image of about 28 pixels goes through convolutions at 28, 14, 7 and 3 pixels; each halving doubles the width, and
most of the multiply-adds stand in two residual blocks in the middle, where a CPU does them at nearly its full rate:

    stem     conv 3x3
    stage i  maximum over 2x2, conv 3x3, then `blocks[i]` times  x = gelu(x + norm(conv(gelu(norm(conv(x))))))
    head     (mean over the map + maximum over the map) / 2, linear

Every convolution is followed by batch normalization and GELU. The smallest image is 8x8. While the shorter side is
over 48 pixels, a 3x3 convolution of stride 2 in front halves it first (one for 64x64, three for 224x224), so that the
cost hardly grows with the image. The parts are those of ResNet (He et al. 2015) and GELU (Hendrycks and Gimpel 2016);
the proportions were found by races of equal time on two cores.

Fashion-MNIST on two cores, 57,000 images: 33 seconds an epoch (LeNet 2, ResNet-18 360; the best step of each, taken in
turns). `--time 10m` while other work held part of both cores fitted 10.3 epochs: 93.4 % of the test images, LeNet
after 20 epochs 90.9 %; an hour in bfloat16 on slower cores, 57 epochs, 94.6 %. Five epochs on 50,000, seen on the
other 10,000 (one run each, 0.25 standard error): no last stage 93.2, with it 93.5, and squeeze-excitation too 93.3; no
last stage, but GELU for ReLU and twice the learning rate 93.5; a stem of stride 2 and doubled widths 92.2.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn.dropout import Dropout, StochasticDepth, dropped, skip_chances, skipped
from deepen.nn.init import silence, start_convolutions
from deepen.nn.shapes import ImageShape, Paper, require_side
from deepen.nn.staged import State, grid_means, through

CONTRACTS = ("image classifier",)

LARGE_SIDE = 48  # above this many pixels a convolution in front halves the image


@dataclass(frozen=True)
class Size:
    """Width of the stem; width and number of residual blocks of each stage."""

    stem: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]


SIZES = {
    "wren": Size(stem=32, widths=(64, 128, 256), blocks=(1, 1, 0)),
    "wren-large": Size(stem=64, widths=(128, 256, 512), blocks=(1, 1, 1)),
}

# A 3x3 convolution from I to O with its normalization has 9 I O + 2 O parameters.
# wren: stem 9*32 + 64;  stages 9*32*64 + 128 + 2*(9*64*64 + 128),  9*64*128 + 256 + 2*(9*128*128 + 256),
#   9*128*256 + 512;  head 256*10 + 10.  Multiply-adds: the 9 I O of each times 784, 196, 49 and 9 places, and 2560.
# wren-large: the same with its own widths, and 2*(9*512*512 + 1024) more.
PAPER = {
    "wren": Paper(inputs=(1, 28, 28), outputs=10, parameters=760_298, multiply_adds=39_009_280),
    "wren-large": Paper(inputs=(1, 28, 28), outputs=10, parameters=7_752_650, multiply_adds=198_047_744),
}

RECIPE = {
    "epochs": 16,
    "batch_size": 128,
    "optimizer.kind": "sgd",
    "optimizer.learning_rate": 0.2,
    "optimizer.momentum": 0.9,
    "optimizer.nesterov": True,
    "optimizer.weight_decay": 5e-4,
    "schedule.kind": "one-cycle",
    "schedule.warm_up": 0.2,
    "schedule.final": 0.0,
    "ema": 0.999,
    "label_smoothing": 0.1,
    "augment": ("auto",),
}


@dataclass(frozen=True)
class Options:
    """Options of Wren."""

    dropout: float = field(
        default=0.0,
        metadata=dropped("the pooled features", ", before the last layer"),
    )
    stochastic_depth: float = field(default=0.0, metadata=skipped())


def build(name: str, inputs: ImageShape, outputs: int, options: Options = Options()) -> nn.Module:
    """The Wren of this name. Raises ShapeError for images below 8x8 pixels."""
    require_side("Wren", inputs, 8)
    return Wren(SIZES[name], inputs, outputs, options)


class Wren(nn.Module):
    """images [B, C, H, W] -> logits [B, K]"""

    def __init__(self, size: Size, inputs: ImageShape, outputs: int, options: Options) -> None:
        super().__init__()
        front, channels = [], inputs.channels
        for _ in range(num_halvings(inputs)):
            front += [ConvNorm(channels, size.stem, stride=2), nn.GELU()]
            channels = size.stem
        self.front = nn.Sequential(*front)
        self.stem = ConvNorm(channels, size.stem)
        stages, width_in = [], size.stem
        chances = iter(skip_chances(options.stochastic_depth, sum(size.blocks)))
        for width, num_blocks in zip(size.widths, size.blocks, strict=True):
            blocks = [Block(width, next(chances)) for _ in range(num_blocks)]
            stages.append(nn.Sequential(nn.MaxPool2d(2), ConvNorm(width_in, width), nn.GELU(), *blocks))
            width_in = width
        self.stages = nn.Sequential(*stages)
        self.dropout = Dropout(options.dropout)
        self.head = nn.Linear(width_in, outputs)
        start_convolutions(self)
        silence(block.second.norm for block in self.modules() if isinstance(block, Block))

    def forward(self, images: Tensor) -> Tensor:
        return through(self, images)

    @property
    def num_stages(self) -> int:
        return len(self.stages)

    def begin(self, images: Tensor) -> State:
        return (F.gelu(self.stem(self.front(images))),)

    def stage(self, number: int, maps: Tensor) -> State:
        return (self.stages[number](maps),)

    def summary(self, maps: Tensor) -> Tensor:
        return grid_means(maps)

    def finish(self, maps: Tensor) -> Tensor:
        features = (maps.mean((2, 3)) + maps.amax((2, 3))) / 2  # maps [B, D, H/8, W/8] of a small image
        return self.head(self.dropout(features))


def num_halvings(inputs: ImageShape) -> int:
    """How often the front halves an image of this size."""
    side, halvings = inputs.short_side, 0
    while side > LARGE_SIDE:
        side, halvings = (side + 1) // 2, halvings + 1
    return halvings


class ConvNorm(nn.Module):
    """norm(conv 3x3 of x)   [B, I, H, W] -> [B, O, H/stride, W/stride]"""

    def __init__(self, width_in: int, width_out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class Block(nn.Module):
    """gelu(x + second(gelu(first(x))))   [B, D, H, W] -> [B, D, H, W]; starts as gelu alone."""

    def __init__(self, width: int, skip: float) -> None:
        super().__init__()
        self.first = ConvNorm(width, width)
        self.second = ConvNorm(width, width)
        self.skip = StochasticDepth(skip)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.gelu(self.first(x)))
        return F.gelu(x + self.skip(y))
