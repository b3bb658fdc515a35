"""The package's own functions, and the files around it that must agree with each other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import deepen

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def stub(monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> list[Any]:
    """Calls of a stand-in for a verb."""
    calls: list[Any] = []
    stand_in = ModuleType(f"deepen.verbs.{module}")
    setattr(stand_in, name, lambda *arguments, **keywords: calls.append((arguments, keywords)))
    monkeypatch.setitem(sys.modules, f"deepen.verbs.{module}", stand_in)
    return calls


def test_keywords_are_options(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = stub(monkeypatch, "train", "train")
    deepen.train("image-classification", "digits", model="lenet", optimizer={"lr": 0.1}, out="runs/x")
    given = {"model": "lenet", "optimizer": {"lr": 0.1}}
    keywords = {"out": "runs/x", "resume": False, "config": None, "skip_bad": False, "tensorboard": False}
    assert calls == [(("image-classification", "digits", given), keywords)]

    calls = stub(monkeypatch, "check", "check")
    deepen.check("tabular-regression", Path("a.csv"), target="y")
    assert calls == [(("tabular-regression", Path("a.csv"), {"target": "y"}), {})]

    calls = stub(monkeypatch, "run", "Run")
    deepen.load("runs/x")
    assert calls == [(("runs/x",), {})]


def test_every_dependency_is_constrained_and_none_pinned_from_above() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    exact = {line.partition("==")[0].lower() for line in lines}
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9a-z.]*", line) for line in lines)
    wanted = PROJECT["dependencies"] + [
        each for extra, names in PROJECT["optional-dependencies"].items() if extra != "bench" for each in names
    ]
    for each in wanted:
        name = re.split(r"[\[<>=]", each)[0].lower()
        assert name in exact | {"deepen"}, each
        assert "<" not in each
        assert "==" not in each


def test_continuous_integration_runs_the_readmes_command() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text("utf-8").rstrip().endswith("\nmake test")
    assert "\nmake test " in (ROOT / "README.md").read_text("utf-8")
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


def test_the_version_is_stated_once() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", deepen.__version__)
    assert "version" in PROJECT["dynamic"]
