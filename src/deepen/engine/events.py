"""What training tells whoever watches: a terminal, a test, a notebook."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol


class Events(Protocol):
    """Called by verbs and by the loop, on rank 0 only. Must return at once: the loop waits for it."""

    def message(self, text: str) -> None:
        """One line for a person."""
        ...

    def started(self, plan: Mapping[str, Any]) -> None:
        """Training begins: {"model", "rows", "device", "objective", "epochs", "budget"}, those that are known.

        There is no budget where the model is made in one go.
        """
        ...

    def step(self, step: int, progress: float, seconds_left: float | None) -> None:
        """After each update."""
        ...

    def evaluated(self, record: Mapping[str, Any]) -> None:
        """After each evaluation: what the new line of metrics.jsonl holds."""
        ...

    def done(self) -> None:
        """Training has ended, in whatever way."""
        ...


class Silent:
    """Nobody watches."""

    def message(self, text: str) -> None:
        """Says nothing."""

    def started(self, plan: Mapping[str, Any]) -> None:
        """Says nothing."""

    def step(self, step: int, progress: float, seconds_left: float | None) -> None:
        """Says nothing."""

    def evaluated(self, record: Mapping[str, Any]) -> None:
        """Says nothing."""

    def done(self) -> None:
        """Says nothing."""


@contextmanager
def progress_of(events: Events | None) -> Iterator[Callable[[float], None]]:
    """What is told which part of some work is done, from 0 to 1, while the block lasts."""
    shown: Events = events or Silent()
    calls = itertools.count(1)
    shown.started({})
    try:
        yield lambda part: shown.step(next(calls), part, None)
    finally:
        shown.done()
