"""Answers in tables and files: CSV without formulas, JSON lines and Parquet, whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from deepen.cli.answers import columns_and_rows, csv_text, format_of, records, write_file
from deepen.core.errors import FileError, OptionError


@dataclass(frozen=True)
class Answer:
    """As a task makes it."""

    source: str
    label: str
    confidence: float
    probabilities: dict[str, float] = field(default_factory=dict)


ANSWERS = [Answer("=1+1.png", "cat", 0.75, {"cat": 0.75, "-dog": 0.25}), Answer("b,c.png", "-dog", -0.5, {"-dog": 1.0})]


def test_the_table_for_people_leaves_out_figures_per_class() -> None:
    columns, rows = columns_and_rows(records(ANSWERS))
    assert columns == ["source", "label", "confidence"]
    assert rows[0] == ["=1+1.png", "cat", 0.75]


def test_csv_text_is_no_formula_unless_raw_and_numbers_stay_numbers() -> None:
    rows = list(csv.reader(io.StringIO(csv_text(records(ANSWERS)))))
    assert rows == [
        ["source", "label", "confidence", "probabilities.cat", "probabilities.-dog"],
        ["'=1+1.png", "cat", "0.75", "0.75", "0.25"],
        ["b,c.png", "'-dog", "-0.5", "", "1.0"],
    ]
    raw = list(csv.reader(io.StringIO(csv_text(records(ANSWERS), raw=True))))
    assert raw[1][0] == "=1+1.png"
    assert raw[2][1] == "-dog"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_every_start_of_a_formula(start: str) -> None:
    assert csv_text([{"source": f"{start}x"}]).split("\n", 1)[1].lstrip('"').startswith("'")


def test_files_of_each_kind(tmp_path: Path) -> None:
    rows = records(ANSWERS)
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        write_file(str(tmp_path / name), rows, raw=False)
    assert (tmp_path / "a.csv").read_bytes().decode() == csv_text(rows)
    assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_text("utf-8").splitlines()] == rows
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.column_names == ["source", "label", "confidence", "probabilities.cat", "probabilities.-dog"]
    assert table.column("source").to_pylist() == ["=1+1.png", "b,c.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.jsonl", "a.parquet"]


def test_refuses_other_endings_and_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match=r"--out a.cvs: expected a name that ends in .csv, .jsonl, .parquet; did you mean .csv"
    ):
        format_of("a.cvs")
    with pytest.raises(FileError, match="its folder does not exist"):
        write_file(str(tmp_path / "none" / "a.csv"), [], raw=False)
