"""Looking at attention weights while a network answers, without the network handing them out.

    with recording(model) as found:
        model(ids, mask)
    for name, weights in found: ...      # ("blocks.0.attention", [B, heads, Tq, Tk])

A layer with attention calls `record(self, weights)`; outside of `recording` that does nothing, and `is_recording` tells
it that a kernel which keeps no weights will do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor, nn


class _Record:
    def __init__(self, model: nn.Module | None) -> None:
        self.names = {} if model is None else {id(module): name for name, module in model.named_modules()}
        self.found: list[tuple[str, Tensor]] = []


_record: ContextVar[_Record | None] = ContextVar("attention", default=None)


@contextmanager
def recording(model: nn.Module | None = None) -> Iterator[list[tuple[str, Tensor]]]:
    """Within it, every attention layer's weights are kept, in the order of their use.

    model   gives the layers their names, as `named_modules` has them; without it they are named after their class
    yields  a list of (name, weights [B, heads, Tq, Tk]) that grows; without gradient, before dropout
    """
    record = _Record(model)
    token = _record.set(record)
    try:
        yield record.found
    finally:
        _record.reset(token)


def is_recording() -> bool:
    """Whether somebody wants the weights."""
    return _record.get() is not None


def record(layer: nn.Module, weights: Tensor) -> None:
    """Keeps the weights of a layer, if somebody wants them.

    weights  [B, heads, Tq, Tk], or [B, Tq, Tk] of a single head
    """
    current = _record.get()
    if current is None:
        return
    if weights.dim() == 3:
        weights = weights.unsqueeze(1)
    current.found.append((current.names.get(id(layer), type(layer).__name__), weights.detach()))
