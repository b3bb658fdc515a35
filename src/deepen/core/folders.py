"""A folder that is whole or absent: filled beside its place, synced, then put there in one step.

The old folder of that name is moved aside first and removed last, so that a kill at any moment leaves the old one, the
new one, or (between two renames) neither, never half of one. What killed writers left is swept by the next one.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deepen.core.disk import file_error
from deepen.core.errors import FileError
from deepen.core.files import TEMPORARY


@contextmanager
def atomic_folder(path: Path | str, *, is_ours: Callable[[Path], bool]) -> Iterator[Path]:
    """An empty folder to fill, that takes the place of `path` when the block ends well and vanishes when it does not.

    is_ours  whether a folder that stands there, and is not empty, may be replaced

    Raises FileError for a place that is no folder, holds something else, or cannot be written to.
    """
    path = Path(path)
    check_replaceable(path, is_ours=is_ours)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        made, descriptor = _temporary(path.parent)
    except OSError as error:
        raise file_error(error, path) from error
    try:
        yield made
        _put(made, path)
    except OSError as error:
        raise file_error(error, path) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(descriptor)


def check_replaceable(path: Path | str, *, is_ours: Callable[[Path], bool]) -> None:
    """Raises FileError if a folder must not be put at `path`, before anything is computed for long."""
    path = Path(path)
    try:
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            kind = "a link" if path.is_symlink() else "a file"
            raise FileError(f"{path}: expected a place for a folder, but is {kind}; choose another with --out.")
        if path.exists() and any(path.iterdir()) and not is_ours(path):
            first = min(entry.name for entry in path.iterdir())
            raise FileError(
                f"{path}: expected a new or empty folder, or one made here before, but it holds {first!r}; "
                "choose another with --out."
            )
        standing = next(place for place in path.absolute().parents if place.exists())
        if not os.access(standing, os.W_OK | os.X_OK):
            raise FileError(f"{path}: no permission to write here; change its owner or mode, or choose another place.")
    except OSError as error:
        raise file_error(error, path) from error


def sweep(folder: Path | str) -> list[str]:
    """Removes the temporary folders that killed writers left in `folder`; returns their names, sorted."""
    names = sorted(
        entry.name
        for entry in os.scandir(folder)
        if TEMPORARY.fullmatch(entry.name)
        and entry.is_dir(follow_symlinks=False)
        and entry.stat(follow_symlinks=False).st_uid == os.geteuid()
    )
    return [name for name in names if _removed_if_dead(Path(folder, name))]


def _temporary(parent: Path) -> tuple[Path, int]:
    """A new, empty, locked folder that only we can read, and its descriptor."""
    while True:
        made = parent / f".deepen-{secrets.token_hex(8)}.tmp"
        made.mkdir(mode=0o700)
        try:
            descriptor = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # a sweep took it for a dead one's in the moment before it was locked
        with suppress(OSError):  # some file systems know no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if made.exists():
            return made, descriptor
        os.close(descriptor)


def _put(made: Path, path: Path) -> None:
    """Renames `made` to `path`, what stood there going aside first."""
    mask = os.umask(0o077)
    os.umask(mask)
    os.chmod(made, 0o777 & ~mask)
    _sync(made)
    aside = made.with_name(f".deepen-{secrets.token_hex(8)}.tmp")
    stood = path.exists()
    if stood:
        os.replace(path, aside)
    try:
        os.replace(made, path)
    except OSError:
        if stood:
            os.replace(aside, path)
        raise
    _sync(path.parent)
    if stood:
        shutil.rmtree(aside, ignore_errors=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _removed_if_dead(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
