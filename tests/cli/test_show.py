"""`deepen show`: layers and sums."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from deepen.cli.main import main

RESULT = {
    "name": "lenet",
    "parameters": 61_706,
    "multiply_adds": 416_520,
    "metrics": {"test": {"accuracy": 0.5}},
    "layers": [{"name": "conv1", "output": [6, 28, 28], "parameters": 156}],
}


def test_text_and_json(task: str, stub: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]) -> None:
    calls = stub("show", RESULT)
    assert main(["show", "lenet"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "name   output   parameters",
        "conv1  6x28x28         156",
        "",
        "name: lenet",
        "parameters: 61,706",
        "multiply_adds: 416,520",
        "metrics.test.accuracy: 0.5000",
    ]
    assert main(["show", "lenet", "--input-shape", "1,8,8", "--outputs", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == RESULT
    assert calls[1] == (("lenet", {}), {"flags": True, "input_shape": (1, 8, 8), "outputs": 3})
    assert main(["show", "lenet", "--network.width", "11"]) == 0
    assert main(["show", "--network.width", "11", "lenet"]) == 0
    assert calls[2] == calls[3] == (("lenet", {"network.width": 11}), {"flags": True})


def test_the_help_of_a_network_has_its_own_options(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "lenet", "--help"]) == 0
    assert "--network.width N" in capsys.readouterr().out
    assert main(["show", "--help"]) == 0
    assert "--network" not in capsys.readouterr().out.replace("--network.stem 7x7", "")


def test_a_picture_is_asked_for_by_its_file(task: str, stub: Callable[..., list[Any]]) -> None:
    calls = stub("show", RESULT)
    assert main(["show", "lenet", "--graph", "lenet.svg"]) == 0
    assert calls == [(("lenet", {}), {"flags": True, "graph": "lenet.svg"})]


def test_a_name_that_is_neither_model_nor_run(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "lenett"]) == 2
    assert capsys.readouterr().err == "deepen: 'lenett': neither a model nor a run folder; did you mean lenet?\n"
