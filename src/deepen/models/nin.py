"""Network in Network: two 1x1 convolutions follow each other one; the last maps are classes (Lin, Chen and Yan 2013).

    block    relu(conv 1x1 (relu(conv 1x1 (relu(conv k x k)))))
    network  block, pool, block, pool, ..., block with one map per class, mean over the map

`nin` is the paper's network for CIFAR-10 (966,986 parameters with ten classes), `nin-large` the authors' for ImageNet
(four blocks, the first of 11x11 with stride 4; 7,595,176 parameters with 1000 classes). Widths and kernels are those of
the authors' published configurations, as the paper itself does not print them all. One change: no ReLU stands behind
the last convolution, since a class whose map it switched off for every image would never learn again.

In both the first convolution has stride 4 from 128 pixels a side, 2 from 64, and 1 below. A pooling (the maximum over
3x3, stride 2) that would leave fewer than 3 pixels is left out. So 28x28 goes 28, 14, 7, and 4 in `nin-large`. The
smallest image is 8x8. The number of weights never depends on the image's size.

Multiply-adds in millions, with 10 classes at 1x28x28 and 1000 at 3x224x224:
nin 163 and 719, nin-large 301 and 1,258.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from deepen.nn.dropout import Dropout, dropped
from deepen.nn.init import start_convolutions
from deepen.nn.shapes import ImageShape, Paper, require_side

CONTRACTS = ("image classifier",)

SMALLEST_MAP = 3
STRIDES = ((128, 4), (64, 2), (0, 1))  # from how many pixels a side the first convolution has which stride


@dataclass(frozen=True)
class Size:
    """Kernel of each block's convolution and widths of its three layers; the last width of all is that of the classes.

    dropout_after  the blocks whose pooled maps are dropped from
    """

    kernels: tuple[int, ...]
    widths: tuple[tuple[int, ...], ...]
    dropout_after: tuple[int, ...]


SIZES = {
    "nin": Size(
        kernels=(5, 5, 3),
        widths=((192, 160, 96), (192, 192, 192), (192, 192)),
        dropout_after=(0, 1),
    ),
    "nin-large": Size(
        kernels=(11, 5, 3, 3),
        widths=((96, 96, 96), (256, 256, 256), (384, 384, 384), (1024, 1024)),
        dropout_after=(2,),
    ),
}

# nin: 192*76 + 160*193 + 96*161 + 192*2401 + 2*192*193 + 192*1729 + 192*193 + 10*193
# nin-large: 96*364 + 2*96*97 + 256*2401 + 2*256*257 + 384*2305 + 2*384*385 + 1024*3457 + 1024*1025 + 1000*1025
# multiply-adds of nin, whose maps are 32, 16 and 8 pixels wide: the same without biases, times 1024, 256 and 64
PAPER = {
    "nin": Paper(inputs=(3, 32, 32), outputs=10, parameters=966_986, multiply_adds=222_486_528),
    "nin-large": Paper(inputs=(3, 224, 224), outputs=1000, parameters=7_595_176, multiply_adds=1_257_711_616),
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
    """Options of Network in Network."""

    dropout: float = field(
        default=0.5,
        metadata=dropped("the pooled maps"),
    )


def build(name: str, inputs: ImageShape, outputs: int, options: Options = Options()) -> nn.Module:
    """The network of this name. Raises ShapeError for images below 8x8 pixels."""
    require_side("Network in Network", inputs, 8)
    return NetworkInNetwork(SIZES[name], inputs, outputs, options)


class NetworkInNetwork(nn.Module):
    """images [B, C, H, W] -> logits [B, K]"""

    def __init__(self, size: Size, inputs: ImageShape, outputs: int, options: Options) -> None:
        super().__init__()
        stride = next(stride for least, stride in STRIDES if inputs.short_side >= least)
        sides = [(side - 1) // stride + 1 for side in (inputs.height, inputs.width)]
        stages: list[nn.Module] = []
        width_in, last = inputs.channels, len(size.kernels) - 1
        for index, (kernel, widths) in enumerate(zip(size.kernels, size.widths, strict=True)):
            widths = (*widths, outputs) if index == last else widths
            stages.append(_block(width_in, widths, kernel, stride=stride if index == 0 else 1, is_last=index == last))
            if index < last:
                dropout = options.dropout if index in size.dropout_after else 0.0
                stages += [_pool(sides), Dropout(dropout)]
            width_in = widths[-1]
        self.stages = nn.Sequential(*stages)
        start_convolutions(self)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stages(images)  # [B, K, h, w]
        return maps.mean((2, 3))


def _block(width_in: int, widths: tuple[int, ...], kernel: int, *, stride: int, is_last: bool) -> nn.Sequential:
    """A convolution and two of 1x1, each with ReLU but for the very last.   [B, I, H, W] -> [B, O, H/s, W/s]"""
    layers: list[nn.Module] = []
    for index, width in enumerate(widths):
        if index == 0:
            layers.append(nn.Conv2d(width_in, width, kernel, stride=stride, padding=kernel // 2))
        else:
            layers.append(nn.Conv2d(width_in, width, 1))
        layers.append(nn.ReLU(inplace=True))
        width_in = width
    return nn.Sequential(*layers[:-1] if is_last else layers)


def _pool(sides: list[int]) -> nn.Module:
    """The maximum over 3x3 with stride 2, and `sides` changed by it in place; nothing where the map is too small."""
    pooled = [(side - 1) // 2 + 1 for side in sides]
    if min(pooled) < SMALLEST_MAP:
        return nn.Identity()
    sides[:] = pooled
    return nn.MaxPool2d(3, stride=2, padding=1)
