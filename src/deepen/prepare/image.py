"""Images: a column of paths, encoded files or pixel arrays -> one uint8 tensor; and the numbers that normalize it.

What is learned (from the training table) is a dict that JSON can hold:

    size        [height, width] of every encoded image. Pixel arrays keep theirs. Files: their common size, if all have
                one and it is at most 96 pixels; else a square of 96 pixels, unless `image_size` says otherwise
    channels    1 if every training image is grey, else 3
    mean, std   per channel, of pixels in 0 to 1, over up to 2,048 training images chosen evenly
    normalize   "mean" (by those two), "global-contrast", "local-contrast" (see ops/contrast) or "whitening"
    mean_colour where `normalize` is not "mean": per channel, what `mean` would be; those two are then 0 and 1
    whitening   of the last: mean, directions and variances of training images normalized by global contrast
    background  RGB behind transparent pixels and around padded images
    resize      "crop", "stretch" or "pad" (see image_resize)
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from deepen.ops.contrast import global_contrast, local_contrast
from deepen.ops.whitening import Spectrum, zca_whitened
from deepen.prepare.image_columns import State
from deepen.prepare.image_encode import CACHED_FROM, EncodedImages, encode, pixels_at, pixels_of, some_pixels
from deepen.prepare.image_learn import DEFAULT_SIZE, Normalize, Resize, learn
from deepen.prepare.packed import unpacked

__all__ = [
    "CACHED_FROM",
    "DEFAULT_SIZE",
    "EncodedImages",
    "Normalize",
    "Resize",
    "State",
    "encode",
    "encode_png",
    "learn",
    "normalized",
    "pixels_at",
    "pixels_of",
    "some_pixels",
]


def normalized(batch: Tensor, state: State) -> Tensor:
    """Pixels as a network takes them: (x / 255 - mean) / std per channel, or as `state["normalize"]` says.

    batch    [B, H, W, C] or [B, C, H, W] uint8 or float in 0 to 255, on any device
    returns  [B, C, H, W] float32 in channels-last memory order
    """
    if batch.shape[-1] == state["channels"] and tuple(batch.shape[1:3]) == tuple(state["size"]):
        batch = batch.permute(0, 3, 1, 2)
    if state.get("normalize", "mean") != "mean":
        return _by_itself(batch.to(torch.float32) / 255, state).contiguous(memory_format=torch.channels_last)
    scale, shift = _scale_and_shift(tuple(state["mean"]), tuple(state["std"]), batch.device)
    floats = batch.to(torch.float32).contiguous(memory_format=torch.channels_last)
    return torch.addcmul(shift, floats, scale)


def _by_itself(pixels: Tensor, state: State) -> Tensor:
    """Contrast normalization of [B, C, H, W] in 0..1, and whitening after it."""
    if state["normalize"] == "local-contrast":
        return local_contrast(pixels)
    normal = global_contrast(pixels)
    if state["normalize"] == "global-contrast":
        return normal
    learned = state["whitening"]
    mean, directions, variances = (
        _tensor(learned[name]["float32"], tuple(learned[name]["shape"]), pixels.device)
        for name in ("mean", "directions", "variances")
    )
    found = Spectrum(mean, directions, variances, learned["rest"])
    return zca_whitened(normal.flatten(1), found, epsilon=learned["epsilon"]).view(normal.shape)


@lru_cache(maxsize=8)
def _tensor(text: str, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """A packed array on a device; made once, since every batch wants it."""
    return torch.from_numpy(unpacked({"shape": shape, "float32": text})).to(device)


@lru_cache(maxsize=8)
def _scale_and_shift(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """1 / (255 std) and -mean / std, each [1, C, 1, 1]; made once, since every batch wants them."""
    wide = torch.tensor(std, dtype=torch.float64)
    scale, shift = 1 / (255 * wide), -torch.tensor(mean, dtype=torch.float64) / wide
    return tuple(part.to(device, torch.float32).view(1, -1, 1, 1) for part in (scale, shift))  # type: ignore[return-value]


def encode_png(pixels: Tensor | np.ndarray) -> bytes:
    """A PNG file of one image, for reports and pages.

    pixels  [H, W, C] uint8 with C 1 or 3
    """
    array = pixels.detach().cpu().numpy() if isinstance(pixels, Tensor) else np.asarray(pixels)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[-1] == 1 else array)).save(buffer, "PNG")
    return buffer.getvalue()
