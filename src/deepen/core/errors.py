"""The faults of a user, each one sentence: what was expected, what came, how to mend it.

Our own faults are `assert`s and never one of these. A DataError may carry many faults at once, so that `check`
and `train` can show all of them, grouped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepen.core.faults import Fault

EXIT_DONE = 0
EXIT_OURS = 1
EXIT_USER = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class DeepenError(Exception):
    """A user's fault. Its text is one clear sentence, the place first; the command line prints it and exits with 2."""


class OptionError(DeepenError):
    """An option that does not exist, has a value of the wrong type or contradicts another."""


class ShapeError(DeepenError):
    """Tensors or images whose sizes do not fit together, or do not fit a network."""


class RunError(DeepenError):
    """A run folder that is missing, damaged, of another version, or not fit for what was asked of it."""


class TrainingError(DeepenError):
    """Training that cannot go on: a loss or gradient that is not finite, a full disk, memory that ran out."""


class FileError(DeepenError):
    """A file or folder that cannot be read or written: a full disk, no permission, broken JSON, a lock held."""


class DataError(DeepenError):
    """Data that cannot be used. `faults` holds every fault found, the worst first."""

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults)
