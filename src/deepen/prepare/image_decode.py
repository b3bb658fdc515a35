"""One image, from the bytes of a file to [H, W, C] uint8, or the sentence that says why not.

Read: JPEG, PNG, GIF, BMP, WebP and TIFF, by content and not by name; nothing else is ever opened. Applied everywhere:
the EXIF orientation; CMYK to RGB; transparency composed on the background; the first frame of several. Grey of 16 bits
is divided by 257, so 0 to 65,535 becomes 0 to 255. Floating-point pixels may be 0 to 1, 0 to 255 or 0 to 65,535, told
apart by the largest value in the image. Sizes are read from the header, and refused there, before pixels take memory.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from deepen.core.magic import HEAD_BYTES, IMAGE_KINDS, IMAGES_READ, described, image_kind

LARGEST_PIXELS = 64_000_000
LARGEST_FILE_BYTES = 512 << 20
MOST_SCANS = 100  # of a progressive JPEG: each costs a pass over all pixels
MOST_CHUNKS = 10_000  # of a PNG
GREATEST_ASPECT = 100
GREY_MODES = ("1", "L", "I", "F", "LA", "La")
TRANSPARENT_MODES = ("RGBA", "LA", "PA", "RGBa", "La")


class Unusable(Exception):
    """Why one image cannot be used: a kind by which like faults are grouped, and the rest of the sentence."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Header:
    """What the header of an image says: its size after EXIF orientation, and whether it is grey."""

    height: int
    width: int
    is_grey: bool


@dataclass(frozen=True)
class Decoded:
    """The pixels, [H, W, C] uint8 with C 1 or 3, and what is worth a warning: (kind, message) pairs."""

    pixels: np.ndarray
    warnings: tuple[tuple[str, str], ...] = ()


def file_bytes(image: str | bytes) -> bytes:
    """The bytes of an image given as a path or as the bytes themselves. Raises Unusable."""
    if isinstance(image, bytes):
        return image
    try:
        descriptor = os.open(image, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a FIFO must not block
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Unusable("file-irregular", "is not a regular file; remove it.")
            if status.st_size > LARGEST_FILE_BYTES:
                raise Unusable("image-large", f"is {status.st_size:,} bytes; at most {LARGEST_FILE_BYTES:,} are read.")
            return file.read()
    except FileNotFoundError:
        raise Unusable("file-missing", "does not exist (any more); mend the path or remove it.") from None
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "not a possible path").lower()
        raise Unusable("file-unreadable", f"cannot be read ({reason}); mend or remove it.") from None


def header(data: bytes, *, max_pixels: int = LARGEST_PIXELS) -> Header:
    """Size and kind, without decoding. Raises Unusable for what is not an image or has too many pixels."""
    image = _opened(data, max_pixels)
    width, height = image.size
    if _orientation(image) in (5, 6, 7, 8):
        width, height = height, width
    is_grey = image.mode in GREY_MODES or image.mode.startswith("I;")
    return Header(height, width, is_grey)


def decode(
    data: bytes,
    *,
    channels: int,
    background: tuple[int, int, int] = (255, 255, 255),
    max_pixels: int = LARGEST_PIXELS,
    least_size: int = 0,
) -> Decoded:
    """The pixels of the first frame.

    channels    1 or 3; colour becomes grey as 0.299 R + 0.587 G + 0.114 B
    background  RGB put behind transparent pixels
    least_size  a JPEG whose shorter side is far larger may be decoded smaller, never below this; 0 for full size
    Raises Unusable with the kind and the sentence.
    """
    image = _opened(data, max_pixels)
    notes = _warned(image)
    if least_size and image.format == "JPEG":
        image.draft(None, (least_size, least_size))
    _load(image, data)
    try:
        image = ImageOps.exif_transpose(image)
    except Exception as error:  # a broken EXIF block is no reason to lose the pixels
        _ours(error)
    pixels, more = _as_bytes(image, channels, background)
    return Decoded(pixels, (*notes, *more))


def _opened(data: bytes, max_pixels: int) -> Image.Image:
    """The image with its header read and judged, its pixels not decoded."""
    kind = image_kind(data[:HEAD_BYTES])
    if kind is None:
        what = described(data[:HEAD_BYTES])
        raise Unusable(
            "image-kind", f"is {what}, not an image of a kind that is read ({IMAGES_READ}); remove it or get it again."
        )
    _judge_structure(data, kind)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=IMAGE_KINDS)
    except Image.DecompressionBombError:
        raise Unusable(
            "image-bomb", f"has too many pixels in its header; at most {max_pixels:,} are decoded."
        ) from None
    except UnidentifiedImageError:
        raise Unusable(
            "image-damaged", f"is a {kind} file whose header is damaged or cut ({len(data):,} bytes); get it again."
        ) from None
    except Exception as error:
        raise _damaged(error, data) from None
    width, height = image.size
    if width < 1 or height < 1:
        raise Unusable("image-damaged", f"says it is {width} x {height} pixels in its header; get it again.")
    if width * height > max_pixels:
        raise Unusable(
            "image-bomb",
            f"says it is {width:,} x {height:,} pixels in its header; at most {max_pixels:,} are decoded. Shrink it.",
        )
    return image


def _load(image: Image.Image, data: bytes) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
    except MemoryError:
        raise Unusable("image-bomb", "needs more memory than there is; make it smaller.") from None
    except Exception as error:
        if "truncated" in str(error) or "unpack" in str(error) or isinstance(error, (EOFError, struct.error)):
            raise Unusable("image-truncated", _truncated(image, data)) from None
        raise _damaged(error, data) from None


def _truncated(image: Image.Image, data: bytes) -> str:
    """`image file is truncated (31,204 of about 80,000 bytes)`: about, by the share of rows that were decoded."""
    core = getattr(image, "_im", None)
    box = core.getbbox() if core is not None else None
    share = box[3] / image.size[1] if box else 0.0
    if image.format == "BMP" and len(data) >= 6:
        total = struct.unpack_from("<I", data, 2)[0]
        if total > len(data):
            return f"image file is truncated ({len(data):,} of {total:,} bytes); get it again."
    if 0.0 < share < 1.0:
        total = round(len(data) / share, -2)
        return (
            f"image file is truncated ({len(data):,} of about {int(max(total, len(data) + 1)):,} bytes); get it again."
        )
    return f"image file is truncated ({len(data):,} bytes are not all of it); get it again."


def _damaged(error: Exception, data: bytes) -> Unusable:
    _ours(error)
    words = str(error).splitlines()[0] if str(error) else "its structure is wrong"
    if "truncated" in words.lower():
        return Unusable(
            "image-truncated", f"image file is truncated ({len(data):,} bytes are not all of it); get it again."
        )
    return Unusable("image-damaged", f"image file is damaged ({_plain(words)}); get it again.")


def _plain(words: str) -> str:
    """A decoder's message without the names of its classes and its buffers."""
    return words.replace("Error", "fault").split("<_io", 1)[0].strip().rstrip(".")[:120]


def _ours(error: Exception) -> None:
    if isinstance(error, AssertionError):
        raise error


def _judge_structure(data: bytes, kind: str) -> None:
    """Refuses files built to cost time: thousands of scans or chunks."""
    if kind == "JPEG" and data.count(b"\xff\xda") > MOST_SCANS and (scans := _num_scans(data)) > MOST_SCANS:
        raise Unusable(
            "image-costly", f"is a JPEG of {scans:,} scans; at most {MOST_SCANS} are decoded. Save it again."
        )
    if kind == "PNG" and (chunks := _num_chunks(data)) > MOST_CHUNKS:
        raise Unusable("image-costly", f"is a PNG of more than {MOST_CHUNKS:,} chunks ({chunks:,}); save it again.")


def _num_scans(data: bytes) -> int:
    """Start-of-scan markers; within entropy-coded data 0xFF is always followed by 0 or a restart marker."""
    return data.count(b"\xff\xda\x00")


def _num_chunks(data: bytes) -> int:
    place, count = 8, 0
    while place + 8 <= len(data) and count <= MOST_CHUNKS:
        place += 12 + int.from_bytes(data[place : place + 4], "big")
        count += 1
    return count


def _warned(image: Image.Image) -> list[tuple[str, str]]:
    found = []
    try:
        frames = (
            int(getattr(image, "n_frames", 1)) if getattr(image, "is_animated", False) and image.format != "MPO" else 1
        )
        image.seek(0)
    except Exception as error:
        _ours(error)
        frames = 1
    if frames > 1:
        found.append(("image-frames", f"has {frames} frames or pages; the first is used."))
    width, height = image.size
    if max(width, height) > GREATEST_ASPECT * min(width, height) and min(width, height) > 0:
        found.append(
            ("image-aspect", f"is {width:,} x {height:,} pixels, very narrow; little of it is left after resizing.")
        )
    return found


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception as error:
        _ours(error)
        return 1


def _as_bytes(
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
