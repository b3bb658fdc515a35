"""`deepen train`: what it hands to the verb, and what it prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deepen.cli.main import main
from deepen.core.errors import DataError

RUN = SimpleNamespace(folder=Path("runs/digits-lenet"), metrics={"accuracy": 0.9875, "cross_entropy": None})


def test_hands_over_options_and_prints_the_folder_last(
    task: str, stub: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = stub("train", RUN)
    line = [
        "train",
        task,
        "my digits",
        "--epochs",
        "3",
        "--no-augment",
        "--model",
        "mlp",
        "--out",
        "runs/x",
        "--resume",
    ]
    assert main(line) == 0
    (arguments, keywords) = calls[0]
    assert arguments == (task, "my digits", {"epochs": 3, "augment": False, "model": "mlp"})
    events = keywords.pop("events")
    events.message("read as images")
    assert keywords == {
        "out": "runs/x",
        "resume": True,
        "command": "deepen train image-classification 'my digits' " + " ".join(line[3:]),
        "flags": True,
    }
    shown = capsys.readouterr()
    assert shown.out.split("\n")[-2] == "runs/digits-lenet"
    assert "accuracy       0.9875" in shown.out
    assert shown.err == "read as images\n"


def test_json(task: str, stub: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]) -> None:
    stub("train", RUN)
    assert main(["train", task, "digits", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"run": "runs/digits-lenet", "metrics": {"accuracy": 0.9875, "cross_entropy": None}}


def test_faults_of_data_are_sentences(
    task: str, stub: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    stub("train", DataError("a.jpg: image file is truncated."))
    assert main(["train", task, "photos"]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "deepen: a.jpg: image file is truncated.\n")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("train image-clasification x", "'image-clasification': no such task; did you mean image-classification?"),
        ("train image-classification x --model lenett", "--model lenett: no such model; did you mean lenet?"),
        ("train image-classification x --epoch 3", "--epoch: no such option; did you mean --epochs?"),
        ("train image-classification x --skip-bda", "--skip-bda: no such option; did you mean --skip-bad?"),
        (
            "train image-classification x --epochs 0",
            "--epochs: expected a whole number of at least 1, or none, but is '0'.",
        ),
        ("train image-classification", "DATA is missing; usage: deepen train TASK DATA [--options]"),
        ("train", "TASK is missing; usage: deepen train TASK DATA [--options] (tasks: image-classification)"),
    ],
)
def test_mistakes(
    line: str, sentence: str, task: str, stub: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = stub("train", RUN)
    assert main(line.split()) == 2
    assert capsys.readouterr().err == f"deepen: {sentence}\n"
    assert not calls


def test_options_may_come_before_the_task(task: str, stub: Callable[..., list[Any]]) -> None:
    calls = stub("train", RUN)
    assert main(["train", "--epochs", "3", task, "x"]) == 0
    assert calls[0][0] == (task, "x", {"epochs": 3})


def test_help_of_a_task_shows_the_models_own_recipe(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", task, "--help"]) == 0
    page = capsys.readouterr().out
    assert "--batch-size N" in page
    assert "default 64" in page
    assert "--augment, --no-augment" in page
    assert main(["train", "--help"]) == 0
    assert "One class per image" in capsys.readouterr().out
