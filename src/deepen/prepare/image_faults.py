"""What is wrong or odd about one image file, in sentences; and files that are built to cost time."""

from __future__ import annotations

import struct
from typing import Literal

from PIL import Image

MOST_SCANS = 100  # of a progressive JPEG: each costs a pass over all pixels
MOST_CHUNKS = 10_000  # of a PNG
GREATEST_ASPECT = 100


class Unusable(Exception):
    """Why an image cannot be used: a kind by which like faults are grouped, the rest of the sentence, and its level."""

    def __init__(self, kind: str, message: str, level: Literal["sample", "error"] = "sample") -> None:
        super().__init__(message)
        self.kind = kind
        self.level: Literal["sample", "error"] = level


def judge_structure(data: bytes, kind: str) -> None:
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


def warned(image: Image.Image) -> list[tuple[str, str]]:
    found = []
    try:
        frames = (
            int(getattr(image, "n_frames", 1)) if getattr(image, "is_animated", False) and image.format != "MPO" else 1
        )
        image.seek(0)
    except Exception as error:
        ours(error)
        frames = 1
    if frames > 1:
        found.append(("image-frames", f"has {frames} frames or pages; the first is used."))
    width, height = image.size
    if max(width, height) > GREATEST_ASPECT * min(width, height) and min(width, height) > 0:
        found.append(
            ("image-aspect", f"is {width:,} x {height:,} pixels, very narrow; little of it is left after resizing.")
        )
    return found


def truncated(image: Image.Image, data: bytes) -> str:
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


def damaged(error: Exception, data: bytes) -> Unusable:
    ours(error)
    words = str(error).splitlines()[0] if str(error) else "its structure is wrong"
    if "truncated" in words.lower():
        return Unusable(
            "image-truncated", f"image file is truncated ({len(data):,} bytes are not all of it); get it again."
        )
    return Unusable("image-damaged", f"image file is damaged ({_plain(words)}); get it again.")


def _plain(words: str) -> str:
    """A decoder's message without the names of its classes and its buffers."""
    return words.replace("Error", "fault").split("<_io", 1)[0].strip().rstrip(".")[:120]


def ours(error: Exception) -> None:
    if isinstance(error, AssertionError):
        raise error
