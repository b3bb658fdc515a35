"""`check`: everything that is wrong or odd about data, before any training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.data.dataset import Dataset
from deepen.prepare.near_duplicates import warn_near_duplicates
from deepen.verbs.options import resolved
from deepen.verbs.prepared import base_options, prepare
from deepen.verbs.shift import Shift, compare


@dataclass(frozen=True)
class CheckResult:
    """What was found.

    layout   what the data was read as; "" if it could not be read
    split    how it would be split
    counts   usable samples by split
    faults   all of them, in the order in which they were found
    shift    how the data differ from others, where that was asked
    """

    layout: str
    split: str
    counts: dict[str, int]
    faults: tuple[Fault, ...]
    shift: Shift | None = None

    @property
    def passed(self) -> bool:
        """Whether `train` would accept the data without --skip-bad."""
        return not any(fault.level in ("error", "sample") for fault in self.faults)


def check(
    task: str,
    data: str | Path | Dataset,
    given: Mapping[str, Any] | None = None,
    *,
    against: str | Path | Dataset | None = None,
    config: str | Path | None = None,
    flags: bool = False,
) -> CheckResult:
    """Goes the way of `train` up to the first step, and returns every fault instead of refusing.

    Beyond that, it looks for pictures in val and test that are nearly the same as one in train.

    against  a run, or other data: says whether the data come from where those of the run, or these others, came from.
             Then the data need no targets, and only their own reading and the shift are looked at

    Raises OptionError for wrong options, RunError for a run that is none; faults of the data are never raised.
    """
    chosen = resolved(task, given or {}, config, flags=flags, base=base_options(task, data))
    try:
        if against is not None:
            shift = compare(task, data, against, chosen)
            sizes = {"new": shift.counts[1], "reference": shift.counts[0]}
            return CheckResult(shift.layout, "", sizes, shift.faults, shift)
        found = prepare(task, data, chosen)
    except DataError as error:
        faults = error.faults or (Fault("error", "data", "", str(error)),)
        return CheckResult("", "", {}, faults)
    warn_near_duplicates(found.encoded, found.faults)
    counts = {name: len(encoded) for name, encoded in found.encoded.items()}
    return CheckResult(found.dataset.layout, found.split, counts, tuple(found.faults))
