"""Training state for `--resume`: one file a checkpoint, its SHA-256 in its name, the newest two kept.

A checkpoint is good if its content has the digest that its name says, so a file is either the whole state of one
step or is passed over, aloud, for the one before it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from deepen.bundle import records
from deepen.bundle.header import CHECKPOINT_FOLDER, METRICS_FILE
from deepen.bundle.tensors import decode, encode
from deepen.core.disk import file_error
from deepen.core.errors import FileError, RunError
from deepen.core.files import read_bytes, write_bytes

KEPT = 2
MAX_BYTES = 1 << 40
_NAME = re.compile(r"step-(\d{9,})-([0-9a-f]{32})\.safetensors")


def save_checkpoint(
    folder: Path | str, tensors: Mapping[str, Tensor], state: Mapping[str, object], *, step: int
) -> Path:
    """Writes the state after `step` updates, then removes all but the newest two checkpoints; returns its path.

    state   JSON, kept in the file's metadata. With it goes the digest of metrics.jsonl as it is now.
    """
    inner = _folder(Path(folder))
    num_lines, digest = records.digest(folder)
    note = {"step": step, "state": dict(state), "metrics": {"num_lines": num_lines, "sha256": digest}}
    content = encode(tensors, note)
    name = f"step-{step:09d}-{hashlib.sha256(content).hexdigest()[:32]}.safetensors"
    write_bytes(inner / name, content)
    _remove_old(inner, keep=name)
    return inner / name


def load_checkpoint(folder: Path | str) -> tuple[dict[str, Tensor], dict[str, object], str]:
    """Tensors and state of the newest good checkpoint, and a sentence about those passed over ("" if none).

    Raises RunError if there is none, or if metrics.jsonl no longer begins with the lines that belong to it.
    """
    inner = Path(folder, CHECKPOINT_FOLDER)
    passed: list[str] = []
    for name in _names(inner):
        try:
            tensors, note = _load(inner / name)
        except (RunError, FileError) as error:
            passed.append(str(error))
            continue
        _check_metrics(Path(folder), note)
        state = note["state"]
        assert isinstance(state, dict)
        return tensors, state, f"{' '.join(passed)} Going on from {name}." if passed else ""
    if passed:
        raise RunError(f"{inner}: no checkpoint is whole, so the run cannot go on: {' '.join(passed)}")
    raise RunError(f"{inner}: no checkpoint here yet, so there is nothing to resume; train without --resume.")


def has_checkpoint(folder: Path | str) -> bool:
    """Whether a checkpoint stands in the run folder, whole or not."""
    return bool(_names(Path(folder, CHECKPOINT_FOLDER)))


def _folder(folder: Path) -> Path:
    inner = folder / CHECKPOINT_FOLDER
    try:
        inner.mkdir(exist_ok=True)  # not its parents: a run folder that was removed meanwhile must not half come back
    except OSError as error:
        raise file_error(error, inner) from error
    if inner.is_symlink():
        raise RunError(f"{inner}: expected a folder, but is a link.")
    return inner


def _names(inner: Path) -> list[str]:
    """The checkpoints' names, the newest first."""
    if inner.is_symlink() or not inner.is_dir():
        return []
    found = [match for match in map(_NAME.fullmatch, os.listdir(inner)) if match]
    return [match[0] for match in sorted(found, key=lambda match: (int(match[1]), match[2]), reverse=True)]


def _remove_old(inner: Path, *, keep: str) -> None:
    names = [name for name in _names(inner) if name != keep]
    for name in names[KEPT - 1 :]:
        try:
            (inner / name).unlink(missing_ok=True)
        except OSError as error:
            raise file_error(error, inner / name, doing="remove") from error


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    named = _NAME.fullmatch(path.name)
    assert named
    if path.is_symlink():
        raise RunError(f"{path}: expected a file, but is a link.")
    content = read_bytes(path, max_bytes=MAX_BYTES, error=RunError)
    if hashlib.sha256(content).hexdigest()[:32] != named[2]:
        raise RunError(f"{path}: damaged: its content does not match the sha256 in its name.")
    tensors, note = decode(content, path)
    if not isinstance(note.get("state"), dict) or note.get("step") != int(named[1]):
        raise RunError(f"{path}: holds no state of training for step {int(named[1]):,}.")
    return tensors, note


def _check_metrics(folder: Path, note: dict[str, object]) -> None:
    said = note["metrics"]
    assert isinstance(said, dict)
    if records.digest(folder, said["num_lines"]) != (said["num_lines"], said["sha256"]):
        raise RunError(
            f"{folder / METRICS_FILE}: damaged or edited: its first {said['num_lines']} lines are not those that the "
            "checkpoint knows; restore it from a copy, or train anew."
        )
