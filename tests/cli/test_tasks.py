"""Finding the task and the model on a command line before anything heavy is imported."""

from __future__ import annotations

import pytest

from deepen.cli.tasks import known_model, known_task, recipe, task_word
from deepen.core.errors import OptionError


def test_the_task_stands_first_or_is_found_behind_options(task: str) -> None:
    assert task_word([task, "x"]) == task
    assert task_word(["--epochs", "3", task, "x"]) == task
    assert task_word(["--epochs", "3"]) == "3"
    assert task_word(["--help"]) is None
    assert known_task([task], "u") == task
    with pytest.raises(OptionError, match="TASK is missing; usage: u"):
        known_task([], "u")
    with pytest.raises(OptionError, match="'image-clasification': no such task; did you mean image-classification"):
        known_task(["image-clasification"], "u")


def test_the_model_if_it_is_named(task: str) -> None:
    assert known_model([task, "--model=mlp"]) == "mlp"
    assert known_model([task]) is None
    with pytest.raises(OptionError, match="--model lenett: no such model; did you mean lenet"):
        known_model(["--model", "lenett"])
    assert recipe(task, None) == {"batch_size": 64}
