"""What a training says while it runs, on stderr: a bar on a terminal, one line per evaluation otherwise.

It implements the engine's Events without importing them. A step costs a clock reading; the bar is drawn ten times a
second at most. A stderr that cannot be written goes silent and ends no training.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from deepen.cli.output import cell, is_first_rank, say
from deepen.core.faults import printable
from deepen.core.units import duration, plural

if TYPE_CHECKING:
    from rich.progress import Progress

SECONDS_BETWEEN_DRAWINGS = 0.1
NARROWEST = 40  # columns; below it a bar would only be noise
NOT_FIGURES = ("epoch", "step", "seconds", "samples")


class Terminal:
    """Events of a training, shown to whoever looks at stderr."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._row: Any = None
        self._drawn = 0.0
        self._progress = 0.0
        self._left: float | None = None
        self._objective = ""

    def message(self, text: str) -> None:
        """A line of its own, above the bar if there is one."""
        if not is_first_rank():
            return
        lines = [printable(line) for line in text.split("\n")]
        if self._bar is None:
            say("\n".join(lines))
            return
        try:
            self._bar.console.print("\n".join(lines), markup=False, highlight=False, emoji=False)
        except (OSError, ValueError):
            self._silence()

    def started(self, plan: Mapping[str, Any]) -> None:
        """Training begins: says the plan's model, rows, device and any budget; from then on follows its objective."""
        self._objective = str(plan.get("objective", ""))
        if {"model", "rows", "device"} <= set(plan):
            budget = f", for {plan['budget']}" if "budget" in plan else ""
            rows = plural(plan["rows"], "sample")
            self.message(f"training {plan['model']} on {rows}, {plan['device']}{budget}")
        if is_first_rank() and has_bar():
            self._open_bar()

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        console = Console(stderr=True, width=max(NARROWEST, shutil.get_terminal_size().columns))
        columns = [
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[note]}"),
        ]
        bar = Progress(*columns, console=console, auto_refresh=False, transient=True, expand=True)
        try:
            bar.start()
        except (OSError, ValueError):
            return
        self._bar = bar
        self._row = bar.add_task("", total=1.0, note="")

    def step(self, step: int, progress: float, seconds_left: float | None) -> None:
        """After each step; `progress` is the part of the budget that is used, 0 to 1."""
        self._progress, self._left = progress, seconds_left
        if self._bar is None:
            return
        now = time.monotonic()
        if now - self._drawn < SECONDS_BETWEEN_DRAWINGS:
            return
        self._drawn = now
        left = f"{duration(seconds_left)} left" if seconds_left is not None else ""
        try:
            self._bar.update(self._row, completed=progress, note=f"step {step:,}  {left}", refresh=True)
        except (OSError, ValueError):
            self._silence()

    def evaluated(self, record: Mapping[str, Any]) -> None:
        """One line per evaluation: `epoch 3  train_loss 0.2113  val_accuracy 0.9530  12 s left`."""
        left = f"  {duration(self._left)} left" if self._left is not None and self._progress < 1 else ""
        self.message(evaluation_line(record, self._objective) + left)

    def done(self) -> None:
        """Training ended, however it did; the bar goes."""
        bar, self._bar = self._bar, None
        if bar is None:
            return
        try:
            bar.stop()
        except (OSError, ValueError):
            self._silence()

    def _silence(self) -> None:
        from deepen.cli.output import discard

        discard(sys.stderr)
        self._bar = None


def evaluation_line(record: Mapping[str, Any], objective: str = "") -> str:
    """An evaluation on one line: where, the training loss and the objective; all figures where none is named."""
    chosen = ("train_loss", f"val_{objective}") if objective else tuple(record)
    where = f"epoch {round(record['epoch'], 2):g}" if "epoch" in record else f"step {cell(record.get('step', 0))}"
    figures = [
        f"{name} {cell(value)}"
        for name, value in record.items()
        if name in chosen
        and name not in NOT_FIGURES
        and isinstance(value, (int, float))
        and not isinstance(value, bool)
    ]
    return "  ".join([where, *figures])


def has_bar() -> bool:
    """Whether stderr is a terminal on which a bar can be drawn over itself."""
    try:
        return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")
    except (AttributeError, ValueError):
        return False
