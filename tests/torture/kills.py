"""Work in a forked child that is killed before, or in the middle of, its n-th operation on files."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

OPERATIONS = ("open", "write", "pwrite", "fchmod", "fsync", "ftruncate", "replace", "unlink", "rmdir", "mkdir", "close")
CHANGING = ("write", "pwrite")


def killed_at(number: int, work: Callable[[], object], *, torn: bool = False) -> bool:
    """Whether `work`, in a child, was killed at its operation `number` (from 1); False when it ended before that.

    torn  a write is half done when the kill comes; other operations are not begun
    """
    child = os.fork()
    if child == 0:
        _count_operations(number, torn=torn)
        work()
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL), f"the child ended with {code}"
    return code != 0


def every_kill(work: Callable[[], object], *, limit: int = 2000) -> Iterator[tuple[int, bool]]:
    """Runs `work` killed at operation 1, 2, 3, ... until it ends alive: (number, torn) after each kill.

    The caller looks at what is left, and puts everything back, between two of them.
    """
    for torn in (False, True):
        for number in range(1, limit):
            if not killed_at(number, work, torn=torn):
                break
            yield number, torn
        else:
            raise AssertionError(f"still being killed after {limit} operations")


def killed_after(seconds: float, work: Callable[[], object]) -> bool:
    """Whether `work`, in a child, was still alive when it was killed after `seconds`."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-4))
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


def succeeds(work: Callable[[], object]) -> bool:
    """Whether `work` ends without an exception in a child. What it raises goes to stderr."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def recorded(work: Callable[[], object], patch: Callable[[object, str, object], None]) -> list[tuple[str, str]]:
    """The operations of `work` and the name each was given, in order; `patch` is `monkeypatch.setattr`."""
    seen: list[tuple[str, str]] = []
    for name in OPERATIONS:
        patch(os, name, _recording(name, getattr(os, name), seen))
    work()
    return seen


def content_of(folder: Path) -> dict[str, bytes]:
    """Every file under a folder by its path within it."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def _count_operations(number: int, *, torn: bool) -> None:
    left = [number]
    for name in OPERATIONS:
        setattr(os, name, _killing(name, getattr(os, name), left, torn))


def _killing(name: str, real: Callable[..., object], left: list[int], torn: bool) -> Callable[..., object]:
    def operation(*given: object, **named: object) -> object:
        left[0] -= 1
        if left[0] == 0:
            if torn and name in CHANGING:
                half = bytes(given[1])[: len(bytes(given[1])) // 2]  # type: ignore[call-overload]
                real(given[0], half, *given[2:])
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **named)

    return operation


def _recording(name: str, real: Callable[..., object], seen: list[tuple[str, str]]) -> Callable[..., object]:
    def operation(*given: object, **named: object) -> object:
        result = real(*given, **named)
        what = given[-1] if name == "replace" else given[0]
        seen.append((name, f"fd{what}" if isinstance(what, int) else os.path.basename(os.fspath(what))))  # type: ignore[call-overload]
        if name == "open":
            seen[-1] = (name, f"{seen[-1][1]} -> fd{result}")
        return result

    return operation
