"""A run folder as something that answers: its task with what it learned, and its network with its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from deepen.bundle import load
from deepen.bundle.tensors import match
from deepen.core.errors import RunError
from deepen.engine.fit import choose_device
from deepen.engine.task import Task
from deepen.engine.training import place
from deepen.verbs.options import Resolved, rebuilt, task_module


@dataclass(frozen=True)
class Loaded:
    """A run, verified and ready to answer."""

    folder: Path
    header: dict[str, Any]
    options: Resolved
    task: Task
    model: nn.Module
    device: torch.device
    notes: tuple[str, ...]


def loaded(folder: str | Path, *, device: str = "auto") -> Loaded:
    """The run in a folder.

    Raises RunError if it is missing, damaged, of another version, or has no weights yet.
    """
    folder = Path(folder)
    notes: list[str] = []
    header = load.load_header(folder, notes=notes)
    options = rebuilt(str(header["task"]), header["options"])  # type: ignore[arg-type]
    module = task_module(str(header["task"]))
    try:
        task = module.Task(options.task, load.load_prepare(folder), options.network)
    except (KeyError, TypeError) as error:
        raise RunError(
            f"{folder}: prepare.json holds not what {header['task']} needs ({error}); was it made by another version?"
        ) from error
    expected = _shapes(task, folder)
    weights = load.load_weights(folder, notes=notes)
    match(weights, expected, place=str(folder / "weights.safetensors"))
    model = task.build()
    model.load_state_dict(weights)
    where = choose_device(device)
    return Loaded(folder, header, options, task, place(model, where).eval(), where, tuple(notes))  # type: ignore[arg-type]


def _shapes(task: Task, folder: Path) -> dict[str, Any]:
    """The network's tensors without memory: a header that asks for a giant must be refused before it gets it."""
    try:
        with torch.device("meta"):
            return task.build().state_dict()
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:  # all are PyTorch's words for it
        raise RunError(
            f"{folder}: run.json and prepare.json ask for a network that cannot be built; restore them from a copy."
        ) from error
