"""Reading a run folder: nothing is used before its digest is verified."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from deepen.bundle import header as run_header
from deepen.bundle.header import FILES, PREPARE_FILE, RUN_FILE, WEIGHTS_FILE
from deepen.core import files, names
from deepen.core.errors import RunError

if TYPE_CHECKING:
    from torch import Tensor

MAX_WEIGHTS_BYTES = 1 << 40
MAX_PREPARE_BYTES = 1_000_000_000


def load_header(folder: Path | str, *, notes: list[str] | None = None) -> dict[str, object]:
    """The fields of run.json, after the SHA-256 of every file that it lists has been verified.

    notes   gets a sentence for each page meant for people (report.html, README.md) that was changed or removed

    Raises RunError for a folder that is missing (the nearest one is named), holds no run, is damaged, of a newer
    format, or of a task that this deepen does not have.
    """
    folder = Path(folder)
    _check_folder(folder)
    header = run_header.read_header(folder)
    _check_task(folder, str(header["task"]))
    listed = header["files"]
    assert isinstance(listed, Mapping)
    for name, digest in listed.items():
        fault = _fault(folder / name, digest)
        if fault and FILES[name] == "page":
            if notes is not None:
                notes.append(fault)
        elif fault:
            raise RunError(f"{fault} Restore it from a copy.")
    return header


def load_weights(folder: Path | str, *, notes: list[str] | None = None) -> dict[str, Tensor]:
    """The tensors of weights.safetensors, verified. `notes` gets a sentence if some hold NaN or infinities."""
    from deepen.bundle.tensors import not_finite, unsealed

    path = Path(folder, WEIGHTS_FILE)
    if not path.exists():
        raise RunError(f"{path}: no weights here; the run ended before its first evaluation.")
    _check_plain(path)
    tensors = unsealed(files.read_bytes(path, max_bytes=MAX_WEIGHTS_BYTES, error=RunError), path)
    broken = not_finite(tensors)
    if broken and notes is not None:
        notes.append(f"{path}: {len(broken)} tensors hold NaN or infinities, the first is {broken[0]}; train anew.")
    return tensors


def load_prepare(folder: Path | str) -> dict[str, object]:
    """What preparing learned, from prepare.json. Raises RunError if it is missing or is no JSON object."""
    path = Path(folder, PREPARE_FILE)
    _check_plain(path)
    value = files.read_json(path, max_bytes=MAX_PREPARE_BYTES, error=RunError)
    if not isinstance(value, dict):
        raise RunError(f"{path}: expected a JSON object, but is {type(value).__name__}.")
    return value


def _check_folder(folder: Path) -> None:
    if not folder.exists():
        raise RunError(f"{folder}: no such run folder{nearest_path(folder)}")
    if not folder.is_dir():
        raise RunError(f"{folder}: expected a run folder, but is a file.")
    if not (folder / RUN_FILE).exists():
        raise RunError(f"{folder}: expected a run folder, but it has no {RUN_FILE}{_inner_runs(folder)}")
    _check_plain(folder / RUN_FILE)


def _check_plain(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError:
        raise RunError(f"{path}: missing, though the run folder should have it; restore it from a copy.") from None
    if not stat.S_ISREG(mode):
        raise RunError(f"{path}: expected a file of its own, but is a link, a folder or a device.")


def _check_task(folder: Path, task: str) -> None:
    known = names.tasks()
    if task not in known:
        raise RunError(
            f"{folder / RUN_FILE}: task {task[:80]!r} is none of this deepen{names.did_you_mean(task, known)}"
        )


def _fault(path: Path, digest: str) -> str:
    if not path.exists() and not path.is_symlink():
        return f"{path}: missing, though {RUN_FILE} lists it."
    _check_plain(path)
    if files.sha256_file(path) != digest:
        return f"{path}: damaged or edited: its content does not match the sha256 in {RUN_FILE}."
    return ""


def nearest_path(path: Path) -> str:
    """`; did you mean FOLDER/NAME?` for a path that does not exist, or a full stop where nothing is near."""
    try:
        siblings = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f"; its folder {path.parent} does not exist either."
    near = names.nearest(path.name, siblings)
    return f"; did you mean {path.parent / near}?" if near else "."


def _inner_runs(folder: Path) -> str:
    runs = sorted(entry.name for entry in folder.iterdir() if (entry / RUN_FILE).exists())
    return f"; did you mean {folder / runs[0]}?" if runs else "."
