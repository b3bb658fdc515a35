"""What the augmentations share: how values become pixels again, and brightness."""

from __future__ import annotations

import torch
from torch import Tensor

GREY = (0.299, 0.587, 0.114)  # luma of red, green and blue, ITU-R BT.601


def as_pixels(values: Tensor, images: Tensor) -> Tensor:
    """Values in 0..255 in the dtype of images, rounded if that is whole numbers."""
    if images.dtype.is_floating_point:
        return values.to(images.dtype)
    return values.round().clamp(0, 255).to(images.dtype)


def grey(images: Tensor) -> Tensor:
    """[B, C, H, W] float -> [B, 1, H, W]: luma of three channels, else the mean over channels."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    return (images * images.new_tensor(GREY)[:, None, None]).sum(1, keepdim=True)


def signed(u: Tensor) -> Tensor:
    """From [0, 1) to [-1, 1), 0.5 to 0: how strong, and which way."""
    return 2 * u.float() - 1


def per_image(values: Tensor) -> Tensor:
    """[B] -> [B, 1, 1, 1]"""
    return values.view(-1, 1, 1, 1)


def blended(start: Tensor, end: Tensor, factor: Tensor) -> Tensor:
    """start + factor (end - start), cut to 0..255: a factor above 1 goes beyond the end.

    factor  [B]
    """
    return torch.clamp(start + (end - start) * per_image(factor), 0, 255)
