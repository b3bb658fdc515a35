"""Files that are whole or absent: written beside their place, synced, then renamed into it.

A reader, and the next start after a kill at any moment, sees the old file or the new one. The temporary sibling is
locked while its writer lives, so `sweep` can tell what a killed process left from what another one is writing.
Needs a POSIX system (`flock`, `fsync` of a folder, names relative to an open folder).
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

from deepen.core.disk import file_error
from deepen.core.errors import DeepenError, FileError
from deepen.core.jsontext import json_text, parse_json
from deepen.core.units import size as in_words

TEMPORARY = re.compile(r"\.deepen-[0-9a-f]{16}\.tmp")
BUFFER_BYTES = 1 << 20
MAX_JSON_BYTES = 16_000_000
MAX_JSON_DEPTH = 64


@contextmanager
def atomic_write(path: Path | str, *, num_bytes: int = 0) -> Iterator[IO[bytes]]:
    """A binary file to write to, that takes the place of `path` when the block ends well and vanishes when it does not.

    num_bytes   how much will be written, where known: a disk too full is then refused before the first byte

    A link at `path` is replaced, never followed. Raises FileError for what the system refuses.
    """
    path = Path(path)
    with _refusals(path, num_bytes):
        _check_target(path)
        _check_space(path.parent, num_bytes)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield from _replaced(folder, path, num_bytes)
    finally:
        os.close(folder)


def write_bytes(path: Path | str, content: bytes) -> None:
    """Puts `content` at `path`, whole or not at all. Raises FileError."""
    with atomic_write(path, num_bytes=len(content)) as file:
        file.write(content)


def write_text(path: Path | str, text: str) -> None:
    """Puts `text` at `path` as UTF-8, whole or not at all. Raises FileError."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: Path | str, value: object) -> None:
    """Puts `value` at `path` as indented JSON in the order of its keys. NaN is refused. Raises FileError."""
    write_bytes(path, (json_text(value, indent=2) + "\n").encode())


def read_bytes(path: Path | str, *, max_bytes: int, error: type[DeepenError] = FileError) -> bytes:
    """The content of a regular file of at most `max_bytes`. A FIFO, device or folder is refused without waiting."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise error(f"{path}: expected a file, but is {_kind(status.st_mode)}.")
            content = file.read(min(max_bytes, status.st_size) + 1)
    except OSError as refused:
        raise file_error(refused, path, doing="read", error_class=error) from refused
    if len(content) > max_bytes:
        raise error(
            f"{path}: {in_words(max(status.st_size, len(content)))}, but at most {in_words(max_bytes)} are read here."
        )
    return content


def read_json(
    path: Path | str,
    *,
    max_bytes: int = MAX_JSON_BYTES,
    max_depth: int = MAX_JSON_DEPTH,
    error: type[DeepenError] = FileError,
) -> object:
    """The value of a JSON file (UTF-8). Raises `error`, naming the file and the line, for anything doubtful.

    Refused: files over `max_bytes`, nesting over `max_depth`, duplicate keys, NaN, infinities and numbers too large.
    """
    content = read_bytes(path, max_bytes=max_bytes, error=error)
    return parse_json(content, place=str(path), max_depth=max_depth, error=error)


def sha256_file(path: Path | str) -> str:
    """The SHA-256 of a regular file as 64 hexadecimal digits. Raises FileError if it cannot be read."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise FileError(f"{path}: expected a file, but is {_kind(mode)}.")
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise file_error(error, path, doing="read") from error


def sweep(folder: Path | str) -> list[str]:
    """Removes the temporary files that killed writers left directly in `folder`; returns their names, sorted.

    Only regular files of ours with our pattern of name, and only those that no living process is writing.
    """
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if _is_leftover(entry))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise file_error(error, folder, doing="read") from error
    return [name for name in names if _removed_if_dead(Path(folder, name))]


def check_writable(folder: Path | str) -> None:
    """Makes `folder` where it is missing and writes and removes a small file in it. Raises FileError if it cannot."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = _temporary(None, folder)
        try:
            os.write(descriptor, b"deepen\n")
            os.fsync(descriptor)
        finally:
            os.unlink(folder / name)
            os.close(descriptor)
    except OSError as error:
        raise file_error(error, folder) from error


class _Descriptor(io.RawIOBase):
    """Raw writing through `os.write`, so that tests can stand between us and every single system call."""

    def __init__(self, descriptor: int, path: Path, num_bytes: int) -> None:
        self._descriptor = descriptor
        self._path = path
        self._num_bytes = num_bytes
        self._is_open = True

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, content: object) -> int:
        data = cast(memoryview, content)
        if not self._is_open:  # what is left in the buffer after a failure is thrown away
            return len(data)
        with _refusals(self._path, max(self._num_bytes, len(data))):
            return os.write(self._descriptor, data)

    def discard(self) -> None:
        """From now on nothing is written any more."""
        self._is_open = False


def _replaced(folder: int, path: Path, num_bytes: int) -> Iterator[IO[bytes]]:
    with _refusals(path, num_bytes):
        descriptor, temporary = _temporary(folder, path.parent)
    raw = _Descriptor(descriptor, path, num_bytes)
    file = io.BufferedWriter(cast(io.RawIOBase, raw), BUFFER_BYTES)
    try:
        yield cast(IO[bytes], file)
        if not file.closed:  # some writers close what they are given
            file.flush()
        with _refusals(path, num_bytes):
            os.fchmod(descriptor, 0o666 & ~_umask())
            os.fsync(descriptor)
            os.replace(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
    finally:
        raw.discard()
        if not file.closed:
            file.detach()
        os.close(descriptor)


@contextmanager
def _refusals(path: Path, num_bytes: int = 0) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise file_error(error, path, num_bytes=num_bytes) from error


def _temporary(folder: int | None, where: Path) -> tuple[int, str]:
    """A new, empty, locked file that only we can read, and its name. Relative to the open folder where it is given."""
    while True:
        name = f".deepen-{secrets.token_hex(8)}.tmp"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        place = name if folder is not None else str(where / name)
        try:
            descriptor = os.open(place, flags, 0o600, dir_fd=folder)
        except FileExistsError:
            continue
        if _locked(descriptor) and os.fstat(descriptor).st_nlink:
            return descriptor, name
        os.close(descriptor)  # a sweep took it for a dead one's in the moment before it was locked


def _locked(descriptor: int) -> bool:
    """Whether the lock is ours now. True, too, where the file system knows no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _is_leftover(entry: os.DirEntry[str]) -> bool:
    if not TEMPORARY.fullmatch(entry.name) or not entry.is_file(follow_symlinks=False):
        return False
    return entry.stat(follow_symlinks=False).st_uid == os.geteuid()


def _removed_if_dead(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not _locked(descriptor):
            return False
        os.unlink(path)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _check_target(path: Path) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        raise FileError(f"{path}: expected a place for a file, but is {_kind(mode)}.")


def _check_space(folder: Path, num_bytes: int) -> None:
    if num_bytes == 0:
        return
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise FileError(f"{folder}: disk full: needs {in_words(num_bytes)}, {in_words(free)} free.")


def _kind(mode: int) -> str:
    names = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFLNK: "a link"}
    return names.get(stat.S_IFMT(mode), "a device")


def _umask() -> int:
    mask = os.umask(
        0o077
    )  # there is no way to read it but to set it; files made meanwhile elsewhere get less, not more
    os.umask(mask)
    return mask
