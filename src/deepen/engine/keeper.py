"""Where a training writes down how it stands, and another place if the first can no longer be written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from deepen.bundle import checkpoint, records
from deepen.core.errors import FileError

Elsewhere = Callable[[FileError], Path]  # makes another run folder; what made the first one fail is given


class Keeper:
    """Writes the lines of an evaluation, and checkpoints, into a run folder.

    folder     the run folder; None: nothing is written
    elsewhere  called once, when the folder cannot be written any more; the lines so far are then written there again.
               None: what failed is raised
    """

    def __init__(self, folder: Path | None, elsewhere: Elsewhere | None = None) -> None:
        self.folder = folder
        self._elsewhere = elsewhere

    def append(self, history: list[dict[str, Any]], timing: list[dict[str, Any]]) -> None:
        """Writes the last line of each. Raises FileError if it cannot be written."""
        if self.folder is None:
            return
        try:
            records.append_timing(self.folder, timing[-1])
            records.append_metrics(self.folder, history[-1])
        except FileError as error:
            self._move(error, history, timing)

    def save(
        self,
        tensors: Mapping[str, Tensor],
        state: Mapping[str, Any],
        step: int,
        history: list[dict[str, Any]],
        timing: list[dict[str, Any]],
    ) -> None:
        """Writes a checkpoint. Raises FileError if it cannot be written."""
        if self.folder is None:
            return
        try:
            checkpoint.save_checkpoint(self.folder, tensors, state, step=step)
        except FileError as error:
            self._move(error, history, timing)
            checkpoint.save_checkpoint(self.folder, tensors, state, step=step)

    def _move(self, error: FileError, history: list[dict[str, Any]], timing: list[dict[str, Any]]) -> None:
        if self._elsewhere is None:
            raise error
        self.folder, self._elsewhere = self._elsewhere(error), None
        for pace, record in zip(timing, history, strict=True):
            records.append_timing(self.folder, pace)
            records.append_metrics(self.folder, record)
