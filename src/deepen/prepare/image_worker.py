"""What a process does that decodes images for another one: answers requests on its standard input until that ends.

A request is a line of JSON, {"wanted": {...}, "images": [path, or the number of bytes of an embedded file, ...]}, and
then the bytes of the embedded files. Each image is answered at once, in order, by a line of JSON and, where that has
a `shape`, the pixels. So whoever reads knows which image the process held when it ended: the first without an answer.

It imports numpy and Pillow but not torch, and is ready within 0.1 s of computing.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import traceback
from contextlib import suppress
from typing import Any, BinaryIO

from deepen.prepare.image_decode import Decoded, Header, Wanted, answer

MOST_SECONDS = 30.0  # of computing for one image; then the kernel ends the process with SIGPROF
READY = b"ready\n"


def main() -> None:
    """Serves until standard input ends, which it also does when the other process is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process is asked to stop, and then closes the input
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a decoder prints must not stand between the answers
    with suppress(BrokenPipeError):
        replies.write(READY)
        replies.flush()
        while line := sys.stdin.buffer.readline():
            _serve(json.loads(line), sys.stdin.buffer, replies)


def _serve(request: dict[str, Any], requests: BinaryIO, replies: BinaryIO) -> None:
    images = [image if isinstance(image, str) else requests.read(image) for image in request["images"]]
    wanted = Wanted(**{**request["wanted"], "background": tuple(request["wanted"]["background"])})
    for image in images:
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        said, pixels = _answered(image, wanted)
        replies.write(json.dumps(said).encode() + b"\n")
        replies.write(pixels)
        replies.flush()


def _answered(image: str | bytes, wanted: Wanted) -> tuple[dict[str, Any], Any]:
    try:
        found = answer(image, wanted)
    except Exception:
        return {"bug": traceback.format_exc()}, b""
    if isinstance(found, Header):
        return {"header": [found.height, found.width, found.is_grey]}, b""
    if isinstance(found, Decoded):
        pixels = found.pixels if found.pixels.flags.c_contiguous else found.pixels.copy()
        return {"shape": found.pixels.shape, "warnings": found.warnings}, memoryview(pixels).cast("B")
    return {"unusable": [found.kind, str(found)]}, b""
