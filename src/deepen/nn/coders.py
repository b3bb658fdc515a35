"""Encoders from images to vectors and decoders back, as autoencoders of any kind put them together.

Dense ones flatten the image and go through linear layers. Convolutional ones halve the image by convolutions of stride
2, and the decoder goes the same way back: it doubles by repeating pixels and then convolves, which leaves no checkered
pattern as transposed convolutions do (Odena, Dumoulin and Olah 2016).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn.init import start_convolutions, start_linears
from deepen.nn.shapes import ImageShape

SMALLEST_SIDE = 4  # images are halved while their shorter side stays at least this
FIRST_WIDTH, LARGEST_WIDTH = 16, 128


class DenseEncoder(nn.Module):
    """images [B, C, H, W] -> vectors [B, width], the last of the hidden layers"""

    def __init__(self, inputs: ImageShape, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.width = hidden[-1] if hidden else inputs.num_values
        self.layers = _stack((inputs.num_values, *hidden))
        start_linears(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(torch.flatten(images, 1))


class DenseDecoder(nn.Module):
    """codes [B, D] -> images [B, C, H, W], through the hidden layers in turned order; the last layer is linear"""

    def __init__(self, outputs: ImageShape, hidden: tuple[int, ...], code_size: int) -> None:
        super().__init__()
        widths = (code_size, *reversed(hidden))
        self.layers = _stack(widths)
        self.output = nn.Linear(widths[-1], outputs.num_values)
        self.shape = (outputs.channels, outputs.height, outputs.width)
        start_linears(self)

    def forward(self, codes: Tensor) -> Tensor:
        return self.output(self.layers(codes)).view(-1, *self.shape)


class ConvolutionalEncoder(nn.Module):
    """images [B, C, H, W] -> vectors [B, width], the last map flattened"""

    def __init__(self, inputs: ImageShape) -> None:
        super().__init__()
        sides, widths = stages(inputs)
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise((inputs.channels, *widths))):
            layers += [nn.Conv2d(before, after, 3, stride=1 if i == 0 else 2, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.width = widths[-1] * sides[-1][0] * sides[-1][1]
        start_convolutions(self)

    def forward(self, images: Tensor) -> Tensor:
        return torch.flatten(self.layers(images), 1)


class ConvolutionalDecoder(nn.Module):
    """codes [B, D] -> images [B, C, H, W]; the last layer is linear"""

    def __init__(self, outputs: ImageShape, code_size: int) -> None:
        super().__init__()
        sides, widths = stages(outputs)
        self.sides = list(reversed(sides))
        self.start = (widths[-1], *self.sides[0])
        self.input = nn.Linear(code_size, widths[-1] * self.sides[0][0] * self.sides[0][1])
        turned = tuple(reversed(widths))
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(turned))
        self.output = nn.Conv2d(turned[-1], outputs.channels, 3, padding=1)
        start_linears(self)
        start_convolutions(self)

    def forward(self, codes: Tensor) -> Tensor:
        x = F.relu(self.input(codes)).view(-1, *self.start)
        for layer, side in zip(self.layers, self.sides[1:], strict=True):
            x = F.relu(layer(F.interpolate(x, side)))
        return self.output(x)


def stages(shape: ImageShape) -> tuple[list[tuple[int, int]], list[int]]:
    """Height and width of the maps, and their number, after each convolution; all but the first halve.

    >>> stages(ImageShape(1, 28, 28))
    ([(28, 28), (14, 14), (7, 7), (4, 4)], [16, 32, 64, 128])
    """
    sides, widths = [(shape.height, shape.width)], [FIRST_WIDTH]
    while min(halved(sides[-1])) >= SMALLEST_SIDE:
        sides.append(halved(sides[-1]))
        widths.append(min(2 * widths[-1], LARGEST_WIDTH))
    return sides, widths


def halved(side: tuple[int, int]) -> tuple[int, int]:
    """What a convolution of stride 2 makes of height and width."""
    return (side[0] + 1) // 2, (side[1] + 1) // 2


def _stack(widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers)
