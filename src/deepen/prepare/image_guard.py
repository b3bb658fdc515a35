"""Decoding in processes of their own, so that a decoder that crashes or never ends costs one file and not the run.

    with guarded():
        ...                     # images are decoded in worker processes, started when the first is needed

Outside of that, and where no process can be started, threads of this process decode. Training reads images again on
threads: by then each has been decoded once under guard.

A worker writes down in shared memory which image it holds. If it ends, that image gets a fault with its name (level
error for a crash, sample for one that took too long), another worker is started, and decoding goes on, so that all
such files are found at once.

Measured on 2 cores: 0.1 s for the start, and then 0 to 20 % more computing than on threads, in the same time.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from deepen.core import processor
from deepen.core.errors import DataError
from deepen.prepare.image_decode import Decoded, Header, Wanted
from deepen.prepare.image_faults import Unusable
from deepen.prepare.image_worker import MOST_SECONDS, PIXELS_FROM, READY, SHARED_BYTES

MOST_WORKERS = 4
MOST_CRASHES = 20
SECONDS_TO_END = 2.0
STARTED_BY = "import sys; sys.path[:] = {path!r}; from deepen.prepare.image_worker import main; main({shared})"
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    # memory is kept for the next image: without these two, page faults double the time of a 500 x 333 JPEG
    "MALLOC_MMAP_THRESHOLD_": str(1 << 28),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 28),
}
Answer = Header | Decoded | Unusable


class NotStarted(Exception):
    """No worker process can be started here."""


class Ended(Exception):
    """A worker ended before it had answered.

    code   what the process returned, -N after signal N
    place  which image of the request it held
    """

    def __init__(self, code: int, place: int) -> None:
        super().__init__(f"worker ended with {code} over image {place}")
        self.code, self.place = code, place


class Worker:
    """One process that decodes, and the memory shared with it."""

    def __init__(self) -> None:
        try:
            with _shared_file() as file:
                os.ftruncate(file.fileno(), SHARED_BYTES)
                self.shared = mmap.mmap(file.fileno(), SHARED_BYTES)
                self.process = _started(file.fileno())
        except (OSError, ValueError) as error:
            raise NotStarted from error
        self._is_ready = False

    def answers(self, images: Sequence[str | bytes], wanted: Wanted) -> list[Answer]:
        """What is wanted of each image, in order; pixels are good until the next call. Raises Ended or NotStarted."""
        requests, replies = self.process.stdin, self.process.stdout
        assert requests is not None and replies is not None
        if not self._is_ready and replies.readline() != READY:
            raise NotStarted
        self._is_ready = True
        said = [image if isinstance(image, str) else len(image) for image in images]
        try:
            requests.write(json.dumps({"wanted": asdict(wanted), "images": said}).encode() + b"\n")
            requests.writelines(image for image in images if isinstance(image, bytes))
            requests.flush()
        except BrokenPipeError:
            raise self._ended() from None
        line = replies.readline()
        if not line.endswith(b"\n"):
            raise self._ended()
        return [self._answer(about, replies) for about in json.loads(line)]

    def close(self) -> None:
        """Ends the process, by force where it does not end by itself."""
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                stream.close()  # type: ignore[union-attr]
        try:
            self.process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with suppress(BufferError):  # pixels are in use still; the memory goes with the last of them
            self.shared.close()

    def _ended(self) -> Ended:
        return Ended(self.process.wait(), int.from_bytes(self.shared[:PIXELS_FROM], "little"))

    def _answer(self, about: dict[str, Any], replies: IO[bytes]) -> Answer:
        assert "bug" not in about, about["bug"]
        if "header" in about:
            return Header(*about["header"])
        if "unusable" in about:
            return Unusable(*about["unusable"])
        num_bytes = math.prod(about["shape"])
        flat = np.frombuffer(self.shared, np.uint8, num_bytes, about["at"]) if "at" in about else None
        if flat is None:
            flat = np.frombuffer(replies.read(num_bytes), np.uint8)
            if flat.size < num_bytes:
                raise self._ended()
        return Decoded(flat.reshape(about["shape"]), tuple((kind, message) for kind, message in about["warnings"]))


def _shared_file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("deepen"), "r+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


def _started(shared: int) -> subprocess.Popen[bytes]:
    path = [*sys.path, str(Path(__file__).parents[2])]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", STARTED_BY.format(path=path, shared=shared)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **ENVIRONMENT},
        pass_fds=(shared,),
        process_group=0,  # Ctrl-C in a terminal is for this process alone
    )


class Workers:
    """A few workers, each lent to one thread at a time; started when they are needed."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.can_start = True
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._all: list[Worker] = []
        self._num_crashes = 0
        self._lock = threading.Lock()

    def each(
        self, images: Sequence[str | bytes], wanted: Wanted, finish: Callable[[Header | Decoded], Any]
    ) -> list[Any]:
        """What `finish` makes of the answer to each image, in order, or Unusable.

        finish  must not keep the pixels themselves

        Raises NotStarted where no worker can be started, and DataError after many crashes.
        """
        worker = self._lent()
        try:
            answers = worker.answers(images, wanted)
            found = [answer if isinstance(answer, Unusable) else finish(answer) for answer in answers]
        except Ended as ended:
            self._drop(worker)
            place = min(ended.place, len(images) - 1)
            parts = [images[:place], images[place + 1 :]]
            before, after = (self.each(part, wanted, finish) if part else [] for part in parts)
            return [*before, self._crash(ended.code, images[place]), *after]
        except BaseException as error:
            self._drop(worker)
            self.can_start &= not isinstance(error, NotStarted)
            raise
        self._idle.put(worker)
        return found

    def close(self) -> None:
        """Ends all of them."""
        for worker in self._all:
            worker.close()
        self._all.clear()

    def _lent(self) -> Worker:
        with suppress(queue.Empty):
            return self._idle.get_nowait()
        with self._lock:
            try:
                worker = Worker()
            except NotStarted:
                self.can_start = False
                raise
            self._all.append(worker)
            return worker

    def _drop(self, worker: Worker) -> None:
        with self._lock:
            self._all.remove(worker)
        worker.close()

    def _crash(self, code: int, image: str | bytes) -> Unusable:
        with self._lock:
            self._num_crashes += 1
            if self._num_crashes > MOST_CRASHES:
                place = image if isinstance(image, str) else "an embedded image"
                raise DataError(
                    f"{place}: the image decoder crashed on this and {MOST_CRASHES} other files; something "
                    "is wrong with all of them, or with this installation of Pillow."
                )
        return crash(code)


def crash(code: int) -> Unusable:
    """The fault of an image over which a worker ended with this code."""
    if code == -signal.SIGPROF:
        return Unusable(
            "image-costly", f"takes more than {MOST_SECONDS:.0f} seconds of computing to decode; save it again."
        )
    if code == -signal.SIGKILL:
        message = "the process that decoded it was killed (SIGKILL), as happens when memory runs out; make it smaller."
        return Unusable("image-killed", message, "error")
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    message = f"the image decoder crashed on it ({name}); remove it, or save it again with another program."
    return Unusable("image-crash", message, "error")


_current: list[Workers] = []


@contextmanager
def guarded() -> Iterator[None]:
    """Inside, images are decoded in processes of their own, which have ended when it is left."""
    if _current:
        yield
        return
    cores = processor.available_cores()
    workers = Workers(min(MOST_WORKERS, cores + 1))  # one decodes while another's pixels are resized
    _current.append(workers)
    try:
        yield
    finally:
        _current.remove(workers)
        workers.close()


def current() -> Workers | None:
    """The workers of the guard that is open, or None."""
    return _current[-1] if _current and _current[-1].can_start else None
