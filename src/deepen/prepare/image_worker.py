"""What a process does that decodes images for another one: answers requests on its standard input until that ends.

A request is a line of JSON, {"wanted": {...}, "images": [path, or the number of bytes of an embedded file, ...]}, and
then the bytes of the embedded files. The answer is a line of JSON with one object per image, and then the pixels that
did not find room in the memory that both processes share:

    bytes 0 to 7    the place, in the request, of the image that is being decoded: the one that a crash is about
    bytes 8 to end  the pixels of one answer, one image after the other

It imports numpy and Pillow but not torch, and is ready within 0.1 s of computing.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import signal
import sys
import traceback
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np

from deepen.prepare.image_decode import Decoded, Header, Wanted, answer

MOST_SECONDS = 30.0  # of computing for one image; then the kernel ends the process with SIGPROF
SHARED_BYTES = 32 << 20
PIXELS_FROM = 8
READY = b"ready\n"


def main(shared_file: int) -> None:
    """Serves until standard input ends, which it also does when the other process is killed.

    shared_file  the descriptor of the memory that both processes map
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process is asked to stop, and then closes the input
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    shared = mmap.mmap(shared_file, SHARED_BYTES)
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a decoder prints must not stand between the answers
    with suppress(BrokenPipeError):
        replies.write(READY)
        replies.flush()
        while line := sys.stdin.buffer.readline():
            _serve(json.loads(line), sys.stdin.buffer, replies, shared)


def _serve(request: dict[str, Any], requests: BinaryIO, replies: BinaryIO, shared: mmap.mmap) -> None:
    images = [image if isinstance(image, str) else requests.read(image) for image in request["images"]]
    wanted = Wanted(**{**request["wanted"], "background": tuple(request["wanted"]["background"])})
    said, beside, used = [], [], PIXELS_FROM
    for place, image in enumerate(images):
        shared[:PIXELS_FROM] = place.to_bytes(PIXELS_FROM, "little")
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        about, pixels = _answered(image, wanted)
        if pixels is not None and used + pixels.nbytes <= SHARED_BYTES:
            np.frombuffer(shared, np.uint8, pixels.nbytes, used)[:] = pixels.reshape(-1)
            about["at"] = used
            used += pixels.nbytes
        elif pixels is not None:
            beside.append(np.ascontiguousarray(pixels))
        said.append(about)
    replies.write(json.dumps(said).encode() + b"\n")
    for pixels in beside:
        replies.write(memoryview(pixels).cast("B"))
    replies.flush()


def _answered(image: str | bytes, wanted: Wanted) -> tuple[dict[str, Any], np.ndarray | None]:
    try:
        found = answer(image, wanted)
    except Exception:
        return {"bug": traceback.format_exc()}, None
    if isinstance(found, Header):
        return {"header": [found.height, found.width, found.is_grey]}, None
    if isinstance(found, Decoded):
        return {"shape": found.pixels.shape, "warnings": found.warnings}, found.pixels
    return {"unusable": [found.kind, str(found)]}, None
