"""A run folder as something that answers: its task with what it learned, and its network with its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deepen.bundle import load
from deepen.bundle.tensors import match
from deepen.compress import changes
from deepen.core.errors import RunError
from deepen.data.dataset import Schema
from deepen.engine.fit import choose_device
from deepen.engine.task import OwnSchema, Task
from deepen.engine.training import place
from deepen.nn.sized import size_like
from deepen.nn.sketch import sketched
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
    options, task = task_of(folder, header)
    weights = load.load_weights(folder, notes=notes)
    match(weights, _shapes(task, folder, weights), place=str(folder / "weights.safetensors"))
    model = task.build()
    model.load_state_dict(weights)
    where = choose_device(device)
    return Loaded(folder, header, options, task, place(model, where).eval(), where, tuple(notes))  # type: ignore[arg-type]


def task_of(folder: Path, header: Mapping[str, Any]) -> tuple[Resolved, Task]:
    """The options of the run in a folder, and its task with what it learned, but without a network.

    Raises RunError if what was learned is missing, damaged or of another version.
    """
    options = rebuilt(str(header["task"]), header["options"])
    module = task_module(str(header["task"]))
    try:
        task = module.Task(options.task, load.load_prepare(folder), options.network)
    except (KeyError, TypeError) as error:
        raise RunError(
            f"{folder}: prepare.json holds not what {header['task']} needs ({error}); was it made by another version?"
        ) from error
    return options, _changed(task, folder, header)


def schema_of(model: Loaded) -> Schema:
    """Which columns and readers the run's samples have."""
    if isinstance(model.task, OwnSchema):
        return model.task.own_schema()
    return task_module(str(model.header["task"])).schema(model.options.task)


def _changed(task: Task, folder: Path, header: Mapping[str, Any]) -> Task:
    """The task, whose network is the compressed one where the run is compressed."""
    try:
        return changes.with_changes(task, changes.of_header(header))
    except TypeError as error:
        raise RunError(
            f"{folder}: run.json holds changes of its network that are none ({error}); restore it."
        ) from error


def _shapes(task: Task, folder: Path, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """The network's tensors without memory: a header that asks for a giant must be refused before it gets it."""
    try:
        with sketched():
            network = task.build()
            size_like(network, weights)
            return network.state_dict()
    except (
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        OverflowError,
        RuntimeError,
    ) as error:  # all are PyTorch's words for it
        raise RunError(
            f"{folder}: run.json and prepare.json ask for a network that cannot be built; restore them from a copy."
        ) from error
