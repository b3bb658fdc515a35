"""Several runs that answer as one: classes by the mean of their probabilities, numbers by their mean.

An ensemble is a `Loaded` like any other, whose task prepares every sample once per run, each with what that run learned
from its own training data, and whose network holds all of theirs. Whatever takes a loaded run takes an ensemble.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from deepen.bundle.header import RUN_FILE
from deepen.core.errors import OptionError, RunError
from deepen.core.faults import Fault
from deepen.core.figures import Figure
from deepen.core.files import read_json
from deepen.engine.task import Metrics, SharedOutputs, Task, Terms
from deepen.ops.losses import Loss
from deepen.prepare.encoded import CPU, Batch, Draws, Encoded
from deepen.verbs.folds import FOLDS_FILE
from deepen.verbs.loaded import Loaded, loaded

MAX_FOLDS_BYTES = 10_000_000


def as_one(members: Sequence[Loaded], shares: Sequence[float]) -> Loaded:
    """One run as it is, or several as an ensemble. Raises RunError for runs that cannot answer together."""
    return members[0] if len(members) == 1 else together(members, shares)


def load_members(
    runs: str | Path | Sequence[str | Path], weights: Sequence[float] = ()
) -> tuple[list[Loaded], list[float]]:
    """The runs that are named, a folder of folds standing for all of its runs, and how much each one counts.

    weights  in the order of the runs, all positive; default: all the same
    returns  the runs, and weights that add up to 1

    Raises RunError for a run that cannot be loaded, OptionError for weights that do not fit the runs.
    """
    named = [runs] if isinstance(runs, (str, Path)) else list(runs)
    if not named:
        raise OptionError("expected a run or several, but none is named.")
    folders = [folder for each in named for folder in runs_in(each)]
    shares = _shares(weights, folders)
    return [loaded(folder) for folder in folders], shares


def runs_in(folder: str | Path) -> list[Path]:
    """The run folders that a name stands for: itself, or the finished folds of a `train --folds`."""
    folder = Path(folder)
    if (folder / RUN_FILE).exists() or not (folder / FOLDS_FILE).exists():
        return [folder]
    return [folder / name for name in folds_of(folder)]


def folds_of(folder: Path) -> dict[str, dict[str, Any]]:
    """The folds of a folder of folds: the run's folder in it -> its figures. Raises RunError for a damaged file."""
    path = folder / FOLDS_FILE
    content = read_json(path, max_bytes=MAX_FOLDS_BYTES)
    try:
        found = {str(fold["run"]): dict(fold["metrics"]) for fold in content["folds"].values()}  # type: ignore[index]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path}: expected folds with a run and its metrics each; restore it from a copy.") from error
    if not found or any(Path(name).name != name or name == ".." for name in found):
        raise RunError(f"{path}: expected names of run folders beside it, but has {list(found)!r}; restore it.")
    return found


def together(members: Sequence[Loaded], shares: Sequence[float]) -> Loaded:
    """Loaded runs as one that answers by their weighted mean; the first one's words and options stand for all."""
    first = members[0]
    for other in members[1:]:
        _refuse_other_terms(first, other)
    task = EnsembleTask([_shared(member) for member in members], shares)
    notes = tuple(dict.fromkeys(note for member in members for note in member.notes))
    model = nn.ModuleList([member.model for member in members]).eval()
    return dataclasses.replace(first, task=task, model=model, notes=notes)


@dataclass(frozen=True)
class Together(Encoded):
    """The same samples, encoded once per run; `tensors` and `table` are the first run's."""

    parts: tuple[Encoded, ...] = ()

    def num_bytes(self) -> int:
        """What the tensors of all parts take."""
        return sum(part.num_bytes() for part in self.parts)

    def to(self, device: torch.device) -> Together:
        """The same with the tensors of all parts on a device."""
        return together_on([part.to(device) for part in self.parts], device)


def together_on(parts: Sequence[Encoded], device: torch.device = CPU) -> Together:
    """Parts over the same rows as one."""
    whole = all(part.is_whole for part in parts)
    return Together(parts[0].tensors, parts[0].table, device=device, is_whole=whole, parts=tuple(parts))


def encoded_alike(tasks: Sequence[Task], table: pa.Table, split: str, faults: list[Fault]) -> list[Encoded]:
    """The table as each run prepares it, over those samples that all of them can use.

    Each fault is added once, however many runs find it.
    """
    found: list[Fault] = []
    parts = []
    for task in tasks:
        own: list[Fault] = []
        parts.append(task.encode(table, split, own))
        found += [fault for fault in own if fault not in found]
    faults += [fault for fault in found if fault not in faults]
    if all(len(part) == table.num_rows for part in parts):
        return parts
    known = [_identities(part.table) for part in parts]
    shared = set.intersection(*map(set, known))
    return [
        _only(part, np.array([row for row, each in enumerate(rows) if each in shared], np.int64))
        for part, rows in zip(parts, known, strict=True)
    ]


class EnsembleTask:
    """The task of several runs: it speaks in the terms of the first, and asks all of them.

    What it encodes and batches holds one part per run; the model it is given is the list of their networks.
    """

    def __init__(self, tasks: Sequence[SharedOutputs], weights: Sequence[float]) -> None:
        assert len(tasks) == len(weights) and abs(sum(weights) - 1) < 1e-9
        self.tasks, self.weights = tuple(tasks), tuple(weights)
        self.objective = tasks[0].objective
        self._orders = [_order(tasks[0].terms, task.terms) for task in tasks]

    @property
    def terms(self) -> Terms:
        """Those of the first run."""
        return self.tasks[0].terms

    def encode(self, table: pa.Table, split: str, faults: list[Fault]) -> Encoded:
        """The samples that every run can use, as each of them prepares them."""
        return together_on(encoded_alike(self.tasks, table, split, faults))

    def batch(self, encoded: Encoded, rows: np.ndarray, draws: Draws | None) -> Batch:
        """Every run's batch of these rows, its tensors under the run's number: `0.pixels`, `1.pixels`."""
        assert isinstance(encoded, Together)
        batches = [task.batch(part, rows, draws) for task, part in zip(self.tasks, encoded.parts, strict=True)]
        tensors = {f"{number}.{name}": t for number, batch in enumerate(batches) for name, t in batch.tensors.items()}
        return Batch(tensors, batches[0].count, rows)

    def build(self) -> nn.Module:
        """All networks, freshly initialized."""
        return nn.ModuleList([task.build() for task in self.tasks])

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        """The weighted mean of the runs' losses."""
        parts = zip(self._parts(model, batch), self.weights, strict=True)
        losses = [task.loss(network, part).sum * share for (task, network, part), share in parts]
        return Loss(torch.stack(losses).sum())

    def metrics(self) -> Metrics:
        """Those of the first run."""
        return self.tasks[0].metrics()

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean of the runs' outputs, in the terms of the first."""
        found = [task.outputs(network, part) for task, network, part in self._parts(model, batch)]
        return self.combine([self.in_terms(number, each) for number, each in enumerate(found)], self.weights)

    def outputs_of(self, number: int, model: nn.Module, batch: Batch, rows: Tensor | None = None) -> Tensor:
        """One run's outputs, in the terms of the first. `rows` [n] int64: only for these rows of the batch."""
        assert isinstance(model, nn.ModuleList)
        own = _part(batch, number)
        if rows is not None:
            tensors = {name: tensor.index_select(0, rows) for name, tensor in own.tensors.items()}
            own = Batch(tensors, len(rows), own.rows[rows.cpu().numpy()])
        return self.in_terms(number, self.tasks[number].outputs(model[number], own))

    def in_terms(self, number: int, outputs: Tensor) -> Tensor:
        """A run's outputs with the columns of its classes in the order of the first."""
        order = self._orders[number]
        return outputs if order is None else outputs[:, order]

    def combine(self, outputs: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """As the first run combines them."""
        return self.tasks[0].combine(outputs, weights)

    def score(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        """Adds the mean outputs, beside the first run's targets."""
        self.score_outputs(self.outputs(model, batch), batch, metrics)

    def score_outputs(self, outputs: Tensor, batch: Batch, metrics: Any) -> None:
        """As the first run does."""
        self.tasks[0].score_outputs(outputs, _part(batch, 0), metrics)

    def answer(self, model: nn.Module, batch: Batch, sources: Sequence[str]) -> list[Any]:
        """The answers by the mean outputs."""
        return self.answer_outputs(self.outputs(model, batch), batch, sources)

    def answer_outputs(self, outputs: Tensor, batch: Batch, sources: Sequence[str]) -> list[Any]:
        """As the first run does."""
        return self.tasks[0].answer_outputs(outputs, _part(batch, 0), sources)

    def figures(self, metrics: Any, encoded: Encoded) -> list[Figure]:
        """As the first run draws them."""
        assert isinstance(encoded, Together)
        return self.tasks[0].figures(metrics, encoded.parts[0])

    def _parts(self, model: nn.Module, batch: Batch) -> list[tuple[SharedOutputs, nn.Module, Batch]]:
        assert isinstance(model, nn.ModuleList)
        return [(task, model[number], _part(batch, number)) for number, task in enumerate(self.tasks)]


def _part(batch: Batch, number: int) -> Batch:
    """One run's own batch."""
    prefix = f"{number}."
    own = {name.removeprefix(prefix): tensor for name, tensor in batch.tensors.items() if name.startswith(prefix)}
    return Batch(own, batch.count, batch.rows)


def _shares(weights: Sequence[float], folders: Sequence[Path]) -> list[float]:
    """Weights that add up to 1."""
    if not weights:
        return [1 / len(folders)] * len(folders)
    if len(weights) != len(folders):
        named = ", ".join(map(str, folders))
        raise OptionError(
            f"--weights {','.join(f'{each:g}' for each in weights)}: expected one weight for each of the "
            f"{len(folders)} runs ({named}), but there are {len(weights)}."
        )
    bad = next((each for each in weights if not (each > 0 and math.isfinite(each))), None)
    if bad is not None:
        raise OptionError(
            f"--weights: expected positive numbers, but has {bad!r}; leave a run out that shall not count."
        )
    return [each / math.fsum(weights) for each in weights]


def _shared(member: Loaded) -> SharedOutputs:
    if not isinstance(member.task, SharedOutputs):
        raise RunError(f"{member.folder}: {member.header['task']} has no outputs that several runs could average.")
    return member.task


def _refuse_other_terms(first: Loaded, other: Loaded) -> None:
    """Raises RunError where the runs' answers cannot be averaged, naming what sets them apart."""
    where = f"{other.folder}: expected to answer together with {first.folder}"
    if other.header["task"] != first.header["task"]:
        raise RunError(f"{where}, a run of {first.header['task']}, but is one of {other.header['task']}.")
    own, its = _shared(first).terms, _shared(other).terms
    if own.target != its.target:
        raise RunError(f"{where}, which answers {own.target!r}, but this run answers {its.target!r}.")
    missing, more = (sorted(set(a) - set(b)) for a, b in ((own.labels, its.labels), (its.labels, own.labels)))
    if own.basis and (missing or more):
        raise RunError(
            f"{where}, but its {own.basis} differs (fingerprint {' '.join(more)}, not {' '.join(missing)}), so that "
            f"their outputs are about different things; take runs with one {own.basis}."
        )
    if missing or more:
        told = [*(f"lacks {name!r}" for name in missing[:3]), *(f"has {name!r} too" for name in more[:3])]
        left = len(missing) + len(more) - len(told)
        rest = f" and {left} more" if left else ""
        raise RunError(
            f"{where}, but its classes are others: it {', '.join(told)}{rest}; take runs on one set of labels."
        )


def _order(terms: Terms, own: Terms) -> list[int] | None:
    """Which of a run's columns stands at each place of the first run's; None where all stand there already."""
    if own.labels == terms.labels:
        return None
    place = {name: index for index, name in enumerate(own.labels)}
    return [place[name] for name in terms.labels]


def _identities(table: pa.Table) -> list[tuple[str, str, int]]:
    """What tells the rows of a table apart whichever of them were left out: source, content, and which of its like."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for pair in zip(table.column("source").to_pylist(), table.column("key").to_pylist(), strict=True):
        found.append((*pair, seen[pair]))
        seen[pair] += 1
    return found


def _only(encoded: Encoded, rows: np.ndarray) -> Encoded:
    """The encoded data of these rows."""
    if len(rows) == len(encoded):
        return encoded
    return dataclasses.replace(encoded, tensors=encoded.take(rows), table=encoded.table.take(pa.array(rows)))
