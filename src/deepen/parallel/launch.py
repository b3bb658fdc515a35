"""Several processes on this machine, or one of those that torchrun started, as one group of ranks."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from deepen.core import errors
from deepen.core.clock import Stopwatch
from deepen.core.errors import DeepenError, RunError
from deepen.parallel.ranks import Alone, Group, Ranks

TIMEOUT_SECONDS = 300.0  # how long a rank may stay silent
GRACE_SECONDS = 10.0
EXIT_LOST = 3  # of a rank that ended because another one did


def under_torchrun() -> bool:
    """Whether torchrun (or a launcher like it) started this process as one of several ranks."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def is_first() -> bool:
    """Whether this process is rank 0, or not one of several."""
    return int(os.environ.get("RANK", "0")) == 0


class _EndedEarlyError(RuntimeError):
    """Another rank's process ended before it joined."""


@dataclass(frozen=True)
class _Part:
    """What another process does; picklable."""

    device_type: str
    prepare: Callable[[Any], Any] | None
    other: Callable[[Ranks, Any], None]
    arguments: Any
    folder: str
    timeout_seconds: float
    environment: dict[str, str]


@contextmanager
def group(
    num: int,
    device_type: str,
    other: Callable[[Ranks, Any], None],
    arguments: Any,
    *,
    prepare: Callable[[Any], Any] | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
    join_seconds: float = TIMEOUT_SECONDS,
) -> Iterator[Ranks]:
    """This process as rank 0 of `num` on this machine; the others run `other` and end with the block.

    num              1: nobody else is started
    device_type      "cpu" or "cuda", which decides how ranks talk: gloo or NCCL
    other            called in each other process as other(ranks, arguments); importable by name, arguments picklable
    prepare          called before that with the arguments; what it returns takes their place. Nobody waits for a
                     message meanwhile, so it may take long
    timeout_seconds  how long a rank may stay silent once it has joined
    join_seconds     how long the others may take to start and prepare

    Raises RunError, with the other's own sentence where it had one, if another rank fails or falls silent.
    """
    if under_torchrun():
        try:
            yield _joined(device_type, timeout_seconds)
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
        return
    if num == 1:
        yield Alone()
        return
    with tempfile.TemporaryDirectory(prefix="deepen-ranks-") as folder:
        part = _Part(device_type, prepare, other, arguments, folder, timeout_seconds, dict(os.environ))
        children = _started(num, part)
        try:
            _wait_for(children, folder, join_seconds)
            meet(0, num, part)
            yield Group(_device(device_type, 0))
            for child in children:
                child.join(GRACE_SECONDS)
        except RuntimeError as error:
            found = _first_failure(folder, children, is_loss=_is_loss(error))
            raise found or _silence(error, timeout_seconds) or error from error
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
            _end(children)


def meet(rank: int, num: int, part: _Part) -> None:
    """Joins the group that meets at a file in the folder; on one machine ranks talk over the loopback interface."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    store = dist.FileStore(str(Path(part.folder) / "store"), num)
    timeout = timedelta(seconds=part.timeout_seconds)
    dist.init_process_group(_backend(part.device_type), store=store, rank=rank, world_size=num, timeout=timeout)


def _joined(device_type: str, timeout_seconds: float) -> Ranks:
    dist.init_process_group(_backend(device_type), timeout=timedelta(seconds=timeout_seconds))
    return Group(_device(device_type, int(os.environ.get("LOCAL_RANK", "0"))))


def _backend(device_type: str) -> str:
    return "nccl" if device_type == "cuda" else "gloo"


def _device(device_type: str, local_rank: int) -> torch.device:
    return torch.device("cuda", local_rank) if device_type == "cuda" else torch.device("cpu")


_server_of: int | None = None  # the process that has a server to fork ranks from


def _context(part: _Part) -> Any:
    """How the others start: as forks of a server that has imported what they run, once for all of them and for the
    groups after this one. Each by itself where forks are unsafe, beside CUDA and on other systems than Linux, and in a
    fork of the process that the server belongs to."""
    global _server_of
    if part.device_type != "cpu" or sys.platform != "linux" or _server_of not in (None, os.getpid()):
        return multiprocessing.get_context("spawn")
    _server_of = os.getpid()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", part.other.__module__])
    return context


def _started(num: int, part: _Part) -> list[Any]:
    context = _context(part)
    children = []
    for rank in range(1, num):
        process = context.Process(target=_other_rank, args=(rank, num, part), daemon=True)
        try:
            process.start()
        except (EOFError, ConnectionError) as error:
            _end(children)
            raise RunError(
                f"rank {rank}: its server: expected to start it, but that process ended while it imported what ranks "
                "run; did the system end it for want of memory? Begin again, or with fewer --devices."
            ) from error
        children.append(process)
    return children


def _wait_for(children: list[Any], folder: str, join_seconds: float) -> None:
    """Returns when every process is about to join; in the group's own waiting, one that never comes costs minutes."""
    watch = Stopwatch()
    while missing := [rank for rank in range(1, len(children) + 1) if not Path(folder, f"here-{rank}").exists()]:
        if any(child.exitcode is not None for child in children):
            raise _EndedEarlyError("a rank ended before it joined")
        if watch.seconds() > join_seconds:
            raise RunError(
                f"rank {missing[0]}: expected to join within {join_seconds:.0f} seconds, but its process (pid "
                f"{children[missing[0] - 1].pid}) has not; is it stopped, or the machine too busy for --devices "
                f"{len(children) + 1}? A longer --timeout waits longer."
            )
        time.sleep(0.02)


def _other_rank(rank: int, num: int, part: _Part) -> None:
    """What another process does: prepares, joins, works, and leaves its sentence behind if it fails."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends Ctrl-C to all; rank 0 decides for all
    os.environ.clear()  # that of the server is as old as the server
    os.environ.update(part.environment)
    try:
        arguments = part.prepare(part.arguments) if part.prepare else part.arguments
        Path(part.folder, f"here-{rank}").touch()
        meet(rank, num, part)
        part.other(Group(_device(part.device_type, rank)), arguments)
    except DeepenError as error:
        _leave(part.folder, rank, type(error).__name__, str(error))
        raise SystemExit(2) from error
    except RuntimeError as error:
        if not _is_loss(error):
            raise
        raise SystemExit(EXIT_LOST) from error  # the rank that was lost is the cause, not this one


def _is_loss(error: RuntimeError) -> bool:
    """Whether the error says that another rank does not answer any more."""
    return isinstance(error, (dist.DistError, _EndedEarlyError)) or "gloo" in str(error)


def _leave(folder: str, rank: int, kind: str, text: str) -> None:
    Path(folder, f"failure-{rank}.json").write_text(json.dumps({"kind": kind, "text": text}), "utf-8")


def _first_failure(folder: str, children: list[Any], *, is_loss: bool) -> DeepenError | None:
    """What another rank failed with; one that ended in peace while this one still waited for it failed as well."""
    for child in children:
        child.join(1.0)
    for path in sorted(Path(folder).glob("failure-*.json")):
        left = json.loads(path.read_text("utf-8"))
        return getattr(errors, left["kind"], RunError)(left["text"])
    for rank, child in enumerate(children, start=1):
        if child.exitcode not in (None, EXIT_LOST) and (child.exitcode != 0 or is_loss):
            return RunError(
                f"rank {rank}: expected to train to the end, but its process (pid {child.pid}) ended with "
                f"{child.exitcode}; go on from the newest checkpoint with --resume."
            )
    return None


def _silence(error: RuntimeError, timeout_seconds: float) -> DeepenError | None:
    if not _is_loss(error):
        return None
    return RunError(
        f"a rank does not answer any more, though its process lives (waited {timeout_seconds:.0f} seconds, --timeout); "
        "go on from the newest checkpoint with --resume."
    )


def _end(children: list[Any]) -> None:
    for child in children:
        if child.is_alive():
            child.kill()
        child.join(GRACE_SECONDS)
