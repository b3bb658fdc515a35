"""What the verbs that take a run share: that it is one, and the options of reading data for it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from deepen.core.errors import RunError
from deepen.core.names import nearest


@dataclass(frozen=True)
class Ensemble:
    """Several runs that answer as one"""

    ensemble: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "further runs that answer together with RUN, by the mean of their probabilities or numbers",
            "alias": "with",
        },
    )
    weights: tuple[float, ...] = field(
        default=(), metadata={"help": "how much each run counts, RUN first; else all the same"}
    )


def run_folder(folder: str) -> str:
    """The folder, if it holds a run. Raises RunError at once, naming the nearest run beside it, if it does not."""
    if os.path.isfile(os.path.join(folder, "run.json")):
        return folder
    if os.path.isdir(folder):
        raise RunError(f"{folder}: expected a run folder, but there is no run.json in it; `deepen train` makes one.")
    if os.path.exists(folder):
        raise RunError(f"{folder}: expected a run folder, but is a file; name the folder that `deepen train` printed.")
    parent = os.path.dirname(folder.rstrip("/")) or "."
    near = nearest(os.path.basename(folder.rstrip("/")), _folders(parent))
    mend = (
        f"; did you mean {os.path.join(parent, near)}?" if near else "; `deepen train` makes one and prints its path."
    )
    raise RunError(f"{folder}: no such run folder{mend}")


def run_folders(folder: str, others: Sequence[str] = ()) -> str | list[str]:
    """The folder, or with others all of them, each of which holds a run or the folds of one. Raises RunError."""
    for each in (folder, *others):
        if not os.path.isfile(os.path.join(each, "folds.json")):
            run_folder(each)
    return [folder, *others] if others else folder


def using_groups() -> tuple[type, ...]:
    """The option dataclasses of using a run on data. Imports pyarrow."""
    from deepen.data.read import ReadOptions

    return (ReadOptions,)


def _folders(parent: str) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(parent) if entry.is_dir()]
    except OSError:
        return []
