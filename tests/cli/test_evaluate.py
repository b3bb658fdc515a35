"""`deepen evaluate`: figures with their intervals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deepen.cli.main import main
from deepen.cli.terminal import Terminal
from deepen.core.faults import Fault

RESULT = SimpleNamespace(
    metrics={"accuracy": 0.9875, "cross_entropy": 0.05},
    intervals={"accuracy": (0.9625, 0.9975)},
    count=1797,
    split="test",
    layout="the built-in digits",
    faults=(Fault("warning", "double", "b.jpg", "is also a.jpg."),),
    weights=(),
    cascade=None,
)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """What looks like a run folder."""
    (tmp_path / "digits-lenet").mkdir()
    (tmp_path / "digits-lenet" / "run.json").write_text("{}")
    return str(tmp_path / "digits-lenet")


def test_table_and_json(folder: str, stub: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]) -> None:
    calls = stub("evaluate", RESULT)
    assert main(["evaluate", folder]) == 0
    assert main(["evaluate", folder, "photos/test", "--skip-bad", "--json"]) == 0
    assert all(isinstance(named.pop("events"), Terminal) for _, named in calls)
    assert calls[0] == ((folder, None, {}), {"weights": (), "skip_bad": False, "flags": True})
    assert calls[1] == ((folder, "photos/test", {}), {"weights": (), "skip_bad": True, "flags": True})
    shown = capsys.readouterr()
    *text, as_json = shown.out.splitlines()
    assert text == [
        "metric          value     low    high",
        "accuracy       0.9875  0.9625  0.9975",
        "cross_entropy  0.0500",
        "over 1,797 samples (test); low and high bound a 95 % interval",
    ]
    assert json.loads(as_json)["metrics"] == RESULT.metrics
    assert shown.err.splitlines()[:2] == ["the built-in digits", "b.jpg: is also a.jpg."]


def test_weights_are_stated_or_learned(
    folder: str, stub: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = stub("evaluate", SimpleNamespace(**{**vars(RESULT), "weights": (0.25, 0.75)}))
    assert main(["evaluate", folder, "--with", folder, "--learn-weights"]) == 0
    assert calls[0][1]["weights"] == "learned"
    assert capsys.readouterr().out.splitlines()[-1] == "the runs count 0.250, 0.750"
    assert main(["evaluate", folder, "--with", folder, "--weights", "1,3", "--json"]) == 0
    assert calls[1][1]["weights"] == (1.0, 3.0)
    assert json.loads(capsys.readouterr().out)["weights"] == [0.25, 0.75]
    assert main(["evaluate", folder, "--with", folder, "--weights", "1,3", "--learn-weights"]) == 2
    assert "--weights and --learn-weights are two ways" in capsys.readouterr().err
