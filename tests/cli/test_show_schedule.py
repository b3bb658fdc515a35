"""`deepen show schedule`: charts in a terminal and as a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deepen.cli.main import main


def test_a_chart_with_the_options_that_count(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "schedule", "polynomial", "--schedule.warm-up", "0", "--schedule.power", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "polynomial"
    assert lines[2].startswith("1 |*") and lines[15].startswith("0 |") and lines[15].endswith("*")
    assert lines[-1] == "warm-up 0  warm-up-shape linear  final 0  power 1"
    assert lines.index("  +" + "-" * 64) == 16


def test_a_file_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "all.svg"
    assert main(["show", "schedule", "all", "--out", str(out), "--json"]) == 0
    said = capsys.readouterr()
    assert len(json.loads(said.out)["schedules"]) == 10 and out.read_text().startswith("<svg ")
    assert str(out) in said.err


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "schedule", "--help"]) == 0
    said = capsys.readouterr().out
    assert "--schedule.milestones" in said and "inverse-root" in said and "--epochs" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["step", "cosine"], "'cosine': one word too many"),
        (["--out", "picture.png"], "--out picture.png: expected a name that ends in .svg."),
        (["--schedule.knid", "step"], "--schedule.knid: no such option; did you mean --schedule.kind?"),
        (["--optimizer.lr", "0"], "--optimizer.learning-rate: expected a number above 0"),
    ],
)
def test_refusals(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "schedule", *words]) == 2
    assert said in capsys.readouterr().err
