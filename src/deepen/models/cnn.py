"""The deep 3x3 network for digits: six small convolutions in pairs, as "Deep Learning from Scratch" builds it.

    twice 16 maps, halved; twice 32 maps, halved; twice 64 maps, halved; linear 50, dropout, linear

Every convolution is 3x3 with ReLU behind it, every halving a maximum over 2x2. The fourth convolution is padded by 2
where the others are by 1, so that 28 pixels become 28, 14, then 16, 8 and 4: the first linear layer sees 64 maps of
4x4. With ten classes and one channel that makes 123,552 parameters. Weights begin as He et al. 2015 say, biases at
zero. The book drops half of the ten outputs in training too; here only the 50 hidden values are dropped.

The maps of larger images are averaged to 4x4 before the linear layers. Those of smaller ones stay as they are (8x8
leaves 1x1, the smallest), so that only there the number of weights depends on the image.

Source: Saitoh, Deep Learning from Scratch, O'Reilly 2016, chapter 8, where it takes MNIST to 99.38 % of test images.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from deepen.nn.dropout import Dropout, dropped
from deepen.nn.init import start_convolutions, start_linears
from deepen.nn.shapes import ImageShape, Paper, require_side

CONTRACTS = ("image classifier",)

MAP_SIDE = 4


@dataclass(frozen=True)
class Size:
    """Maps of the three pairs of convolutions and width of the hidden linear layer."""

    maps: tuple[int, int, int]
    hidden: int


SIZES = {"cnn": Size(maps=(16, 32, 64), hidden=50)}

# parameters: 16*10 + 16*145 + 32*145 + 32*289 + 64*289 + 64*577 + 50*1025 + 10*51
# multiply-adds: 28*28*(16*9 + 16*144) + 14*14*32*144 + 16*16*32*288 + 8*8*64*(288 + 576) + 50*1024 + 10*50
PAPER = {"cnn": Paper(inputs=(1, 28, 28), outputs=10, parameters=123_552, multiply_adds=8_772_340)}

RECIPE = {
    "epochs": 30,
    "batch_size": 128,
    "optimizer.kind": "adam",
    "optimizer.learning_rate": 0.002,
    "optimizer.weight_decay": 0.0,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.05,
    "schedule.final": 0.01,
    "ema": 0.998,
    "augment": ("auto",),
}


@dataclass(frozen=True)
class Options:
    """Options of the deep 3x3 network."""

    dropout: float = field(
        default=0.5,
        metadata=dropped("the hidden linear layer", search="0..0.7"),
    )


def build(name: str, inputs: ImageShape, outputs: int, options: Options = Options()) -> nn.Module:
    """The network for these images. Raises ShapeError below 8x8 pixels, where three halvings leave nothing."""
    require_side("The deep 3x3 network", inputs, 8)
    return DeepConvolutions(SIZES[name], inputs, outputs, options)


class DeepConvolutions(nn.Module):
    """images [B, C, H, W] -> logits [B, K]"""

    def __init__(self, size: Size, inputs: ImageShape, outputs: int, options: Options) -> None:
        super().__init__()
        first, second, third = size.maps
        self.maps = nn.Sequential(
            *_conv(inputs.channels, first),
            *_conv(first, first),
            nn.MaxPool2d(2),
            *_conv(first, second),
            *_conv(second, second, padding=2),
            nn.MaxPool2d(2),
            *_conv(second, third),
            *_conv(third, third),
            nn.MaxPool2d(2),
        )
        left = (_left(inputs.height), _left(inputs.width))
        sides = (min(MAP_SIDE, left[0]), min(MAP_SIDE, left[1]))
        # Exporters have no adaptive pooling to uneven windows, so it stands only where it does something.
        self.shrink = nn.AdaptiveAvgPool2d(sides) if left != sides else nn.Identity()
        self.head = nn.Sequential(
            nn.Linear(third * sides[0] * sides[1], size.hidden),
            nn.ReLU(inplace=True),
            Dropout(options.dropout),
            nn.Linear(size.hidden, outputs),
        )
        start_convolutions(self)
        start_linears(self)

    def forward(self, images: Tensor) -> Tensor:
        x = self.shrink(self.maps(images))  # [B, 64, 4, 4], or less of a small image
        return self.head(torch.flatten(x, 1))


def _conv(width_in: int, width_out: int, *, padding: int = 1) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(width_in, width_out, 3, padding=padding), nn.ReLU(inplace=True)


def _left(side: int) -> int:
    """Pixels of a side after the three pairs: the second pair widens by 2 before it is halved."""
    return (side // 2 + 2) // 2 // 2
