"""A model that is made in one go, such as by counting, recorded as a training of one step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from deepen.bundle import records
from deepen.core.clock import Stopwatch
from deepen.engine.evaluate import evaluate
from deepen.engine.events import Events
from deepen.engine.fit import Fitted
from deepen.engine.keeper import Elsewhere, Keeper
from deepen.engine.task import Task
from deepen.parallel.ranks import Ranks
from deepen.prepare.encoded import Encoded


def made_at_once(
    task: Task,
    make: Callable[[], tuple[nn.Module, Sequence[str]]],
    train: Encoded,
    val: Encoded | None,
    *,
    folder: Path | None,
    elsewhere: Elsewhere | None,
    resume: bool,
    device: torch.device,
    ranks: Ranks,
    events: Events,
) -> Fitted:
    """What `engine.fit.fit` promises, of a model that `make` gives with sentences about it.

    Every rank makes it for itself, and a resumed run makes it anew, so `make` is a pure function of data and options.
    The rest is as in `FittingItself.fit`.
    """
    watch = Stopwatch()
    model, notes = make()
    for note in notes:
        events.message(note)
    record: dict[str, Any] = {"step": 1, "epoch": 1.0}
    if val is not None:
        found = evaluate(task, model, val, device=device, ranks=ranks).result()
        record |= {f"val_{name}": float(f"{value:.6g}") for name, value in found.items()}
    taken = watch.seconds()
    pace = {"step": 1, "seconds": round(taken, 3), "samples_per_second": round(len(train) / max(taken, 1e-9), 1)}
    keeper = Keeper(folder, elsewhere)
    if folder is not None and resume:
        records.truncate_metrics(folder, 0)
        records.truncate_timing(folder, 0)
    keeper.append([record], [pace])
    events.evaluated(record)
    return Fitted(model.eval(), [record], [pace], 1, taken, keeper.folder)
