"""`deepen tune`: what it hands to the verb, and what it prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deepen.cli.main import main
from deepen.cli.tune import without_searches
from deepen.core.errors import OptionError


def trial(number: int, value: float, **options: Any) -> SimpleNamespace:
    return SimpleNamespace(number=number, state="done", value=value, options=options)


RESULT = SimpleNamespace(
    folder=Path("runs/digits-lenet-tune"),
    study="image-classification-digits-lenet",
    run_folder=Path("runs/digits-lenet-tune/trials/001"),
    objective=("accuracy", "max"),
    default=trial(0, 0.75, **{"batch_size": 64, "network.hidden": []}),
    best=trial(1, 0.875, **{"batch_size": 32, "network.hidden": [7, 5]}),
    trials=(trial(0, 0.75), trial(1, 0.875)),
    gain=0.125,
    metrics={
        "default": {"val": {"accuracy": 0.75, "roc_auc": None}, "test": {"accuracy": 0.5}},
        "best": {"val": {"accuracy": 0.875, "roc_auc": None}, "test": {"accuracy": 0.625}},
    },
    importance={"log2 of batch_size": 0.8, "network.hidden": 0.2},
    command="deepen train image-classification digits --config runs/digits-lenet-tune/best.json",
    others=0,
)


def test_hands_over_options_and_prints_the_best_run_last(
    task: str, stub: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = stub("tune", RESULT)
    line = f"tune {task} digits --search batch_size=8,16 --epochs 3 --search=default --trials 7 --tune-time 1h".split()
    assert main([*line, "--pruner", "asha", "--out", "runs/x"]) == 0
    (arguments, keywords) = calls[0]
    assert arguments == (task, "digits", {"epochs": 3})
    keywords.pop("events").message("read as images")
    said = {"trials": 7, "tune_time": "1h", "pruner": "asha", "out": "runs/x", "flags": True}
    command = "deepen " + " ".join([*line, "--pruner", "asha", "--out", "runs/x"])
    assert keywords == {**said, "search": ["batch_size=8,16", "default"], "command": command}
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "runs/digits-lenet-tune/trials/001"
    assert lines[-2] == f"again: {RESULT.command}"
    assert "val accuracy    0.7500  0.8750      0.1250" in lines
    assert "test accuracy   0.5000  0.6250      0.1250" in lines
    assert "batch_size      64       32        0.8000" in lines
    assert "network.hidden  none     7,5       0.2000" in lines


def test_json(task: str, stub: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]) -> None:
    stub("tune", RESULT)
    assert main(["tune", task, "digits", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["best"] == {"trial": 1, "value": 0.875, "options": {"batch_size": 32, "network.hidden": [7, 5]}}
    assert (found["gain"], found["run"], found["others"]) == (0.125, "runs/digits-lenet-tune/trials/001", 0)
    assert found["metrics"]["best"]["test"] == {"accuracy": 0.625}


def test_searches_are_taken_out_of_the_line_wherever_they_stand() -> None:
    assert without_searches(["--search", "a=1,2", "x", "--search=b=3..4", "--", "--search", "c"]) == (
        ["x", "--", "--search", "c"],
        ["a=1,2", "b=3..4"],
    )
    with pytest.raises(OptionError, match="--search: needs a value: NAME=SPEC"):
        without_searches(["x", "--search", "--json"])


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("tune image-classification x --trials 0", "--trials: expected a whole number of at least 1, or none"),
        ("tune image-classification x --pruner halving", "--pruner: expected one of median, asha, none, but is"),
        ("tune image-classification x --trails 3", "--trails: no such option; did you mean --trials?"),
        ("tune image-classification", "DATA is missing; usage: deepen tune TASK DATA"),
        ("tune", "TASK is missing; usage: deepen tune TASK DATA"),
    ],
)
def test_mistakes(
    line: str, sentence: str, task: str, stub: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = stub("tune", RESULT)
    assert main(line.split()) == 2
    assert capsys.readouterr().err.startswith(f"deepen: {sentence}")
    assert not calls


def test_help(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", task, "--help"]) == 0
    page = capsys.readouterr().out
    assert "--batch-size N" in page
    assert "--search TEXT,..." in page
    assert ":log for a logarithmic scale" in page
    assert main(["tune", "--help"]) == 0
    assert "One class per image" in capsys.readouterr().out
