"""ResNet: layers that learn what to add to their input (He, Zhang, Ren and Sun 2015, Deep Residual Learning, table 1).

    y = relu(x + F(x)),    F = two 3x3 convolutions, or 1x1, 3x3, 1x1 in the three deep ones

Every convolution is followed by batch normalization; where the shape changes, x goes through a 1x1 convolution
(option B of the paper). In the deep ones the 3x3 convolution carries the stride, as in the weights that circulate.
Parameter names are torchvision's, so its weights load as they are.

ResNeXt (Xie et al. 2017, Aggregated Residual Transformations) splits the 3x3 convolution into 32 groups: resnext50 is
its 32x4d, resnext101 its 32x8d. Wide ResNets (Zagoruyko and Komodakis 2016) double the maps of the 3x3 convolutions.

From 64 pixels a side the stem is the paper's: 7x7, stride 2, then a 3x3 maximum, stride 2. Below 64 it is a 3x3
convolution of stride 1 and no pooling, so that 32x32 images keep 4x4 final maps. The smallest image is 8x8. `stem` asks
for either at any size: the larger one takes a sixteenth of the multiply-adds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn.dropout import Dropout, StochasticDepth, dropped, skip_chances, skipped
from deepen.nn.init import silence, start_convolutions
from deepen.nn.shapes import ImageShape, Paper, require_side
from deepen.nn.staged import State, grid_means, through

CONTRACTS = ("image classifier",)

WIDTHS = (64, 128, 256, 512)
SMALL_SIDE = 64  # below this many pixels the stem does not shrink the image


@dataclass(frozen=True)
class Size:
    """Blocks in each of the four stages, and whether they are the 1x1, 3x3, 1x1 ones.

    groups       into how many the maps of the 3x3 convolutions of those are split
    group_width  maps in each group of the first stage, twice as many in each stage that follows
    """

    blocks: tuple[int, int, int, int]
    is_bottleneck: bool
    groups: int = 1
    group_width: int = 64


SIZES = {
    "resnet18": Size(blocks=(2, 2, 2, 2), is_bottleneck=False),
    "resnet34": Size(blocks=(3, 4, 6, 3), is_bottleneck=False),
    "resnet50": Size(blocks=(3, 4, 6, 3), is_bottleneck=True),
    "resnet101": Size(blocks=(3, 4, 23, 3), is_bottleneck=True),
    "resnet152": Size(blocks=(3, 8, 36, 3), is_bottleneck=True),
    "resnext50": Size(blocks=(3, 4, 6, 3), is_bottleneck=True, groups=32, group_width=4),
    "resnext101": Size(blocks=(3, 4, 23, 3), is_bottleneck=True, groups=32, group_width=8),
    "wide-resnet50": Size(blocks=(3, 4, 6, 3), is_bottleneck=True, group_width=128),
    "wide-resnet101": Size(blocks=(3, 4, 23, 3), is_bottleneck=True, group_width=128),
}

PAPER = {
    "resnet18": Paper(inputs=(3, 224, 224), outputs=1000, parameters=11_689_512, multiply_adds=1_814_073_344),
    "resnet34": Paper(inputs=(3, 224, 224), outputs=1000, parameters=21_797_672, multiply_adds=3_663_761_408),
    "resnet50": Paper(inputs=(3, 224, 224), outputs=1000, parameters=25_557_032, multiply_adds=4_089_184_256),
    "resnet101": Paper(inputs=(3, 224, 224), outputs=1000, parameters=44_549_160, multiply_adds=7_801_405_440),
    "resnet152": Paper(inputs=(3, 224, 224), outputs=1000, parameters=60_192_808, multiply_adds=11_513_626_624),
    "resnext50": Paper(inputs=(3, 224, 224), outputs=1000, parameters=25_028_904, multiply_adds=4_230_479_872),
    "resnext101": Paper(inputs=(3, 224, 224), outputs=1000, parameters=88_791_336, multiply_adds=16_414_015_488),
    "wide-resnet50": Paper(inputs=(3, 224, 224), outputs=1000, parameters=68_883_240, multiply_adds=11_398_021_120),
    "wide-resnet101": Paper(inputs=(3, 224, 224), outputs=1000, parameters=126_886_696, multiply_adds=22_753_050_624),
}

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
    """Options of ResNet."""

    zero_init: bool = field(
        default=True,
        metadata={"help": "start every block as the identity, as the paper does not"},
    )
    dropout: float = field(
        default=0.0,
        metadata=dropped("the averaged features", ", before the last layer"),
    )
    stochastic_depth: float = field(default=0.0, metadata=skipped())
    stem: Literal["auto", "3x3", "7x7"] = field(
        default="auto",
        metadata={
            "help": "3x3 keeps the picture's size; 7x7 takes a quarter of each side, a sixteenth of the time, as the "
            f"paper's and most published weights do; auto: 7x7 from {SMALL_SIDE} pixels a side"
        },
    )


def build(name: str, inputs: ImageShape, outputs: int, options: Options = Options()) -> nn.Module:
    """The ResNet of this name. Raises ShapeError for images below 8x8 pixels."""
    require_side("ResNet", inputs, 8)
    return ResNet(SIZES[name], inputs, outputs, options)


class ResNet(nn.Module):
    """images [B, C, H, W] -> logits [B, K]

    `widths` and `strides` describe what `pyramid` returns: for each of the four stages [B, widths[i], H/s_i, W/s_i].
    """

    def __init__(self, size: Size, inputs: ImageShape, outputs: int, options: Options) -> None:
        super().__init__()
        small = inputs.short_side < SMALL_SIDE if options.stem == "auto" else options.stem == "3x3"
        expansion = 4 if size.is_bottleneck else 1
        self.widths = tuple(width * expansion for width in WIDTHS)
        self.strides = (1, 2, 4, 8) if small else (4, 8, 16, 32)
        self.conv1 = _conv(inputs.channels, 64, 3) if small else _conv(inputs.channels, 64, 7, stride=2)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, stride=2, padding=1)
        stages = _stages(size, options.stochastic_depth)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.dropout = Dropout(options.dropout)
        self.fc = nn.Linear(self.widths[-1], outputs)
        start_convolutions(self)
        if options.zero_init:
            silence(block.last_norm for block in self.modules() if isinstance(block, BasicBlock | Bottleneck))

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """The maps after each stage, the finest first."""
        state, maps = self.begin(images), []
        for number in range(self.num_stages):
            state = self.stage(number, *state)
            maps += state
        return maps

    def forward(self, images: Tensor) -> Tensor:
        return through(self, images)

    @property
    def num_stages(self) -> int:
        return 4

    def begin(self, images: Tensor) -> State:
        return (self.maxpool(F.relu(self.bn1(self.conv1(images)), inplace=True)),)  # [B, 64, H/4, W/4], H, W if 3x3

    def stage(self, number: int, maps: Tensor) -> State:
        return ((self.layer1, self.layer2, self.layer3, self.layer4)[number](maps),)

    def summary(self, maps: Tensor) -> Tensor:
        return grid_means(maps)

    def finish(self, maps: Tensor) -> Tensor:
        return self.fc(self.dropout(maps.mean((2, 3))))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; the first one carries the stride.   [B, I, H, W] -> [B, O, H/stride, W/stride]"""

    def __init__(self, width_in: int, width: int, *, stride: int, skip: float) -> None:
        super().__init__()
        self.conv1 = _conv(width_in, width, 3, stride=stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(width_in, width, stride)
        self.skip = StochasticDepth(skip)

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(self.skip(y) + self.downsample(x), inplace=True)


class Bottleneck(nn.Module):
    """1x1 down to `inner` maps, 3x3 within groups of them, 1x1 up.

    [B, I, H, W] -> [B, 4 * width, H/stride, W/stride]
    """

    def __init__(self, width_in: int, width: int, inner: int, *, groups: int, stride: int, skip: float) -> None:
        super().__init__()
        self.conv1 = _conv(width_in, inner, 1)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = _conv(inner, inner, 3, stride=stride, groups=groups)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = _conv(inner, 4 * width, 1)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _shortcut(width_in, 4 * width, stride)
        self.skip = StochasticDepth(skip)

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(self.skip(y) + self.downsample(x), inplace=True)


def _stages(size: Size, stochastic_depth: float) -> list[nn.Sequential]:
    """The four stages; the chance to skip a block grows evenly from the first one to the last."""
    expansion = 4 if size.is_bottleneck else 1
    stages, width_in = [], 64
    chances = iter(skip_chances(stochastic_depth, sum(size.blocks)))
    for index, (width, num_blocks) in enumerate(zip(WIDTHS, size.blocks, strict=True)):
        blocks = []
        for k in range(num_blocks):
            skip, stride = next(chances), 2 if index > 0 and k == 0 else 1
            if size.is_bottleneck:
                inner = width // WIDTHS[0] * size.group_width * size.groups
                blocks.append(Bottleneck(width_in, width, inner, groups=size.groups, stride=stride, skip=skip))
            else:
                blocks.append(BasicBlock(width_in, width, stride=stride, skip=skip))
            width_in = width * expansion
        stages.append(nn.Sequential(*blocks))
    return stages


def _shortcut(width_in: int, width_out: int, stride: int) -> nn.Module:
    if stride == 1 and width_in == width_out:
        return nn.Identity()
    return nn.Sequential(_conv(width_in, width_out, 1, stride=stride), nn.BatchNorm2d(width_out))


def _conv(width_in: int, width_out: int, kernel_size: int, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    padding = kernel_size // 2
    return nn.Conv2d(width_in, width_out, kernel_size, stride=stride, padding=padding, groups=groups, bias=False)
