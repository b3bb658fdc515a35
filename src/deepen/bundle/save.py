"""Making a run folder and changing what it says about itself; every step leaves a folder that can be read."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from deepen.bundle import header as run_header
from deepen.bundle.header import CHECKPOINT_FOLDER, FILES, METRICS_FILE, RUN_FILE, WEIGHTS_FILE
from deepen.core import files
from deepen.core.disk import file_error
from deepen.core.errors import RunError
from deepen.core.lock import LOCK_NAME, FolderLock

if TYPE_CHECKING:
    from torch import Tensor

MAX_NAME = 80


def free_name(root: Path | str, stem: str) -> Path:
    """A new, empty folder `root/stem`, or `root/stem-2`, `root/stem-3`, ... where that exists: no two runs get one.

    Whatever a file name should not hold is replaced in `stem` by "-".
    """
    root, stem = Path(root), plain_name(stem)
    files.check_writable(root)
    number = 1
    while True:
        folder = root / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1
        except OSError as error:
            raise file_error(error, folder) from error


def plain_name(text: str) -> str:
    """The text as one file name: letters, digits, ".", "_" and "-", not starting with a dot or dash.

    >>> plain_name("../my photos")
    'my-photos'
    """
    kept = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in text)
    return kept.strip(".-")[:MAX_NAME].rstrip(".-") or "run"


def check_free(folder: Path | str) -> None:
    """Raises what `create` would, as far as it can be seen without writing anything, before data is read for long."""
    folder = Path(folder)
    _check_place(folder)
    try:
        if folder.exists():
            _check_content(folder, replace=False)
        standing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if not os.access(standing, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise file_error(error, folder) from error


def create(folder: Path | str, header: Mapping[str, object], *, replace: bool = False) -> None:
    """Makes a run folder that says `header`, with what a killed run left in it swept away.

    replace   begin anew in a folder that holds a run: its checkpoints go first, so nothing can resume the old one

    The folder is locked meanwhile; do not hold its lock. Raises RunError for a folder that is a link, holds something
    else, or holds a run and `replace` is not set; FileError where another process works in it.
    """
    folder = Path(folder)
    _check_place(folder)
    files.check_writable(folder)
    with FolderLock(folder):
        sweep(folder)
        _check_content(folder, replace=replace)
        _remove_checkpoints(folder)
        run_header.write_header(folder, run_header.complete(header))
        for name in FILES:
            (folder / name).unlink(missing_ok=True)


def withdraw(folder: Path | str, *, further: Sequence[str] = (), keep_folder: bool = False) -> bool:
    """Takes away a run that was begun and has learned nothing yet; returns whether it did.

    A run with a checkpoint or a metrics.jsonl stays as it is, and so does whatever is not of a run.

    further      names of folders that were made in it beside the run's own
    keep_folder  leave the folder itself, which was there before
    """
    folder = Path(folder)
    if any(folder.glob(f"{CHECKPOINT_FOLDER}/*")) or (folder / METRICS_FILE).exists():
        return False
    try:
        for name in (CHECKPOINT_FOLDER, *further):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in (*FILES, RUN_FILE, LOCK_NAME):
            (folder / name).unlink(missing_ok=True)
        if not keep_folder and not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise file_error(error, folder) from error
    return True


def update(folder: Path | str, **changes: object) -> None:
    """Changes fields of run.json in one step.

    `files=("report.html", ...)` lists the files whose SHA-256 is to be taken anew. A status other than "training"
    takes that of every file there is; the status "training" forgets those that will change.
    """
    folder = Path(folder)
    header = run_header.read_header(folder)
    listed = changes.pop("files", ())
    assert isinstance(listed, tuple | list) and set(listed) <= set(FILES), f"unknown files: {listed}"
    digests = cast(dict[str, str], header["files"])
    status = changes.get("status", header["status"])
    if status == "training":
        digests = {name: digest for name, digest in digests.items() if FILES[name] != "grows"}
        listed = [name for name in listed if FILES[name] != "grows"]
    elif "status" in changes:
        listed = [name for name in FILES if os.path.lexists(folder / name)]
    digests |= {name: files.sha256_file(folder / name) for name in listed}
    changes["files"] = {name: digests[name] for name in FILES if name in digests}
    run_header.write_header(folder, run_header.complete(header | changes))


def save_weights(folder: Path | str, tensors: Mapping[str, Tensor]) -> None:
    """Puts the weights into weights.safetensors. In a run that is no longer training, its SHA-256 is listed too."""
    from deepen.bundle.tensors import sealed

    folder = Path(folder)
    files.write_bytes(folder / WEIGHTS_FILE, sealed(tensors))
    if run_header.read_header(folder)["status"] != "training":
        update(folder, files=(WEIGHTS_FILE,))


def sweep(folder: Path | str) -> list[str]:
    """Removes what killed writers left in the run folder and its checkpoint folder; returns the names."""
    inner = Path(folder, CHECKPOINT_FOLDER)
    return files.sweep(folder) + ([] if inner.is_symlink() else files.sweep(inner))


def _check_place(folder: Path) -> None:
    try:
        mode = os.lstat(folder).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise file_error(error, folder, error_class=RunError) from error
    if stat.S_ISLNK(mode):
        raise RunError(
            f"{folder}: expected a folder of its own, but is a link; name the folder it leads to with --out."
        )
    if not stat.S_ISDIR(mode):
        raise RunError(f"{folder}: expected a folder, but is a file; choose another place with --out.")


def _check_content(folder: Path, *, replace: bool) -> None:
    found = (name for name in os.listdir(folder) if name != LOCK_NAME)
    names = sorted(name for name in found if not files.TEMPORARY.fullmatch(name))  # what a killed run left is swept
    if RUN_FILE in names and not replace:
        raise RunError(
            f"{folder}: already holds a run; continue it with --resume, or choose another folder with --out."
        )
    if names and RUN_FILE not in names:
        raise RunError(
            f"{folder}: expected a new or empty folder, or one of ours, but it holds {names[0]!r}"
            f"{f' and {len(names) - 1:,} more' if len(names) > 1 else ''}; choose another folder with --out."
        )


def _remove_checkpoints(folder: Path) -> None:
    inner = folder / CHECKPOINT_FOLDER
    try:
        if inner.is_symlink():
            inner.unlink()
        elif inner.exists():
            shutil.rmtree(inner)
    except OSError as error:
        raise file_error(error, inner) from error
