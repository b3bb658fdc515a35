"""One evaluation pass: every row once, exact over ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from deepen.engine.feed import on_device
from deepen.engine.task import Metrics, Task
from deepen.parallel.ranks import Ranks
from deepen.prepare.encoded import Batch, Encoded

BATCH_SIZE = 500


def rows_at_once(task: Task) -> int:
    """How many rows are answered together: what the task says (`evaluation_batch_size`), else 500."""
    return int(getattr(task, "evaluation_batch_size", BATCH_SIZE))


def evaluate(
    task: Task,
    model: nn.Module,
    encoded: Encoded,
    *,
    device: torch.device,
    ranks: Ranks,
    batch_size: int | None = None,
    progress: Callable[[float], None] = lambda part: None,
) -> Metrics:
    """The metrics of a network over all rows of an encoded table, the same on every rank.

    The network is left in the mode it was in. `progress` is told which part of the rows is done.
    """
    metrics = task.metrics()
    encoded = on_device(encoded, device)
    was_training, done = model.training, 0
    model.eval()
    with torch.inference_mode():
        for batch in batches(task, encoded, device=device, ranks=ranks, batch_size=batch_size):
            task.score(model, batch, metrics)
            done += len(batch.rows)
            progress(min(1.0, done * ranks.size / max(1, len(encoded))))
    model.train(was_training)
    if ranks.size > 1:
        metrics.merge(ranks.gather_tensors(metrics.state()))
    return metrics


def batches(
    task: Task, encoded: Encoded, *, device: torch.device, ranks: Ranks, batch_size: int | None = None
) -> Iterator[Batch]:
    """This rank's share of the rows in their order, without any random part."""
    batch_size = batch_size or rows_at_once(task)
    share = np.array_split(np.arange(len(encoded), dtype=np.int64), ranks.size)[ranks.rank]
    share = (
        share if len(share) else np.zeros(min(1, len(encoded)), np.int64)
    )  # metrics count a row once whoever sends it
    for start in range(0, len(share), batch_size):
        yield task.batch(encoded, share[start : start + batch_size], None).to(device)
