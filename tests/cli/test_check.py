"""`deepen check`: every fault, the worst first, as text and as JSON, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from deepen.cli.main import main
from deepen.core.faults import Fault

NOTE = Fault("note", "litter", "", "2 files are not images.")
WARNING = Fault("warning", "double", "b.jpg", "is also a.jpg.")
SAMPLES = [
    Fault("sample", "cut", f"{name}.jpg", "image file is truncated.", "train", row) for row, name in enumerate("cd")
]


def result(*faults: Fault) -> SimpleNamespace:
    """As the verb returns it."""
    passed = not any(fault.level in ("error", "sample") for fault in faults)
    return SimpleNamespace(
        layout="folders: 9 images", split="split 7/1/1", counts={"train": 7}, faults=faults, passed=passed, shift=None
    )


def test_worst_first_in_groups(task: str, stub: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]) -> None:
    calls = stub("check", result(NOTE, WARNING, *SAMPLES))
    assert main(["check", task, "photos", "--epochs", "2"]) == 2
    assert calls == [((task, "photos", {"epochs": 2}), {"flags": True})]
    assert capsys.readouterr().out.splitlines() == [
        "folders: 9 images",
        "split 7/1/1",
        "bad samples (--skip-bad leaves them out):",
        "  c.jpg: image file is truncated. 1 more like this: d.jpg",
        "warnings:",
        "  b.jpg: is also a.jpg.",
        "notes:",
        "  2 files are not images.",
        "2 bad samples, 1 warning.",
    ]


def test_warnings_pass(task: str, stub: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]) -> None:
    stub("check", result(WARNING))
    assert main(["check", task, "photos"]) == 0
    stub("check", result())
    assert main(["check", task, "photos"]) == 0
    assert capsys.readouterr().out.endswith("nothing is wrong.\n")


def test_json_has_every_fault(task: str, stub: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]) -> None:
    stub("check", result(WARNING, *SAMPLES))
    assert main(["check", task, "photos", "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert (found["errors"], found["notes"]) == ([], [])
    assert [entry["row"] for entry in found["samples"]] == [0, 1]
    assert found["warnings"][0]["sentence"] == "b.jpg: is also a.jpg."
    assert found["counts"] == {"train": 7}
