"""One image, from the bytes of a file to [H, W, C] uint8, or the sentence that says why not.

Read: JPEG, PNG, GIF, BMP, WebP and TIFF, by content and not by name; nothing else is ever opened. Applied everywhere:
the EXIF orientation; CMYK to RGB; transparency composed on the background; the first frame of several. Grey of 16 bits
is divided by 257, so 0 to 65,535 becomes 0 to 255. Floating-point pixels may be 0 to 1, 0 to 255 or 0 to 65,535, told
apart by the largest value in the image. Sizes are read from the header, and refused there, before pixels take memory.
Colour profiles and gamma are not applied.

JPEG is decoded by simplejpeg where it is installed (the extra `images`), to the same pixels in four fifths of the time.
Nothing here imports torch, so that a process that only decodes starts fast.
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
from deepen.prepare.image_faults import Unusable, damaged, judge_structure, ours, truncated, warned
from deepen.prepare.image_modes import as_bytes

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

LARGEST_PIXELS = 64_000_000
LARGEST_FILE_BYTES = 512 << 20
NO_MEMORY = "needs more memory than there is; make it smaller."
GREY_MODES = ("1", "L", "I", "F", "LA", "La")


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


@dataclass(frozen=True)
class Wanted:
    """What is wanted of images: their headers alone (channels 0), or their pixels, with the arguments of `decode`."""

    max_pixels: int = LARGEST_PIXELS
    channels: int = 0
    background: tuple[int, int, int] = (255, 255, 255)
    least_size: int = 0


def answer(image: str | bytes, wanted: Wanted) -> Header | Decoded | Unusable:
    """What is wanted of an image given as a path or as the bytes of a file, or why it cannot be had."""
    try:
        data = file_bytes(image)
        if wanted.channels == 0:
            return header(data, max_pixels=wanted.max_pixels)
        return decode(
            data,
            channels=wanted.channels,
            background=wanted.background,
            max_pixels=wanted.max_pixels,
            least_size=wanted.least_size,
        )
    except Unusable as reason:
        return reason
    except MemoryError:
        return Unusable("image-bomb", NO_MEMORY)


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
    notes = warned(image)
    turbo = _by_simplejpeg(image, data, least_size)
    if turbo is not None:
        return Decoded(as_bytes(turbo, channels, background)[0], tuple(notes))
    if least_size and image.format == "JPEG":
        image.draft(None, (least_size, least_size))
    _load(image, data)
    try:
        image = ImageOps.exif_transpose(image)
    except Exception as error:  # a broken EXIF block is no reason to lose the pixels
        ours(error)
    pixels, more = as_bytes(image, channels, background)
    return Decoded(pixels, (*notes, *more))


def _by_simplejpeg(image: Image.Image, data: bytes, least_size: int) -> Image.Image | None:
    """A plain upright JPEG as Pillow would decode it, or None: then Pillow decodes it or says what is wrong."""
    if simplejpeg is None or image.format != "JPEG" or image.mode not in ("L", "RGB") or _orientation(image) != 1:
        return None
    width, height = image.size
    ratio = min(width, height) // least_size if least_size else 1
    factor = next((factor for factor in (8, 4, 2) if ratio >= factor), 1)
    kind = "GRAY" if image.mode == "L" else "RGB"
    try:
        pixels = simplejpeg.decode_jpeg(data, kind, min_height=-(-height // factor), min_width=-(-width // factor))
    except (ValueError, MemoryError):
        return None
    return Image.fromarray(pixels[..., 0] if image.mode == "L" else pixels)


def _opened(data: bytes, max_pixels: int) -> Image.Image:
    """The image with its header read and judged, its pixels not decoded."""
    kind = image_kind(data[:HEAD_BYTES])
    if kind is None:
        what = described(data[:HEAD_BYTES])
        raise Unusable(
            "image-kind", f"is {what}, not an image of a kind that is read ({IMAGES_READ}); remove it or get it again."
        )
    judge_structure(data, kind)
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
        raise damaged(error, data) from None
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
        raise Unusable("image-bomb", NO_MEMORY) from None
    except Exception as error:
        if "truncated" in str(error) or "unpack" in str(error) or isinstance(error, (EOFError, struct.error)):
            raise Unusable("image-truncated", truncated(image, data)) from None
        raise damaged(error, data) from None


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception as error:
        ours(error)
        return 1
