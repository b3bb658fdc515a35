"""What each optimizer reads, with its own defaults: one table, by which options that it does not read are refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from deepen.engine.options import OptimizerOptions

_ADAM: dict[str, Any] = {"learning_rate": 1e-3, "weight_decay": 0.0, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}

# kind -> option -> default; an option that is missing is not read
READS: Mapping[str, Mapping[str, Any]] = {
    "sgd": {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4},
    "adagrad": {"learning_rate": 0.01, "weight_decay": 0.0, "epsilon": 1e-10},
    "rmsprop": {
        "learning_rate": 1e-3,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "rho": 0.9,
        "centered": False,
        "epsilon": 1e-8,
    },
    "adadelta": {"learning_rate": 1.0, "weight_decay": 0.0, "rho": 0.9, "epsilon": 1e-6},
    "adam": _ADAM,
    "adamw": {**_ADAM, "weight_decay": 1e-2},
    "yogi": {**_ADAM, "learning_rate": 1e-2, "epsilon": 1e-3},
    "lars": {"learning_rate": 1.0, "momentum": 0.9, "weight_decay": 1e-4, "trust": 1e-3},
    "gradient-descent": {"learning_rate": 0.1, "weight_decay": 0.0},
    "newton": {"learning_rate": 1.0, "weight_decay": 0.0, "damping": 0.0, "iterations": 100},
}
FULL_BATCH = ("gradient-descent", "newton")  # one update sees the whole training set


def filled(options: OptimizerOptions) -> OptimizerOptions:
    """The options with the method's own defaults where None stands; what the method does not read stays as it is.

    >>> filled(OptimizerOptions(kind="adadelta")).learning_rate
    1.0
    """
    own = {name: value for name, value in READS[options.kind].items() if getattr(options, name) is None}
    return dataclasses.replace(options, **own)


def defaults(kind: str) -> dict[str, Any]:
    """Options of a training, by dotted name, that fit an optimizer where nobody says anything else.

    A method that takes the whole training set in each update has few of them and no noise to average away, so its rate
    stays where it is.
    """
    found = {f"optimizer.{name}": value for name, value in READS[kind].items()}
    if kind in FULL_BATCH:
        found |= {"schedule.kind": "constant", "schedule.warm_up": 0.0}
    return {"optimizer.kind": kind, **found}


def readers(option: str) -> list[str]:
    """The optimizers that read an option.

    >>> readers("momentum")
    ['sgd', 'rmsprop', 'lars']
    """
    return [kind for kind, reads in READS.items() if option in reads]
