"""Random changes to whole batches of images, as pure functions of explicit random numbers.

Every function takes images and one row of uniform numbers in [0, 1) for each image; whoever calls it draws those as a
function of (seed, epoch, row). So what happens to an image does not depend on the batch it is in. With all draws at 0.5
every function here returns the images unchanged: what has a strength takes it from 2u - 1, and what is done or not done
is done where u < 0.5.

    images   [B, C, H, W] uint8 or float, in 0..255; what comes back has the same dtype and shape
    u        [B, n] float in [0, 1), on the same device

`augment` applies several by name; AUGMENTATIONS says how many draws each one takes. What moves pixels continuously
stands in augment_warp, what changes their values in augment_tone, lists to choose from in augment_policy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from deepen.ops import augment_policy as policy
from deepen.ops.augment_pixels import as_pixels
from deepen.ops.augment_tone import autocontrast, colour, equalize, posterize, sharpness, solarize
from deepen.ops.augment_warp import LATTICE, affine, elastic, rotate, shear, translate

Edge = Literal["edge", "zero", "reflect"]


def augment(images: Tensor, names: Sequence[str], draws: Tensor) -> Tensor:
    """The batch after the named augmentations, in their order.

    draws    [B, num_draws(names)] float in [0, 1): the numbers for the first name, then those for the second, ...
    """
    assert draws.shape == (len(images), num_draws(names)), f"{tuple(draws.shape)} draws for {names!r}"
    start = 0
    for name in names:
        augmentation = AUGMENTATIONS[name]
        images = augmentation.function(images, draws[:, start : start + augmentation.draws])
        start += augmentation.draws
    return images


def num_draws(names: Sequence[str]) -> int:
    """Random numbers that the named augmentations take for one image."""
    return sum(AUGMENTATIONS[name].draws for name in names)


def crop(images: Tensor, u: Tensor, *, padding: int | None = None, edge: Edge = "reflect") -> Tensor:
    """Each image moved by whole pixels, as if padded on all sides and cropped at random to its old size.

        out[y, x] = image[y + dy, x + dx],    dy = floor(u[0] * (2 * padding + 1)) - padding,    dx from u[1]

    u        [B, 2]
    padding  the farthest move in pixels; None means a sixteenth of the shorter side, rounded, and at least 1

    What lies outside the image is its nearest pixel ("edge"), 0 ("zero"), or its mirror image ("reflect").
    Source: He et al. 2015, Deep Residual Learning, section 4.2 (there 4 zeros around 32 pixels).
    """
    height, width = images.shape[-2:]
    if padding is None:
        padding = max(1, round(min(height, width) / 16))
    shift = (u * (2 * padding + 1)).floor().long() - padding  # [B, 2]
    rows = torch.arange(height, device=images.device) + shift[:, :1]  # [B, H]
    columns = torch.arange(width, device=images.device) + shift[:, 1:]  # [B, W]
    out = _take(images, _inside(rows, height, edge), _inside(columns, width, edge))
    if edge == "zero":
        seen = _is_inside(rows, height)[:, :, None] & _is_inside(columns, width)[:, None, :]  # [B, H, W]
        out = out * seen[:, None].to(out.dtype)
    return out


def flip(images: Tensor, u: Tensor) -> Tensor:
    """Each image, mirrored left to right where u < 0.5.

    u        [B, 1]
    """
    height, width = images.shape[-2:]
    forward = torch.arange(width, device=images.device)
    columns = torch.where(u < 0.5, forward.flip(0), forward)  # [B, W]
    return _take(images, torch.arange(height, device=images.device).expand(len(images), height), columns)


def erase(
    images: Tensor,
    u: Tensor,
    *,
    chance: float = 0.5,
    area: tuple[float, float] = (0.02, 0.2),
    aspect: tuple[float, float] = (0.3, 3.3),
) -> Tensor:
    """Each image, where u[0] < chance with one random rectangle set to the image's own mean, channel by channel.

        share = area[0] + u[1] (area[1] - area[0]),    ratio = aspect[0] (aspect[1] / aspect[0])^u[2]
        height = sqrt(share * ratio) H,    width = sqrt(share / ratio) W,    both rounded and cut to 1..H, 1..W
        top = floor(u[3] (H - height + 1)),    left = floor(u[4] (W - width + 1))

    u        [B, 5]

    Source: Zhong et al. 2017, Random Erasing Data Augmentation, algorithm 1 (filled with noise or a mean).
    """
    height, width = images.shape[-2:]
    u = u.float()
    share = area[0] + u[:, 1] * (area[1] - area[0])
    ratio = aspect[0] * (aspect[1] / aspect[0]) ** u[:, 2]
    high = ((share * ratio).sqrt() * height).round().clamp(1, height)
    wide = ((share / ratio).sqrt() * width).round().clamp(1, width)
    rows = _span(u[:, 3], high, height)  # [B, H]
    columns = _span(u[:, 4], wide, width)  # [B, W]
    erased = (rows & (u[:, :1] < chance))[:, :, None] & columns[:, None, :]  # [B, H, W]
    mean = as_pixels(images.float().mean((2, 3), keepdim=True), images)  # [B, C, 1, 1]
    return torch.where(erased[:, None], mean, images)


def cutout(images: Tensor, u: Tensor, *, chance: float = 0.5, share: float = 0.5) -> Tensor:
    """Each image, where u[0] < chance with one square set to the image's own mean, channel by channel.

        side = round(share min(H, W)),    its centre at pixel floor(u[1] H), floor(u[2] W)

    What of the square lies outside the image is cut off.

    u        [B, 3]

    Source: DeVries and Taylor 2017, Improved Regularization of Convolutional Neural Networks with Cutout, section 3
    (16 of 32 pixels for CIFAR-10, always, and the mean of the data set).
    """
    height, width = images.shape[-2:]
    side = max(1, round(share * min(height, width)))
    rows = _about(u[:, 1], side, height)  # [B, H]
    columns = _about(u[:, 2], side, width)  # [B, W]
    erased = (rows & (u[:, :1] < chance))[:, :, None] & columns[:, None, :]  # [B, H, W]
    mean = as_pixels(images.float().mean((2, 3), keepdim=True), images)  # [B, C, 1, 1]
    return torch.where(erased[:, None], mean, images)


@dataclass(frozen=True)
class Augmentation:
    """How many random numbers an augmentation takes for one image, and the function itself."""

    draws: int
    function: Callable[[Tensor, Tensor], Tensor]


AUGMENTATIONS: dict[str, Augmentation] = {
    "crop": Augmentation(2, crop),
    "flip": Augmentation(1, flip),
    "affine": Augmentation(5, affine),
    "colour": Augmentation(3, colour),
    "erase": Augmentation(5, erase),
    "cutout": Augmentation(3, cutout),
    "rotate": Augmentation(1, rotate),
    "shear": Augmentation(2, shear),
    "translate": Augmentation(2, translate),
    "elastic": Augmentation(2 * LATTICE**2, elastic),
    "sharpness": Augmentation(1, sharpness),
    "posterize": Augmentation(1, posterize),
    "solarize": Augmentation(1, solarize),
    "autocontrast": Augmentation(1, autocontrast),
    "equalize": Augmentation(1, equalize),
    **{name: Augmentation(each.draws, partial(policy.apply, each)) for name, each in policy.POLICIES.items()},
}


def _take(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """out[b, c, y, x] = images[b, c, rows[b, y], columns[b, x]], with rows [B, H] and columns [B, W]."""
    batch, channels, height, width = images.shape
    places = (rows[:, :, None] * width + columns[:, None, :]).reshape(batch, 1, -1)  # [B, 1, H * W]
    flat = images.reshape(batch, channels, height * width)
    return flat.gather(2, places.expand(-1, channels, -1)).view(images.shape)


def _inside(places: Tensor, size: int, edge: Edge) -> Tensor:
    """Places brought back to 0..size-1: mirrored at the first and last pixel if reflecting, else the nearest one."""
    if edge == "reflect":
        period = max(1, 2 * (size - 1))
        places = places.remainder(period)
        return torch.minimum(places, period - places).clamp_(max=size - 1)
    return places.clamp(0, size - 1)


def _is_inside(places: Tensor, size: int) -> Tensor:
    return (places >= 0) & (places < size)


def _span(u: Tensor, length: Tensor, size: int) -> Tensor:
    """[B, size] bool: `length[b]` neighbouring places, the first of them chosen by u[b]."""
    first = (u * (size - length + 1)).floor()[:, None]
    places = torch.arange(size, device=u.device)
    return (places >= first) & (places < first + length[:, None])


def _about(u: Tensor, length: int, size: int) -> Tensor:
    """[B, size] bool: the places within `length` around the one chosen by u[b]."""
    first = (u * size).floor()[:, None] - length // 2
    places = torch.arange(size, device=u.device)
    return (places >= first) & (places < first + length)
