"""One run at a time in a folder."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from deepen.core.disk import file_error
from deepen.core.errors import FileError

LOCK_NAME = ".deepen-lock"


class FolderLock:
    """Holds a folder for one run at a time: a second one is refused, a dead one's lock is taken over.

    Use as a context manager. The system drops the lock when its holder dies, however it dies. Where the file system
    knows no locks, the process id in the file decides. Raises FileError when the folder is held.
    """

    def __init__(self, folder: Path | str) -> None:
        self.path = Path(folder, LOCK_NAME)
        self._descriptor = -1

    def __enter__(self) -> FolderLock:
        while self._descriptor < 0:
            self._try()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            os.unlink(self.path)
        os.close(self._descriptor)
        self._descriptor = -1

    def _try(self) -> None:
        """Takes the lock, or leaves `_descriptor` at -1 where the file was removed meanwhile by its last holder."""
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise file_error(error, self.path) from error
        try:
            self._take(descriptor)
            if os.path.samestat(os.fstat(descriptor), os.lstat(self.path)):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                self._descriptor, descriptor = descriptor, -1
        except FileNotFoundError:
            return
        except OSError as error:
            raise file_error(error, self.path) from error
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _take(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FileError(_held(self.path, _holder(descriptor))) from None
        except OSError:  # a file system without locks
            holder = _holder(descriptor)
            if holder and holder != os.getpid() and _is_alive(holder):
                raise FileError(_held(self.path, holder)) from None


def _holder(descriptor: int) -> int:
    text = os.pread(descriptor, 20, 0).split(b"\n")[0]
    return int(text) if text.isdigit() else 0


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _held(path: Path, process: int) -> str:
    who = f"process {process}" if process else "another process"
    return f"{path.parent}: {who} is working in this folder; wait until it ends, or choose another folder with --out."
