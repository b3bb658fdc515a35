"""`deepen evaluate`: figures with their intervals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deepen.cli.main import main
from deepen.core.faults import Fault

RESULT = SimpleNamespace(
    metrics={"accuracy": 0.9875, "cross_entropy": 0.05},
    intervals={"accuracy": (0.9625, 0.9975)},
    count=1797,
    split="test",
    layout="the built-in digits",
    faults=(Fault("warning", "double", "b.jpg", "is also a.jpg."),),
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
