"""Whether an exported program answers as its run does: the run's own samples, prepared and scored both ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from deepen.core.errors import RunError
from deepen.core.faults import Fault
from deepen.engine.evaluate import evaluate
from deepen.engine.task import Exported, Task
from deepen.parallel.ranks import Alone
from deepen.prepare.image_guard import guarded
from deepen.runtime.engines import Engine, measured
from deepen.runtime.program import Program

BATCHES = (1, 32)


@dataclass(frozen=True)
class Checked:
    """What was found.

    count     samples scored
    before    the run's figures on them, `after` the program's, each made by its own preparation and its own arithmetic
    apart     the largest difference of a probability, or of a number in deviations of what was learned
    """

    count: int
    before: dict[str, float]
    after: dict[str, float]
    apart: float


def checked(
    task: Task,
    model: nn.Module,
    exported: Exported,
    program: Program,
    table: pa.Table,
    split: str,
    faults: list[Fault],
    progress: Callable[[float], None] = lambda part: None,
) -> Checked:
    """The samples of a table with targets scored by the run and by the program; `progress` is told which part is done.

    Raises RunError if the two do not find the same samples usable.
    """
    device = torch.device("cpu")
    with guarded():
        encoded = task.encode(table, split, faults)
    first, second, third = (_part_of(progress, index, 3) for index in range(3))
    before = evaluate(task, model, encoded, device=device, ranks=Alone(), progress=first).result()
    metrics, count = program.scored(table, split, [], second)
    if count != len(encoded):
        raise RunError(
            f"{program.path}: the exported program can use {count:,} of the samples, but the run {len(encoded):,}; "
            "this is a fault of deepen: please report it."
        )
    return Checked(count, before, metrics.result(), _apart(task, model, exported, program, table, third))


def _part_of(progress: Callable[[float], None], index: int, count: int) -> Callable[[float], None]:
    return lambda part: progress((index + part) / count)


def latency(exported: Exported, engine: Engine, arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Milliseconds of the network in PyTorch and in the engine, each at 1 and 32 samples, preparation in the graph.

    arrays  the inputs of some real samples, repeated to as many as are wanted
    """
    found: dict[str, dict[str, float]] = {"eager": {}, engine.name: {}}
    eager = Eager(exported)
    for size in BATCHES:
        rows = np.arange(size) % len(next(iter(arrays.values())))
        batch = [np.ascontiguousarray(arrays[name][rows]) for name in exported.inputs]
        found["eager"][str(size)] = measured(eager, batch)
        own = dict(zip(exported.inputs, batch, strict=True))
        found[engine.name][str(size)] = measured(engine, [own[name] for name in engine.inputs])
    return found


class Eager:
    """The network itself as an engine."""

    name = "eager"

    def __init__(self, exported: Exported) -> None:
        self._network = exported.network
        self.inputs = {name: (each.numpy().dtype.type, tuple(each.shape)) for name, each in exported.inputs.items()}

    def run(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """The network's outputs."""
        with torch.inference_mode():
            return self._network(*map(torch.from_numpy, arrays)).numpy()


def _apart(
    task: Task,
    model: nn.Module,
    exported: Exported,
    program: Program,
    table: pa.Table,
    progress: Callable[[float], None],
) -> float:
    """The largest difference over all samples that can be prepared, with or without a target."""
    with guarded():
        encoded = task.encode(table, "predict", [])
        prepared = program.prepared(table, "predict", [])
    if len(prepared.kept) != len(encoded):
        raise RunError(
            f"{program.path}: the exported program can read {len(prepared.kept):,} of the samples, but the run "
            f"{len(encoded):,}; this is a fault of deepen: please report it."
        )
    largest = 0.0
    for start in range(0, len(encoded), prepared.rows_at_once):
        rows = np.arange(start, min(start + prepared.rows_at_once, len(encoded)))
        arrays = prepared.arrays(rows)
        with torch.inference_mode():
            own = exported.outputs(model, task.batch(encoded, rows, None)).numpy()
        apart = program.answering.apart(own, program.outputs(arrays), arrays)
        largest = apart if not apart <= largest else largest  # NaN stays
        progress((start + len(rows)) / len(encoded))
    return largest
