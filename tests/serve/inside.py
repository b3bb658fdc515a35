"""Runs served over HTTP by the test's own process: what stands for a worker process only hands bytes on to a thread.

So the server, its page and the runs' answers are the real ones, and PyTorch is imported once, not once per run.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

from deepen.serve.answering import Answers
from deepen.serve.keeper import Model
from deepen.serve.process import Command
from deepen.serve.server import Told
from deepen.serve.worker import serve
from tests.serve.echo import served

RELAY = """
import os, socket, sys, threading
there = socket.socket(socket.AF_UNIX); there.connect(sys.argv[1])
def forth():
    while part := os.read(0, 1 << 16): there.sendall(part)
    there.shutdown(socket.SHUT_WR)
threading.Thread(target=forth, daemon=True).start()
while part := there.recv(1 << 16): sys.stdout.buffer.write(part); sys.stdout.buffer.flush()
"""


@contextlib.contextmanager
def served_inside(made: Mapping[str, Callable[[], Answers]], folder: Path, **options: object) -> Generator[Told]:
    """A server with a model by each name."""
    models, listening = [], []
    for number, (name, make) in enumerate(made.items()):
        place = folder / f"{number}"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(place))
        listener.listen()
        threading.Thread(target=_accept, args=(listener, make), daemon=True).start()
        command = Command((sys.executable, "-I", "-S", "-c", RELAY, str(place)))
        models.append(Model(name, folder, (), command, command))
        listening.append(listener)
    with served(models, **options) as (_, told):
        yield told
    for listener in listening:
        listener.close()


def _accept(listener: socket.socket, make: Callable[[], Answers]) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_answer, args=(connection, make), daemon=True).start()


def _answer(connection: socket.socket, make: Callable[[], Answers]) -> None:
    source, sink = connection.makefile("rb"), connection.makefile("wb", buffering=0)
    with connection, source, sink, contextlib.suppress(BrokenPipeError):
        serve(make, source, sink, batch_size=4)  # type: ignore[arg-type]
