"""`deepen predict`: a table, JSON, or a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deepen.cli.main import main


@dataclass(frozen=True)
class Answer:
    """As a task makes it."""

    source: str
    label: str
    probabilities: dict[str, float]


ANSWERS = [Answer("a.png", "cat", {"cat": 1.0}), Answer("=b.png", "dog", {"cat": 0.25})]


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """What looks like a run folder."""
    (tmp_path / "run.json").write_text("{}")
    return str(tmp_path)


def test_table_json_and_file(
    folder: str, stub: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    calls = stub("predict", lambda *_, **__: iter(ANSWERS))
    assert main(["predict", folder, "a.png", "more/"]) == 0
    assert capsys.readouterr().out == "source  label\na.png   cat\n=b.png  dog\n"
    arguments, keywords = calls[0]
    assert arguments == (folder, ["a.png", "more/"], {})
    assert keywords == {"weights": (), "skip_bad": False, "flags": True, "faults": []}

    assert main(["predict", folder, "a.png", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["answers"][1] == {"source": "=b.png", "label": "dog", "probabilities": {"cat": 0.25}}

    out = str(tmp_path / "answers.csv")
    assert main(["predict", folder, "a.png", "--out", out]) == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"2 answers in {out}\n")
    assert "'=b.png" in Path(out).read_text("utf-8")
    assert main(["predict", folder, "a.png", "--out", out, "--raw"]) == 0
    assert "\n=b.png" in Path(out).read_text("utf-8")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["predict"], "RUN is missing; usage: deepen predict RUN INPUT... [--out FILE] [--options]"),
        (["predict", "FOLDER"], "INPUT is missing; usage:"),
        (
            ["predict", "FOLDER", "x.png", "--out", "a.xls"],
            "--out a.xls: expected a name that ends in .csv, .jsonl, .parquet",
        ),
    ],
)
def test_mistakes(
    line: list[str], sentence: str, folder: str, stub: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = stub("predict", [])
    assert main([folder if word == "FOLDER" else word for word in line]) == 2
    assert capsys.readouterr().err.startswith(f"deepen: {sentence}")
    assert not calls
