"""Whole images brought to one size, on uint8, with antialiasing.

    crop     the shorter side is brought to the size, then the middle is cut out
    stretch  both sides are brought to the size; the aspect is lost
    pad      the longer side is brought to the size; the background fills the rest

Source of the first: the evaluation protocol of A. Krizhevsky et al., ImageNet Classification with Deep CNNs, 2012.

Nothing here imports torch. Where it is loaded already, it interpolates, to the same bits a hundred times faster.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence

import numpy as np

from deepen.prepare.image_interpolate import interpolated

RESIZES = ("crop", "stretch", "pad")


def resized(pixels: np.ndarray, size: Sequence[int], how: str, background: Sequence[int]) -> np.ndarray:
    """The image at the wanted size; the same memory where it has it already.

    pixels   [H, W, C] or [B, H, W, C] uint8
    size     (height, width)
    returns  [h, w, C] or [B, h, w, C] uint8
    """
    assert how in RESIZES, how
    if tuple(pixels.shape[-3:-1]) == tuple(size):
        return pixels
    batch = pixels if pixels.ndim == 4 else pixels[None]
    batch = _placed(batch, tuple(size), how, background)
    return np.ascontiguousarray(batch if pixels.ndim == 4 else batch[0])


def _placed(batch: np.ndarray, size: tuple[int, ...], how: str, background: Sequence[int]) -> np.ndarray:
    """[B, H, W, C] -> [B, h, w, C]"""
    height, width = size
    ratios = (height / batch.shape[1], width / batch.shape[2])
    if how == "stretch":
        return _interpolated(batch, height, width)
    ratio = max(ratios) if how == "crop" else min(ratios)
    inner = (max(1, round(batch.shape[1] * ratio)), max(1, round(batch.shape[2] * ratio)))
    if how == "crop":
        return _cropped(_narrowed(batch, size, ratio), size, ratio)
    scaled = _interpolated(batch, min(inner[0], height), min(inner[1], width))
    return _padded(scaled, size, background)


def _narrowed(batch: np.ndarray, size: tuple[int, ...], ratio: float) -> np.ndarray:
    """Only the middle that the crop will keep and a margin for antialiasing: a 1 x 20,000 image costs nothing."""
    for axis, wanted in ((1, size[0]), (2, size[1])):
        need = int(wanted / ratio) + 1 + 2 * int(2 / ratio + 2)
        extra = batch.shape[axis] - need
        if extra > 1:
            kept = slice(extra // 2, batch.shape[axis] - extra // 2)
            batch = batch[:, kept] if axis == 1 else batch[:, :, kept]
    return batch


def _cropped(batch: np.ndarray, size: tuple[int, ...], ratio: float) -> np.ndarray:
    scaled = _interpolated(
        batch, max(size[0], round(batch.shape[1] * ratio)), max(size[1], round(batch.shape[2] * ratio))
    )
    top, left = (scaled.shape[1] - size[0]) // 2, (scaled.shape[2] - size[1]) // 2
    return scaled[:, top : top + size[0], left : left + size[1]]


def _padded(batch: np.ndarray, size: tuple[int, ...], background: Sequence[int]) -> np.ndarray:
    colour = np.array(background, np.uint8)
    if batch.shape[3] == 1:
        colour = colour.astype(np.float32).mean().round().astype(np.uint8)[None]
    canvas = np.broadcast_to(colour, (batch.shape[0], *size, len(colour))).copy()
    top, left = (size[0] - batch.shape[1]) // 2, (size[1] - batch.shape[2]) // 2
    canvas[:, top : top + batch.shape[1], left : left + batch.shape[2]] = batch
    return canvas


def _interpolated(batch: np.ndarray, height: int, width: int) -> np.ndarray:
    if batch.shape[1:3] == (height, width):
        return batch
    torch = sys.modules.get("torch")
    if torch is None:
        return interpolated(batch, height, width)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of memory that must not be written to; nothing here writes to it
        tensor = torch.from_numpy(batch).permute(0, 3, 1, 2)
    found = torch.nn.functional.interpolate(tensor, size=(height, width), mode="bilinear", antialias=True)
    return found.permute(0, 2, 3, 1).numpy()
