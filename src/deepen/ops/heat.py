"""Maps of numbers as colours, and many maps as one picture."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# From nothing to much; the first and last stand for 0 and 1. Lightness rises all the way, so it reads in grey as well.
WARM = ((13, 8, 40), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))
AGAINST, NEUTRAL, FOR = (33, 102, 172), (247, 247, 247), (205, 80, 20)  # blue and orange: no matter which eyes


def warm(values: Tensor) -> Tensor:
    """Numbers from 0 to 1 as colours from dark violet to light yellow: [...] to [..., 3] float in 0 to 255."""
    stops = torch.tensor(WARM, dtype=torch.float32)
    place = values.float().clamp(0, 1) * (len(stops) - 1)
    lower = place.floor().clamp(max=len(stops) - 2)
    share = (place - lower)[..., None]
    return stops[lower.long()] * (1 - share) + stops[lower.long() + 1] * share


def signed(values: Tensor) -> Tensor:
    """Numbers from -1 to 1 as colours, blue below zero, near white at it, orange above: [...] to [..., 3] float."""
    against, neutral, agreeing = (torch.tensor(each, dtype=torch.float32) for each in (AGAINST, NEUTRAL, FOR))
    share = values.float().clamp(-1, 1)[..., None]
    ends = torch.where(share < 0, against, agreeing)
    return neutral + (ends - neutral) * share.abs()


def scaled(values: Tensor, quantile: float = 0.995) -> Tensor:
    """The values divided by a high quantile of their size, cut to [-1, 1]; zeros stay zeros.

    A few pixels with huge gradients would leave the rest without colour.
    """
    largest = torch.quantile(values.abs().flatten().float()[:: max(1, values.numel() // 1_000_000)], quantile)
    if largest <= 0:
        largest = values.abs().max()
    return values / largest if largest > 0 else values


def over_picture(picture: Tensor, values: Tensor, *, is_signed: bool) -> Tensor:
    """A heat map laid over a pale grey copy of the picture, the more covering the stronger it is.

    picture  [H, W, C] uint8, C 1 or 3
    values   [H, W] in 0 to 1, or -1 to 1 where signed
    returns  [H, W, 3] uint8
    """
    grey = picture.float().mean(2, keepdim=True)
    colours = signed(values) if is_signed else warm(values)
    ground = (110 + grey * 0.55 if is_signed else grey * 0.6).expand(*grey.shape[:2], 3)
    strength = values.float().abs().clamp(0, 1)[..., None] ** 0.7 * 0.9
    return (ground * (1 - strength) + colours * strength).round().clamp(0, 255).to(torch.uint8)


def resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps [B, h, w] at another size, bilinear."""
    return F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def enlarged(picture: Tensor, least: int) -> Tensor:
    """A picture [H, W, C] with each pixel repeated, as often as needed for its longer side to reach `least`."""
    factor = max(1, math.ceil(least / max(picture.shape[:2])))
    return picture.repeat_interleave(factor, 0).repeat_interleave(factor, 1)


def tiled(tiles: Tensor, *, columns: int, ground: int = 128) -> Tensor:
    """Pictures side by side, row after row, one pixel of grey between them.

    tiles    [N, H, W, C] uint8
    returns  [h, w, C] uint8
    """
    number, height, width, channels = tiles.shape
    rows = math.ceil(number / columns)
    sheet = torch.full((rows * (height + 1) + 1, columns * (width + 1) + 1, channels), ground, dtype=torch.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * (height + 1) + 1, index % columns * (width + 1) + 1
        sheet[top : top + height, left : left + width] = tile
    return sheet
