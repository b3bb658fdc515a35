"""How a compressed network differs from the one its task builds: a list of steps, applied before weights are loaded.

A run folder holds them as `extra["changes"]` of run.json, each step a JSON object with its kind under `step`. This is
the one place that applies them: whatever asks the task for its network gets the changed one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from torch import nn

from deepen.compress import aware, early_exit, fold, low_rank, quantized_layers, resize

Change = dict[str, Any]
FIELD = "changes"
STEPS: dict[str, Callable[[nn.Module, Mapping[str, Any]], nn.Module | None]] = {
    "resize": resize.rebuild,
    "fold-batch-norms": fold.rebuild,
    "low-rank": low_rank.rebuild,
    "quantize": quantized_layers.rebuild,
    "aware": aware.rebuild,
    early_exit.STEP: early_exit.rebuild,
}
AnyTask = TypeVar("AnyTask")


def of_header(header: Mapping[str, Any]) -> list[Change]:
    """The changes that run.json states, none of a run that `train` made."""
    found = header["extra"].get(FIELD, [])
    if not isinstance(found, list):
        raise TypeError(f"changes are a list, not {type(found).__name__}")
    return found


def rounds(changes: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a network so changed rounds what a layer reads, so that another order of additions may tip a number.

    Whole weights alone tip nothing: they are the same numbers whoever multiplies by them.
    """
    layers = (layer for change in changes if change["step"] == "quantize" for layer in change["layers"].values())
    return any(layer["input"] is not None for layer in layers)


def apply(network: nn.Module, changes: Sequence[Mapping[str, Any]]) -> nn.Module:
    """A network that the task has just built, changed in order, partly in place; its weights are loaded afterwards.

    Raises KeyError, TypeError or ValueError for steps that do not fit the network.
    """
    for change in changes:
        network = STEPS[change["step"]](network, change) or network
    return network


def with_changes(task: AnyTask, changes: Sequence[Mapping[str, Any]]) -> AnyTask:
    """The same task, whose `build` gives the changed network. Without changes it is the task itself."""
    if not changes:
        return task
    changed: Any = copy.copy(task)
    changed.build = partial(_built, changed.build, tuple(changes))
    return changed


def _built(build: Callable[[], nn.Module], changes: Sequence[Mapping[str, Any]]) -> nn.Module:
    return apply(build(), changes)
