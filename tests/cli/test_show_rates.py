"""`deepen show rates`: words, options and the rule by which the rates are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from deepen.cli import show_rates
from deepen.cli.main import main
from deepen.core.figures import Curves

FOUND = SimpleNamespace(
    test=SimpleNamespace(
        rates=[0.1, 1.0], losses=[2.0, 1.0], smoothed=[2.0, 1.5], lowest=1.0, steepest=0.5, suggested=0.1, diverged=True
    ),
    command="deepen train image-classification photos --optimizer.lr 0.1",
)


def test_what_is_said_and_as_json(
    task: str, stub: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = stub("find_rate", FOUND)
    import sys

    curve = Curves("Learning-rate range test", "log10", "loss", {"smoothed": [(-1.0, 2.0), (0.0, 1.5)]})
    monkeypatch.setattr(sys.modules["deepen.verbs.find_rate"], "figure", lambda found: curve, raising=False)
    argv = ["show", "rates", task, "photos", "--batch-size", "7", "--num-steps", "33", "--from-rate", "1e-4"]
    assert main(argv) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == FOUND.command
    assert "suggested peak   0.1   (a tenth of the rate of the lowest loss)" in said and "exploded" in said
    words, keywords = calls[0]
    assert words == (task, "photos", {"batch_size": 7})
    assert (keywords["num_steps"], keywords["from_rate"], keywords["flags"]) == (33, 1e-4, True)
    assert main([*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["suggested"] == 0.1


def test_help_with_and_without_a_task(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "rates", "--help"]) == 0
    assert "--num-steps" in capsys.readouterr().out
    assert main(["show", "rates", task, "--help"]) == 0
    assert "--batch-size" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "TASK is missing"),
        (["image-classification"], "DATA is missing"),
        (["image-classification", "photos", "--out", "rates.png"], "expected a name that ends in .svg"),
        (["image-classification", "photos", "--num-steps", "3"], "--num-steps: expected a whole number of at least 20"),
    ],
)
def test_refusals(task: str, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "rates", *words]) == 2
    assert said in capsys.readouterr().err


def test_the_usage_is_that_of_the_words() -> None:
    assert all(example.startswith("deepen show rates ") for example in show_rates.EXAMPLES)
