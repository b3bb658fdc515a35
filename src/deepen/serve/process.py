"""A worker process as the server sees it: started, asked, and noticed when it ends."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from deepen.prepare.fields import Field
from deepen.serve import frames
from deepen.serve.answering import About, Row

START_SECONDS = 300.0
END_SECONDS = 5.0
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class NotReady(Exception):
    """A worker that could not be started; the text says why, without paths."""


class Ended(Exception):
    """A worker that ended before it had answered."""


@dataclass(frozen=True)
class Command:
    """How a worker is started.

    words    its command line
    threads  that its computing may use
    """

    words: tuple[str, ...]
    threads: int = 1


@dataclass
class Reply:
    """What a worker answered: what became of each row, and the bytes of each.

    seconds    of computing
    preparing  seconds of that
    """

    outcomes: list[str]
    blobs: list[bytes]
    seconds: float = 0.0
    preparing: float = 0.0


@dataclass(eq=False)
class WorkerProcess:
    """One worker. Made by `start`."""

    process: asyncio.subprocess.Process
    about: About
    batch_size: int
    enough: int
    rate: float
    waiting: dict[int, asyncio.Future[Reply]] = field(default_factory=dict)
    has_ended: bool = False
    num_sent: int = 0  # batches that a lane has sent and not got back
    _last: int = 0
    _reader: asyncio.Task[None] | None = None

    @cached_property
    def fields(self) -> list[Field]:
        """What a row consists of."""
        return [
            Field(**{**each, "choices": tuple(each["choices"]), "size": tuple(each["size"]) if each["size"] else None})
            for each in self.about.fields
        ]

    async def ask(self, rows: Sequence[Row], do: str = "answer", *, places: Sequence[int] = ()) -> Reply:
        """What becomes of the rows. Raises Ended if the process does first.

        places  where each stands in its request, for the answers' `source`; default: where it stands here
        """
        if self.has_ended:
            raise Ended
        self._last += 1
        number = self._last
        header, blobs = _message(rows)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.waiting[number] = future
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(
                frames.packed({"do": do, "id": number, "rows": header, "places": [*places]}, blobs)
            )
            await self.process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            self._ends()
        try:
            return await future
        finally:
            self.waiting.pop(number, None)

    async def close(self) -> int:
        """Ends it, by force where it does not end by itself; its exit code."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), END_SECONDS)
        except TimeoutError:
            self.kill()
            await self.process.wait()
        if self._reader is not None:
            self._reader.cancel()
        self._ends()
        return self.process.returncode or 0

    def kill(self) -> None:
        """Ends it at once."""
        if self.process.returncode is None:
            self.process.kill()

    async def read(self) -> None:
        """Hands on what it answers, until it ends."""
        assert self.process.stdout is not None
        while (message := await _next(self.process.stdout)) is not None:
            header, blobs = message
            future = self.waiting.get(header["id"])
            if future is not None and not future.done():
                future.set_result(Reply(header["outcomes"], blobs, header["seconds"], header["preparing"]))
        await self.process.wait()
        self._ends()

    def _ends(self) -> None:
        self.has_ended = True
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(Ended())


async def start(command: Command) -> WorkerProcess:
    """A worker that is loaded and warm. Raises NotReady."""
    process = await asyncio.create_subprocess_exec(
        *command.words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment(command.threads),
        start_new_session=True,  # Ctrl-C in a terminal is for the server, which then ends its workers
        limit=1 << 20,
    )
    assert process.stdout is not None
    try:
        message = await asyncio.wait_for(_next(process.stdout), START_SECONDS)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if message is None or "failed" in message[0]:
        code = await process.wait()
        raise NotReady(message[0]["failed"] if message else f"its process ended with {code} before it was loaded.")
    said = message[0]
    worker = WorkerProcess(process, About(**said["about"]), said["batch_size"], said["enough"], said["rate"])
    worker._reader = asyncio.create_task(worker.read())
    return worker


def environment(threads: int) -> Mapping[str, str]:
    """The process's own, with the number of threads and without the server's token."""
    kept = {name: value for name, value in os.environ.items() if name != "DEEPEN_TOKEN"}
    return {**kept, **dict.fromkeys(THREADS, str(threads))}


def _message(rows: Sequence[Row]) -> tuple[list[dict[str, Any]], list[bytes]]:
    blobs: list[bytes] = []
    header = []
    for row in rows:
        cells: dict[str, Any] = {}
        for name, cell in row.items():
            if isinstance(cell, bytes):
                cells[name] = {"blob": len(blobs)}
                blobs.append(cell)
            else:
                cells[name] = cell
        header.append(cells)
    return header, blobs


async def _next(stream: asyncio.StreamReader) -> tuple[dict[str, Any], list[bytes]] | None:
    try:
        size, beside = frames.lengths(await stream.readexactly(frames.HEAD.size))
        return frames.unpacked(await stream.readexactly(size), await stream.readexactly(beside))
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return None
