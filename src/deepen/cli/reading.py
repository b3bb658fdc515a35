"""What the verbs that take a run share: that it is one, and the options of reading data for it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from deepen.core.errors import OptionError, RunError
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
    learn_weights: bool = field(
        default=False,
        metadata={"help": "each run counts as much as makes their validation split the most likely"},
    )


@dataclass(frozen=True)
class Cascade:
    """Runs one after the other"""

    then: tuple[str, ...] = field(
        default=(),
        metadata={"help": "the next run, or several: each is asked only where the one before it is not sure"},
    )
    accuracy: str | None = field(
        default=None,
        metadata={"help": "at least this on validation, as fast as can be: 93%, or -0.2% (default) of the last run's"},
    )
    cost_share: float | None = field(
        default=None,
        metadata={"help": "at most this part of the last run's time, as accurate as can be on validation"},
    )
    thresholds: tuple[float, ...] = field(
        default=(),
        metadata={"help": "each run but the last answers what it is surer of than this: 0 everything, 1 nothing"},
    )


@dataclass(frozen=True)
class Running:
    """An exported file in place of a run"""

    engine: Literal["auto", "onnxruntime", "openvino"] = field(
        default="auto", metadata={"help": "what computes an .onnx file; auto: the fastest here, by measuring"}
    )
    threads: int | None = field(
        default=None, metadata={"help": "threads for an .onnx file; default: all processors", "least": 1}
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


def weights_of(values: Mapping[str, Any]) -> Any:
    """How much each run counts, as `evaluate` and `predict` take it. Raises OptionError for two ways at once."""
    stated = values.get("weights", ())
    if not values.get("learn_weights"):
        return stated
    if stated:
        raise OptionError("--weights and --learn-weights are two ways to say how much runs count; leave one out.")
    return "learned"


def cascade_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """What `evaluate` and `predict` take of a cascade: nothing, or `cascade` with its options. Raises OptionError."""
    wishes = {name: values[name] for name in ("accuracy", "cost_share", "thresholds") if name in values}
    if not values.get("then"):
        if wishes:
            raise OptionError(
                f"--{next(iter(wishes)).replace('_', '-')}: is of a cascade; name the next run with --then."
            )
        return {}
    if values.get("ensemble") or values.get("weights") or values.get("learn_weights"):
        raise OptionError("--then asks runs one after the other, --with and weights all of them; leave one out.")
    return {"cascade": wishes}


def others_of(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The runs beside the first: those of --with, or of --then."""
    return (*values.get("ensemble", ()), *values.get("then", ()))


def exported_file(word: str, ensemble: Sequence[str] = ()) -> bool:
    """Whether a word of the command line is an exported file and not a run. Raises RunError for a kind never loaded."""
    if word.endswith((".pt2", ".pt")) and os.path.isfile(word):
        raise RunError(f"{word}: loading such a file can run code, so deepen writes and never loads them; use .onnx.")
    if not word.endswith(".onnx") or os.path.isdir(word):
        return False
    if ensemble:
        raise RunError(f"{word}: is an exported file, which answers alone; --with and --then take runs.")
    return True


def using_groups() -> tuple[type, ...]:
    """The option dataclasses of using a run on data. Imports pyarrow."""
    from deepen.data.read import ReadOptions

    return (ReadOptions,)


def _folders(parent: str) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(parent) if entry.is_dir()]
    except OSError:
        return []
