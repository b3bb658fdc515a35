"""What the verbs that take a task share: finding its name, and that of a model, before torch could be imported."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from deepen.cli.arguments import value_of
from deepen.core import names
from deepen.core.errors import OptionError


def task_word(argv: Sequence[str]) -> str | None:
    """The task's name on a command line, which stands first, or behind options; None if there is none."""
    words = [word for word in argv if not word.startswith("-")]
    if argv and not argv[0].startswith("-"):
        return argv[0]
    return next((word for word in words if word in names.tasks()), words[0] if words else None)


def known_task(argv: Sequence[str], usage: str) -> str:
    """The name of an existing task. Raises OptionError at once where it is missing or misspelt."""
    task = task_word(argv)
    if task is None:
        raise OptionError(f"TASK is missing; usage: {usage} (tasks: {', '.join(names.tasks())})")
    return names.task(task).name


def known_model(argv: Sequence[str]) -> str | None:
    """The model that `--model` names, if it does. Raises OptionError at once where there is none of that name."""
    model = value_of(argv, "--model")
    if model is not None and model not in names.models():
        raise OptionError(f"--model {model}: no such model{names.did_you_mean(model, names.models())}")
    return model


def training_groups(task: str, model: str | None) -> tuple[type, ...]:
    """The option dataclasses of a training. Imports torch."""
    from deepen.verbs.options import groups

    return groups(task, model)


def network_groups(model: str) -> tuple[type, ...]:
    """The option dataclass of a network alone. Imports torch."""
    from deepen.verbs.options import network_group

    return (network_group(names.models()[model].contracts[0], model),)


def recipe(task: str, model: str | None) -> Mapping[str, Any]:
    """The options that the model's own file sets instead of the defaults. Imports torch."""
    from deepen.verbs.options import task_module

    name = model or task_module(task).Options().model
    return importlib.import_module(names.models()[name].module).RECIPE
