"""TensorBoard's event files in a run folder, when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepen.core.errors import OptionError
from deepen.engine.events import Events

FOLDER = "events"


class Board:
    """Passes every event on, and writes each evaluation's figures to RUN/events for `tensorboard --logdir`.

    A resumed run writes a file of its own, whose first step hides what a killed one wrote beyond it.
    """

    def __init__(self, events: Events, folder: Path, *, first_step: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise OptionError(
                "--tensorboard: the package tensorboard is not installed; install it with pip install 'deepen[board]'."
            ) from error
        self._events = events
        self._writer = SummaryWriter(str(folder / FOLDER), purge_step=first_step)

    def message(self, text: str) -> None:
        """Passed on."""
        self._events.message(text)

    def started(self, plan: Mapping[str, Any]) -> None:
        """Passed on."""
        self._events.started(plan)

    def step(self, step: int, progress: float, seconds_left: float | None) -> None:
        """Passed on."""
        self._events.step(step, progress, seconds_left)

    def evaluated(self, record: Mapping[str, Any]) -> None:
        """Every figure as a scalar, "val_accuracy" as val/accuracy."""
        for name, value in record.items():
            if name != "step" and isinstance(value, (int, float)):
                self._writer.add_scalar(name.replace("_", "/", 1), value, record["step"])
        self._events.evaluated(record)

    def done(self) -> None:
        """Writes out what is left."""
        self._writer.close()
        self._events.done()
