"""Decoding in processes of their own, so that a decoder that crashes or never ends costs one file and not the run.

    with guarded():
        ...                     # images are decoded in worker processes, started when the first is needed

Outside of that, and where no process can be started, threads of this process decode. Training reads images again on
threads: by then each has been decoded once under guard.

A worker that ends has held the first image that it did not answer. That image gets a fault with its name (level error
for a crash, sample for one that took too long), another worker is started, and decoding goes on, so that all such
files are found at once.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from deepen.core.errors import DataError
from deepen.prepare.image_decode import Decoded, Header, Wanted
from deepen.prepare.image_faults import Unusable
from deepen.prepare.image_worker import MOST_SECONDS, READY

MOST_WORKERS = 4
MOST_CRASHES = 20
PIPE_BYTES = 1 << 20
SECONDS_TO_END = 2.0
STARTED_BY = "import sys; sys.path[:] = {path!r}; from deepen.prepare.image_worker import main; main()"
Answer = Header | Decoded | Unusable


class NotStarted(Exception):
    """No worker process can be started here."""


class Ended(Exception):
    """A worker ended before it had answered; `code` is what the process returned, -N after signal N."""

    def __init__(self, code: int) -> None:
        super().__init__(f"worker ended with {code}")
        self.code = code


class Worker:
    """One process that decodes."""

    def __init__(self) -> None:
        path = [*sys.path, str(Path(__file__).parents[2])]
        command = [sys.executable, "-I", "-S", "-c", STARTED_BY.format(path=path)]
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pipesize=PIPE_BYTES,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                process_group=0,  # Ctrl-C in a terminal is for this process alone
            )
        except (OSError, ValueError, TypeError) as error:
            raise NotStarted from error
        self._is_ready = False

    def answers(self, images: Sequence[str | bytes], wanted: Wanted) -> Iterator[Answer]:
        """What is wanted of each image, in order. Raises Ended if the process ended in between."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self._wait_until_ready()
        said = [image if isinstance(image, str) else len(image) for image in images]
        try:
            self.process.stdin.write(json.dumps({"wanted": asdict(wanted), "images": said}).encode() + b"\n")
            for image in images:
                if isinstance(image, bytes):
                    self.process.stdin.write(image)
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Ended(self.process.wait()) from None
        for _ in images:
            yield self._answer()

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

    def _wait_until_ready(self) -> None:
        if not self._is_ready:
            assert self.process.stdout is not None
            if self.process.stdout.readline() != READY:
                raise NotStarted
            self._is_ready = True

    def _answer(self) -> Answer:
        stream = self.process.stdout
        assert stream is not None
        line = stream.readline()
        if not line.endswith(b"\n"):
            raise Ended(self.process.wait())
        said = json.loads(line)
        assert "bug" not in said, said["bug"]
        if "header" in said:
            return Header(*said["header"])
        if "unusable" in said:
            return Unusable(*said["unusable"])
        pixels = np.empty(said["shape"], np.uint8)
        view = memoryview(pixels).cast("B")
        while len(view):
            count = stream.readinto(view)  # type: ignore[attr-defined]
            if not count:
                raise Ended(self.process.wait())
            view = view[count:]
        return Decoded(pixels, tuple((kind, message) for kind, message in said["warnings"]))


class Workers:
    """A few workers, each lent to one thread at a time; started when they are needed."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.can_start = True
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._all: list[Worker] = []
        self._num_crashes = 0
        self._lock = threading.Lock()

    def answers(self, images: Sequence[str | bytes], wanted: Wanted) -> Iterator[Answer]:
        """What is wanted of each image, in order; those over which a worker ended are Unusable.

        Raises NotStarted where no worker can be started, and DataError after many crashes.
        """
        done = 0
        while done < len(images):
            worker = self._lent()
            try:
                for answer in worker.answers(images[done:], wanted):
                    yield answer
                    done += 1
            except NotStarted:
                self._drop(worker)
                self.can_start = False
                raise
            except Ended as ended:
                self._drop(worker)
                yield self._crash(ended.code, images[done])
                done += 1
                continue
            except GeneratorExit:
                self._drop(worker)  # it would go on to answer what nobody reads
                raise
            self._idle.put(worker)

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
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = Workers(min(MOST_WORKERS, cores))
    _current.append(workers)
    try:
        yield
    finally:
        _current.remove(workers)
        workers.close()


def current() -> Workers | None:
    """The workers of the guard that is open, or None."""
    return _current[-1] if _current and _current[-1].can_start else None
