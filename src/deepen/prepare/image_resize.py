"""Whole images brought to one size, on uint8, with antialiasing.

    crop     the shorter side is brought to the size, then the middle is cut out
    stretch  both sides are brought to the size; the aspect is lost
    pad      the longer side is brought to the size; the background fills the rest

Source of the first: the evaluation protocol of A. Krizhevsky et al., ImageNet Classification with Deep CNNs, 2012.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

RESIZES = ("crop", "stretch", "pad")


def resized(pixels: np.ndarray | Tensor, size: Sequence[int], how: str, background: Sequence[int]) -> Tensor:
    """The image at the wanted size; the same memory where it has it already.

    pixels   [H, W, C] or [B, H, W, C] uint8
    size     (height, width)
    returns  [h, w, C] or [B, h, w, C] uint8
    """
    assert how in RESIZES, how
    images = pixels if isinstance(pixels, Tensor) else torch.from_numpy(np.ascontiguousarray(pixels))
    if tuple(images.shape[-3:-1]) == tuple(size):
        return images
    batch = images if images.ndim == 4 else images[None]
    batch = _placed(batch.permute(0, 3, 1, 2), tuple(size), how, background).permute(0, 2, 3, 1)
    return (batch if images.ndim == 4 else batch[0]).contiguous()


def _placed(batch: Tensor, size: tuple[int, ...], how: str, background: Sequence[int]) -> Tensor:
    """[B, C, H, W] -> [B, C, h, w]"""
    height, width = size
    ratios = (height / batch.shape[2], width / batch.shape[3])
    if how == "stretch":
        return _interpolated(batch, height, width)
    ratio = max(ratios) if how == "crop" else min(ratios)
    inner = (max(1, round(batch.shape[2] * ratio)), max(1, round(batch.shape[3] * ratio)))
    if how == "crop":
        return _cropped(_narrowed(batch, size, ratio), size, ratio)
    scaled = _interpolated(batch, min(inner[0], height), min(inner[1], width))
    return _padded(scaled, size, background)


def _narrowed(batch: Tensor, size: tuple[int, ...], ratio: float) -> Tensor:
    """Only the middle that the crop will keep and a margin for antialiasing: a 1 x 20,000 image costs nothing."""
    for axis, wanted in ((2, size[0]), (3, size[1])):
        need = int(wanted / ratio) + 1 + 2 * int(2 / ratio + 2)
        extra = batch.shape[axis] - need
        if extra > 1:
            batch = batch.narrow(axis, extra // 2, batch.shape[axis] - 2 * (extra // 2))
    return batch


def _cropped(batch: Tensor, size: tuple[int, ...], ratio: float) -> Tensor:
    scaled = _interpolated(
        batch, max(size[0], round(batch.shape[2] * ratio)), max(size[1], round(batch.shape[3] * ratio))
    )
    top, left = (scaled.shape[2] - size[0]) // 2, (scaled.shape[3] - size[1]) // 2
    return scaled[:, :, top : top + size[0], left : left + size[1]]


def _padded(batch: Tensor, size: tuple[int, ...], background: Sequence[int]) -> Tensor:
    colour = torch.tensor(background, dtype=torch.uint8)
    if batch.shape[1] == 1:
        colour = colour.float().mean().round().to(torch.uint8)[None]
    canvas = colour.view(1, -1, 1, 1).repeat(batch.shape[0], 1, *size)
    top, left = (size[0] - batch.shape[2]) // 2, (size[1] - batch.shape[3]) // 2
    canvas[:, :, top : top + batch.shape[2], left : left + batch.shape[3]] = batch
    return canvas


def _interpolated(batch: Tensor, height: int, width: int) -> Tensor:
    if batch.shape[2:] == (height, width):
        return batch
    return functional.interpolate(batch, size=(height, width), mode="bilinear", antialias=True)
