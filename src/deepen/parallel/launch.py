"""Several processes on this machine, or one of those that torchrun started, as one group of ranks."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from deepen.core import errors
from deepen.core.errors import DeepenError, RunError
from deepen.parallel.ranks import Alone, Group, Ranks

TIMEOUT = timedelta(minutes=5)
GRACE_SECONDS = 10.0
EXIT_LOST = 3  # of a rank that ended because another one did


def under_torchrun() -> bool:
    """Whether torchrun (or a launcher like it) started this process as one of several ranks."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def is_first() -> bool:
    """Whether this process is rank 0, or not one of several."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def group(num: int, device_type: str, other: Callable[[Ranks, Any], None], arguments: Any) -> Iterator[Ranks]:
    """This process as rank 0 of `num` on this machine; the others run `other` and end with the block.

    num          1: nobody else is started
    device_type  "cpu" or "cuda", which decides how ranks talk: gloo or NCCL
    other        called in each other process as other(ranks, arguments); importable by name, arguments picklable

    Raises RunError, with the other's own sentence where it had one, if another rank fails.
    """
    if under_torchrun():
        try:
            yield _joined(device_type)
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
        return
    if num == 1:
        yield Alone()
        return
    with tempfile.TemporaryDirectory(prefix="deepen-ranks-") as folder:
        children = _started(num, device_type, other, arguments, folder)
        try:
            _wait_for(children, folder)
            meet(0, num, device_type, folder)
            yield Group(_device(device_type, 0))
            for child in children:
                child.join(GRACE_SECONDS)
        except RuntimeError as error:
            raise _first_failure(folder, children) or _silence(error) or error from error
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
            _end(children)


def meet(rank: int, num: int, device_type: str, folder: str) -> None:
    """Joins the group that meets at a file in `folder`; on one machine ranks talk over the loopback interface."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    store = dist.FileStore(str(Path(folder) / "store"), num)
    dist.init_process_group(_backend(device_type), store=store, rank=rank, world_size=num, timeout=TIMEOUT)


def _joined(device_type: str) -> Ranks:
    dist.init_process_group(_backend(device_type), timeout=TIMEOUT)
    return Group(_device(device_type, int(os.environ.get("LOCAL_RANK", "0"))))


def _backend(device_type: str) -> str:
    return "nccl" if device_type == "cuda" else "gloo"


def _device(device_type: str, local_rank: int) -> torch.device:
    return torch.device("cuda", local_rank) if device_type == "cuda" else torch.device("cpu")


def _started(num: int, device_type: str, other: Callable, arguments: Any, folder: str) -> list[Any]:
    context = multiprocessing.get_context("spawn")
    children = []
    for rank in range(1, num):
        process = context.Process(
            target=_other_rank, args=(rank, num, device_type, other, arguments, folder), daemon=True
        )
        process.start()
        children.append(process)
    return children


def _wait_for(children: list[Any], folder: str) -> None:
    """Returns when every process is about to join; in the group's own waiting, one that never comes costs minutes."""
    while not all(Path(folder, f"here-{rank}").exists() for rank in range(1, len(children) + 1)):
        if any(child.exitcode is not None for child in children):
            raise RuntimeError("a rank ended before it joined")
        time.sleep(0.02)


def _other_rank(rank: int, num: int, device_type: str, other: Callable, arguments: Any, folder: str) -> None:
    """What another process does: joins, works, and leaves its sentence behind if it fails."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends Ctrl-C to all; rank 0 decides for all
    try:
        Path(folder, f"here-{rank}").touch()
        meet(rank, num, device_type, folder)
        other(Group(_device(device_type, rank)), arguments)
    except DeepenError as error:
        _leave(folder, rank, type(error).__name__, str(error))
        raise SystemExit(2) from error
    except RuntimeError as error:
        if not _is_loss(error):
            raise
        raise SystemExit(EXIT_LOST) from error  # the rank that was lost is the cause, not this one


def _is_loss(error: RuntimeError) -> bool:
    """Whether the error says that another rank does not answer any more."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)


def _leave(folder: str, rank: int, kind: str, text: str) -> None:
    Path(folder, f"failure-{rank}.json").write_text(json.dumps({"kind": kind, "text": text}), "utf-8")


def _first_failure(folder: str, children: list[Any]) -> DeepenError | None:
    for child in children:
        child.join(1.0)
    for path in sorted(Path(folder).glob("failure-*.json")):
        left = json.loads(path.read_text("utf-8"))
        return getattr(errors, left["kind"], RunError)(left["text"])
    for rank, child in enumerate(children, start=1):
        if child.exitcode not in (0, None, EXIT_LOST):
            return RunError(
                f"rank {rank}: expected to train to the end, but its process (pid {child.pid}) ended with "
                f"{child.exitcode}; go on from the newest checkpoint with --resume."
            )
    return None


def _silence(error: RuntimeError) -> DeepenError | None:
    if not _is_loss(error):
        return None
    return RunError(
        f"a rank does not answer any more, though its process lives (waited up to {TIMEOUT.seconds // 60} minutes); "
        "go on from the newest checkpoint with --resume."
    )


def _end(children: list[Any]) -> None:
    for child in children:
        if child.is_alive():
            child.kill()
        child.join(GRACE_SECONDS)
