"""Pixels of any mode of an image file as bytes: grey or RGB, 8 bits."""

from __future__ import annotations

import numpy as np
from PIL import Image

from deepen.prepare.image_faults import Unusable

TRANSPARENT_MODES = ("RGBA", "LA", "PA", "RGBa", "La")


def as_bytes(
    image: Image.Image, channels: int, background: tuple[int, int, int]
) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """[H, W, channels] uint8, and warnings about the range of deep pixels."""
    mode = "L" if channels == 1 else "RGB"
    if image.mode == "F":
        return _in_channels(_from_float(np.asarray(image)), channels), []
    if image.mode == "I" or image.mode.startswith("I;"):
        pixels, found = _from_deep(np.asarray(image))
        return _in_channels(pixels, channels), found
    if image.mode in TRANSPARENT_MODES or "transparency" in image.info:
        behind = Image.new("RGBA", image.size, (*background, 255))
        image = Image.alpha_composite(behind, image.convert("RGBA")).convert("RGB")
    elif image.mode not in ("1", "L", "RGB"):
        image = image.convert("RGB")
    pixels = np.array(image.convert(mode) if image.mode != mode else image)
    return pixels.reshape(*pixels.shape[:2], channels), []


def _in_channels(grey: np.ndarray, channels: int) -> np.ndarray:
    return np.repeat(grey[..., None], channels, axis=2)


def _from_deep(values: np.ndarray) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """Grey of 16 (or 32) bits to bytes: divided by 257; a warning where the true range is plainly smaller."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65_535:
        raise Unusable("image-range", f"has pixel values from {low} to {high}; expected 0 to 65,535.")
    found = []
    if 0 < high < 1 << 13:
        bits = max(1, high.bit_length())
        found.append(
            (
                "image-range",
                f"has 16-bit pixels of at most {high} ({bits} bits), so it is read as very dark; stretch it to 65,535.",
            )
        )
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8), found


def _from_float(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise Unusable("image-range", "has pixels that are NaN or infinite; expected 0 to 1, 0 to 255 or 0 to 65,535.")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 65_535:
        raise Unusable(
            "image-range", f"has pixel values from {low:g} to {high:g}; expected 0 to 1, 0 to 255 or 0 to 65,535."
        )
    scale = 255.0 if high <= 1 else 1.0 if high <= 255 else 1 / 257
    return np.rint(values * scale).astype(np.uint8)
