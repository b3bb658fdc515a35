"""`train --weights`: what of a file of weights fits the network, what is said about the rest, and what run.json keeps.

A tensor fits by name and shape. Beyond that, three things are known about published files:

    one common word before every name ("backbone.", "_orig_mod.") is dropped where nothing fits with it
    DenseNet's published names "denselayer1.norm.1.weight" mean "denselayer1.norm1.weight"
    a first convolution for three channels is summed over them for grey images, and one for grey images is spread
    over three, so that a grey image gives the same answer in either form

Of a run folder with other tokens, rows of tables go by their tokens (verbs/starting_rows.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deepen.bundle import checkpoint, foreign, header, load
from deepen.core import files
from deepen.core.errors import RunError
from deepen.engine.parameter_groups import Start, names_to_freeze
from deepen.engine.task import Beginning, Task
from deepen.engine.training import drawn
from deepen.nn.sketch import sketched
from deepen.verbs.options import Resolved
from deepen.verbs.starting_rows import by_rows, rows_of

RECORD = "weights"  # the entry of run.json's `extra`
SHOWN = 3  # names in a sentence
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
_COUNTER = "num_batches_tracked"  # which older files do not have, and which changes no answer


@dataclass(frozen=True)
class StartingWeights:
    """What a training begins with.

    start   for the engine; None where there is no --weights
    record  for run.json: the file, its digest, and what it did not fill, so that a resumed run knows without the file
    notes   sentences for the user
    """

    start: Start | None = None
    record: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fit:
    """A file of weights held against a network.

    tensors      what fits, by the network's names and in its shapes
    summed       names of first convolutions that were brought to another number of channels
    other_shape  name -> the sentence's part: "fc.weight 1000x512 for 10x512"
    missing      names of the network that the file does not have
    unexpected   names of the file that the network does not have
    """

    tensors: dict[str, Tensor]
    summed: tuple[str, ...]
    other_shape: dict[str, str]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def starting_weights(
    chosen: Resolved, task: Task, *, folder: Path | None = None, record: Mapping[str, Any] | None = None
) -> StartingWeights:
    """The weights that the options name, held against the task's network.

    folder, record  of a run that goes on, or that another rank has begun: with a checkpoint the file is not read, and
                    without one it must be the same file

    Raises RunError for a file that cannot be read, is another one than before, or of which nothing fits; OptionError
    for a part to freeze that the network does not have.
    """
    options = chosen.fit
    begins = isinstance(task, Beginning)
    if options.weights is None and not options.freeze and not begins:
        return StartingWeights()
    with sketched():
        network = task.build()
    found = StartingWeights()
    if record and folder and checkpoint.has_checkpoint(folder):
        found = StartingWeights(Start({}, frozenset(network.state_dict()) - set(record["fresh"])), dict(record))
    elif options.weights is not None:
        found = _read(Path(options.weights), network, chosen, task, record)
        found = _joined(_begun(task, chosen), found) if begins else found
    elif begins and not (folder and checkpoint.has_checkpoint(folder)):
        found = _begun(task, chosen)
    names_to_freeze(network, found.start.loaded if found.start else frozenset(), options.freeze)
    return found


def _begun(task: Beginning, chosen: Resolved) -> StartingWeights:
    """What the task itself knows to begin with."""
    fresh = _drawn(task, chosen)
    tensors, notes = task.starting_values(fresh)
    if not tensors:
        return StartingWeights(notes=tuple(notes))
    loaded = frozenset(tensors)
    record = {"loaded": len(loaded), "fresh": [name for name in fresh if name not in loaded]}
    return StartingWeights(Start(tensors, loaded), record, tuple(notes))


def _drawn(task: Task, chosen: Resolved) -> dict[str, Tensor]:
    """A random start, for the rows of tables that a file has no values for."""
    torch.manual_seed(chosen.fit.seed)
    return drawn(task, chosen.fit).state_dict()


def _joined(own: StartingWeights, file: StartingWeights) -> StartingWeights:
    """Both, where what the file has comes before what the task itself knows."""
    assert file.start is not None
    if own.start is None:
        return file
    tensors = {**own.start.tensors, **file.start.tensors}
    fresh = [name for name in file.record["fresh"] if name not in tensors]
    return StartingWeights(
        Start(tensors, frozenset(tensors)), {**file.record, "fresh": fresh}, (*own.notes, *file.notes)
    )


def record_of_run(folder: Path) -> dict[str, Any] | None:
    """What run.json says about the weights that the run in this folder began with."""
    extra = header.read_header(folder)["extra"]
    assert isinstance(extra, Mapping)
    return extra.get(RECORD)


def _read(
    path: Path, network: nn.Module, chosen: Resolved, task: Task, record: Mapping[str, Any] | None
) -> StartingWeights:
    notes: list[str] = []
    if path.is_dir():
        state, file = load.load_weights(path, notes=notes), path / header.WEIGHTS_FILE
    else:
        state, file = foreign.load_state_dict(path, notes=notes), path
    digest = files.sha256_file(file)
    if record and record["sha256"] != digest:
        raise RunError(
            f"--weights {path}: the run was begun with another content of this file (sha256 {record['sha256'][:12]}, "
            f"now {digest[:12]}) and has no checkpoint yet; restore the file, or train anew with another --out."
        )
    expected, model = network.state_dict(), chosen.task.model
    rows = rows_of(task, path, state, expected) if path.is_dir() else None
    if rows is not None:
        state, said_of_rows = by_rows(rows, state, lambda: _drawn(task, chosen))
        notes += said_of_rows
    fit = fitted(state, expected)
    if not fit.tensors:
        raise RunError(
            f"--weights {path}: expected weights of {model}, with tensors such as {_first(expected)}, but none of its "
            f"{len(state):,} fits by name and shape; it has {_first(state)}. Name the weights of a {model}."
        )
    loaded = frozenset(fit.tensors)
    said = {
        "path": str(path),
        "sha256": digest,
        "loaded": len(loaded),
        "summed": list(fit.summed),
        "fresh": [name for name in expected if name not in loaded],
        "unexpected": len(fit.unexpected),
    }
    return StartingWeights(Start(fit.tensors, loaded), said, (*notes, *sentences(path, fit, len(expected))))


def fitted(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Fit:
    """What of `state` fits a network whose own state is `expected`, of which only names, shapes and kinds count."""
    state = _renamed(state, expected)
    tensors: dict[str, Tensor] = {}
    summed: list[str] = []
    other_shape: dict[str, str] = {}
    for name, wanted in expected.items():
        came = state.get(name)
        if came is None:
            continue
        brought = _with_channels(came, wanted)
        if came.shape == wanted.shape and came.is_floating_point() == wanted.is_floating_point():
            tensors[name] = came
        elif brought is not None:
            tensors[name] = brought
            summed.append(name)
        else:
            other_shape[name] = f"{name} {_size(came)} for {_size(wanted)}"
    missing = tuple(name for name in expected if name not in state and not name.endswith(_COUNTER))
    unexpected = tuple(name for name in state if name not in expected)
    return Fit(tensors, tuple(summed), other_shape, missing, unexpected)


def sentences(path: Path, fit: Fit, num_expected: int) -> list[str]:
    """What is said to the user, one sentence for each kind of thing."""
    said = [f"weights: {len(fit.tensors):,} of the network's {num_expected:,} tensors are from {path}"]
    if fit.summed:
        said.append(f"weights: brought to the images' number of channels: {_listed(fit.summed)}")
    if fit.other_shape:
        said.append(f"weights: of another shape, so left at a fresh start: {_listed(list(fit.other_shape.values()))}")
    if fit.missing:
        said.append(f"weights: not in the file, so left at a fresh start: {_listed(fit.missing)}")
    if fit.unexpected:
        said.append(f"weights: in the file, but not in the network: {_listed(fit.unexpected)}")
    return said


def _renamed(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {_OLD_DENSENET.sub(r"\1\2", name): tensor for name, tensor in state.items()}
    if any(name in expected for name in renamed):
        return renamed
    words = {name.partition(".")[0] for name in renamed}
    if len(words) != 1 or any("." not in name for name in renamed):
        return renamed
    return {name.partition(".")[2]: tensor for name, tensor in renamed.items()}


def _with_channels(came: Tensor, wanted: Tensor) -> Tensor | None:
    """The weights [O, I, h, w] of a first convolution for another number of channels, or None where it is none."""
    if came.dim() != 4 or wanted.dim() != 4 or not came.is_floating_point():
        return None
    if came.shape[0] != wanted.shape[0] or came.shape[2:] != wanted.shape[2:]:
        return None
    channels = (came.shape[1], wanted.shape[1])
    if channels == (3, 1):
        return came.sum(1, keepdim=True)
    if channels == (1, 3):
        return came.expand(-1, 3, -1, -1) / 3
    return None


def _listed(names: Sequence[str]) -> str:
    return f"{len(names):,} ({', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''})"


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "one number"


def _first(state: Mapping[str, Tensor]) -> str:
    return next((f"{name!r} of {_size(tensor)}" for name, tensor in state.items()), "none")
