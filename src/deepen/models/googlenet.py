"""GoogLeNet: nine Inception blocks, each 1x1, 3x3, 5x5 and pooling side by side (Szegedy et al. 2015, table 1).

    block(x) = [conv 1x1 | conv 1x1, conv 3x3 | conv 1x1, conv 5x5 | maximum 3x3, conv 1x1]   side by side in channels

In the form whose weights circulate, with torchvision's names: batch normalization after every convolution in place of
the paper's response normalization, and a 3x3 kernel where the paper has 5x5 (`--network.wide-kernel 5` is the paper's).
Those weights expect pixels with mean 0.5 and deviation 0.5. With 1000 classes 6,624,904 parameters, 13,004,888 with
both auxiliary classifiers (`--network.auxiliary`), which stand behind the blocks 4a and 4d in training alone; their
losses count 0.3 times, and the training loss that is shown holds them.

From 64 pixels a side the stem is the paper's, which makes 28x28 maps of 224x224. Below 64 its first convolution is 3x3
with stride 1, and the second pooling is left out: 28x28 goes 28, 14, 7, 4. The smallest image is 8x8.

Multiply-adds: 287 million at 1x28x28 with 10 classes, 1,498 million at 3x224x224 with 1000.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepen.nn.dropout import Dropout, dropped
from deepen.nn.init import start_convolutions, start_linears
from deepen.nn.shapes import ImageShape, Paper, require_side
from deepen.ops.auxiliary import Auxiliary

CONTRACTS = ("image classifier",)

SMALL_SIDE = 64  # below this many pixels the stem halves the image once instead of three times
AUXILIARY_SIDE = 4


@dataclass(frozen=True)
class Size:
    """Maps of each Inception block: 1x1; before and in 3x3; before and in 5x5; behind the pooling.   Table 1."""

    blocks: dict[str, tuple[int, int, int, int, int, int]]


SIZES = {
    "googlenet": Size(
        {
            "3a": (64, 96, 128, 16, 32, 32),
            "3b": (128, 128, 192, 32, 96, 64),
            "4a": (192, 96, 208, 16, 48, 64),
            "4b": (160, 112, 224, 24, 64, 64),
            "4c": (128, 128, 256, 24, 64, 64),
            "4d": (112, 144, 288, 32, 64, 64),
            "4e": (256, 160, 320, 32, 128, 128),
            "5a": (256, 160, 320, 32, 128, 128),
            "5b": (384, 192, 384, 48, 128, 128),
        }
    )
}

# The size of the form that circulates, without auxiliary classifiers; the paper's 5x5 kernels make 7,005,832.
PAPER = {"googlenet": Paper(inputs=(3, 224, 224), outputs=1000, parameters=6_624_904, multiply_adds=1_498_376_192)}

RECIPE = {
    "epochs": 20,
    "batch_size": 128,
    "optimizer.kind": "sgd",
    "optimizer.learning_rate": 0.1,
    "optimizer.momentum": 0.9,
    "optimizer.nesterov": True,
    "optimizer.weight_decay": 5e-4,
    "schedule.kind": "one-cycle",
    "schedule.warm_up": 0.2,
    "schedule.final": 0.0,
    "label_smoothing": 0.1,
    "augment": ("auto",),
}


@dataclass(frozen=True)
class Options:
    """Options of GoogLeNet."""

    auxiliary: bool = field(
        default=False, metadata={"help": "train with the paper's two auxiliary classifiers, whose losses count 0.3"}
    )
    wide_kernel: Literal["3", "5"] = field(
        default="3",
        metadata={"help": "kernel of each block's third branch: 3 as in the weights that circulate, 5 as in the paper"},
    )
    dropout: float = field(
        default=0.2,
        metadata=dropped("the averaged features", "; the paper's is 0.4"),
    )
    auxiliary_dropout: float = field(
        default=0.7,
        metadata={
            "help": "fraction of the hidden layer of the auxiliary classifiers that is dropped in training",
            "least": 0.0,
            "below": 1.0,
            "needs": "auxiliary",
        },
    )


def build(name: str, inputs: ImageShape, outputs: int, options: Options = Options()) -> nn.Module:
    """GoogLeNet for these images. Raises ShapeError below 8x8 pixels."""
    require_side("GoogLeNet", inputs, 8)
    return GoogLeNet(SIZES[name], inputs, outputs, options)


class GoogLeNet(nn.Module):
    """images [B, C, H, W] -> logits [B, K]; in training with auxiliary classifiers `Auxiliary`"""

    def __init__(self, size: Size, inputs: ImageShape, outputs: int, options: Options) -> None:
        super().__init__()
        small = inputs.short_side < SMALL_SIDE
        self.conv1 = ConvNorm(inputs.channels, 64, 3) if small else ConvNorm(inputs.channels, 64, 7, stride=2)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = ConvNorm(64, 64, 1)
        self.conv3 = ConvNorm(64, 192, 3)
        self.maxpool2 = nn.Identity() if small else nn.MaxPool2d(3, stride=2, ceil_mode=True)
        maps, kernel = size.blocks, int(options.wide_kernel)
        self.inception3a = Inception(192, maps["3a"], kernel)
        self.inception3b = Inception(self.inception3a.width, maps["3b"], kernel)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = Inception(self.inception3b.width, maps["4a"], kernel)
        self.inception4b = Inception(self.inception4a.width, maps["4b"], kernel)
        self.inception4c = Inception(self.inception4b.width, maps["4c"], kernel)
        self.inception4d = Inception(self.inception4c.width, maps["4d"], kernel)
        self.inception4e = Inception(self.inception4d.width, maps["4e"], kernel)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.inception5a = Inception(self.inception4e.width, maps["5a"], kernel)
        self.inception5b = Inception(self.inception5a.width, maps["5b"], kernel)
        self.aux1 = self.aux2 = None
        if options.auxiliary:
            self.aux1 = SideClassifier(self.inception4a.width, outputs, options.auxiliary_dropout)
            self.aux2 = SideClassifier(self.inception4d.width, outputs, options.auxiliary_dropout)
        self.dropout = Dropout(options.dropout)
        self.fc = nn.Linear(self.inception5b.width, outputs)
        start_convolutions(self)
        start_linears(self)

    def forward(self, images: Tensor) -> Tensor | Auxiliary:
        x = self.maxpool1(self.conv1(images))  # [B, 64, H/4, W/4], or H/2, W/2 if small
        x = self.maxpool2(self.conv3(self.conv2(x)))  # [B, 192, H/8, W/8], or H/2, W/2 if small
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        lower = self.inception4a(x)  # [B, 512, H/16, W/16], or H/4, W/4 if small
        upper = self.inception4d(self.inception4c(self.inception4b(lower)))  # [B, 528, ...]
        x = self.inception5a(self.maxpool4(self.inception4e(upper)))
        features = self.inception5b(x).mean((2, 3))  # [B, 1024]
        logits = self.fc(self.dropout(features))
        if self.training and self.aux1 is not None and self.aux2 is not None:
            return Auxiliary(logits, (self.aux1(lower), self.aux2(upper)))
        return logits


class ConvNorm(nn.Module):
    """relu(norm(conv of x))   [B, I, H, W] -> [B, O, H/stride, W/stride]"""

    def __init__(self, width_in: int, width_out: int, kernel_size: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, kernel_size, stride=stride, padding=kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm2d(width_out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Inception(nn.Module):
    """Four branches side by side   [B, I, H, W] -> [B, width, H, W]"""

    def __init__(self, width_in: int, maps: tuple[int, int, int, int, int, int], wide_kernel: int) -> None:
        super().__init__()
        single, before_3x3, in_3x3, before_wide, in_wide, pooled = maps
        self.width = single + in_3x3 + in_wide + pooled
        self.branch1 = ConvNorm(width_in, single, 1)
        self.branch2 = nn.Sequential(ConvNorm(width_in, before_3x3, 1), ConvNorm(before_3x3, in_3x3, 3))
        self.branch3 = nn.Sequential(ConvNorm(width_in, before_wide, 1), ConvNorm(before_wide, in_wide, wide_kernel))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), ConvNorm(width_in, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class SideClassifier(nn.Module):
    """A classifier of its own on maps from within the network   [B, I, H, W] -> [B, K]

    Source: Szegedy et al. 2015, section 5; averages to 4x4 instead of 5x5 windows with stride 3, the same at 14x14.
    """

    def __init__(self, width_in: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.conv = ConvNorm(width_in, 128, 1)
        self.fc1 = nn.Linear(128 * AUXILIARY_SIDE**2, 1024)
        self.dropout = Dropout(dropout)
        self.fc2 = nn.Linear(1024, outputs)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.conv(F.adaptive_avg_pool2d(x, AUXILIARY_SIDE))  # [B, 128, 4, 4]
        hidden = F.relu(self.fc1(torch.flatten(maps, 1)), inplace=True)
        return self.fc2(self.dropout(hidden))
