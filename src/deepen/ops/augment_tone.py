"""Random changes of what values pixels have: colours, contrast, sharpness, fewer levels. `augment` has the rules."""

from __future__ import annotations

import torch
from torch import Tensor

from deepen.ops.augment_pixels import as_pixels, blended, grey, per_image, signed


def colour(
    images: Tensor, u: Tensor, *, brightness: float = 0.2, contrast: float = 0.2, saturation: float = 0.2
) -> Tensor:
    """Each image brighter or darker, with more or less contrast, and (three channels only) more or less coloured.

    With f = 1 + strength * (2u - 1) for each of the three, in this order, each result cut to 0..255:

        x = f[0] x;    x = f[1] x + (1 - f[1]) mean(grey(x));    x = f[2] x + (1 - f[2]) grey(x)

    grey(x) is the luma of three channels, else the mean over channels. Images of one channel stay grey.

    u        [B, 3]
    """
    factor = 1 + u.new_tensor([brightness, contrast, saturation]) * (2 * u - 1)
    bright, contrasted, coloured = (per_image(f) for f in factor.float().unbind(1))
    x = (images.float() * bright).clamp_(0, 255)
    mean = grey(x).mean((2, 3), keepdim=True)  # [B, 1, 1, 1]
    x = (mean + (x - mean) * contrasted).clamp_(0, 255)
    if images.shape[1] == 3:
        luma = grey(x)  # [B, 1, H, W]
        x = (luma + (x - luma) * coloured).clamp_(0, 255)
    return as_pixels(x, images)


def sharpness(images: Tensor, u: Tensor, *, strength: float = 0.9) -> Tensor:
    """Each image blurred or sharpened: x = smooth + f (image - smooth), f = 1 + strength * (2u - 1), cut to 0..255.

    smooth is the mean over 3x3 pixels with 5/13 for the middle one and 1/13 for the others, and the image itself in its
    outermost rows and columns.

    u        [B, 1]
    """
    x = images.float()
    return as_pixels(blended(_smooth(x), x, 1 + strength * signed(u[:, 0])), images)


def posterize(images: Tensor, u: Tensor, *, most: int = 4) -> Tensor:
    """Each image with its last bits set to zero: round(most |2u - 1|) of the 8, so that fewer levels are left.

    u        [B, 1]
    """
    step = per_image(2 ** (most * signed(u[:, 0]).abs()).round())
    x = images.float()
    changed = (x / step).floor() * step
    return as_pixels(torch.where(step > 1, changed, x), images)


def solarize(images: Tensor, u: Tensor, *, strength: float = 1.0) -> Tensor:
    """Each image with its bright pixels inverted: x becomes 255 - x where x >= 256 (1 - strength |2u - 1|).

    u        [B, 1]
    """
    x = images.float()
    threshold = per_image(256 * (1 - strength * signed(u[:, 0]).abs()))
    return as_pixels(torch.where(x >= threshold, 255 - x, x), images)


def autocontrast(images: Tensor, u: Tensor) -> Tensor:
    """Each image, where u < 0.5, with every channel stretched so that its darkest pixel is 0 and its brightest 255.

        x = 255 (x - min) / (max - min),    a channel of one value stays as it is

    u        [B, 1]
    """
    x = images.float()
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    stretched = torch.where(high > low, (x - low) * (255 / (high - low).clamp(min=1e-6)), x)
    return as_pixels(torch.where(per_image(u[:, 0] < 0.5), stretched, x), images)


def equalize(images: Tensor, u: Tensor) -> Tensor:
    """Each image, where u < 0.5, with every channel mapped so that its values 0..255 are about equally frequent.

        x = round(255 n(x) / (H W - n[last]))

    with n(x) the pixels of the channel below x, and n[last] those of its brightest value: the darkest becomes 0, the
    brightest 255. A channel of one value stays as it is. Values between whole numbers are rounded first.

    u        [B, 1]

    Source: Gonzalez and Woods, Digital Image Processing, section 3.3 (there with the pixels up to and including x).
    """
    batch, channels, height, width = images.shape
    levels = images.float().round().clamp(0, 255).long().view(batch * channels, -1)  # [B C, H W]
    counts = torch.zeros(batch * channels, 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(1, levels, torch.ones_like(levels))
    below = counts.cumsum(1) - counts
    darker = height * width - counts.gather(1, levels.amax(1, keepdim=True))  # [B C, 1]
    table = (below * 510 + darker).div(2 * darker.clamp(min=1), rounding_mode="floor")
    equal = table.gather(1, levels).view(images.shape).float()
    is_changed = (darker > 0).view(batch, channels, 1, 1) & per_image(u[:, 0] < 0.5)
    return as_pixels(torch.where(is_changed, equal, images.float()), images)


def _smooth(x: Tensor) -> Tensor:
    """The 3x3 mean of `sharpness`, added up in a fixed order whatever the batch."""
    height, width = x.shape[-2:]
    if min(height, width) < 3:
        return x
    total = x[..., 1:-1, 1:-1] * 5
    for dy in range(3):
        for dx in range(3):
            if (dy, dx) != (1, 1):
                total = total + x[..., dy : dy + height - 2, dx : dx + width - 2]
    out = x.clone()
    out[..., 1:-1, 1:-1] = total / 13
    return out
