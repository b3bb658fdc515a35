"""Losses that a layer asks for itself, beside what the task makes of the network's outputs.

    with collecting() as found:
        outputs = model(x)                 # a layer calls `add_loss(weight * penalty)`
    loss = task_loss + sum(found)

Training collects them for every task (engine/training.py); outside of `collecting` a layer's `add_loss` does nothing.
What is added is meant for each target, so it is a mean over the rows of the micro-batch: training multiplies it by the
number of targets.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

_found: ContextVar[list[Tensor] | None] = ContextVar("extra losses", default=None)


@contextmanager
def collecting() -> Iterator[list[Tensor]]:
    """Within it, every layer's extra losses are kept: yields a list of scalars that grows, with their graphs."""
    found: list[Tensor] = []
    token = _found.set(found)
    try:
        yield found
    finally:
        _found.reset(token)


def is_collecting() -> bool:
    """Whether somebody wants them, so that a layer need not work them out in vain."""
    return _found.get() is not None


def add_loss(loss: Tensor) -> None:
    """Adds a scalar to the loss of every target, if somebody collects."""
    found = _found.get()
    if found is not None:
        found.append(loss)
