"""Bad samples are left out as if they had never been there, and all faults are said at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deepen.core.faults import Fault
from deepen.data.dataset import Schema
from deepen.data.read import read
from deepen.data.split import split, without
from tests.faults.harness import deepen
from tests.faults.pictures import jpeg, photos

SCHEMA = Schema(("image_folder",), ("image",), "label")
FITTING = ("--epochs", "2", "--model", "softmax-regression", "--batch-size", "8", "--seed", "1")
BAD = {
    "truncated": ("cut.jpg", jpeg(1)[:900]),
    "html": ("page.jpg", b"<html>404</html>"),
    "empty": ("none.png", b""),
}


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPEN_CACHE", "off")


@pytest.mark.parametrize("kind", BAD)
def test_skipping_equals_deleting(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = photos(tmp_path, count=12)
    name, content = BAD[kind]
    (root / "cat" / name).write_bytes(content)
    skipped = deepen("train", "image-classification", "photos", "--skip-bad", "--out", "one", *FITTING)
    assert skipped.code == 0, skipped.err
    (root / "cat" / name).unlink()
    deleted = deepen("train", "image-classification", "photos", "--out", "two", *FITTING)
    assert deleted.code == 0, deleted.err
    weights = [(tmp_path / run / "weights.safetensors").read_bytes() for run in ("one", "two")]
    assert weights[0] == weights[1]


def test_without_the_bad_rows_the_split_is_as_if_they_had_never_been_there(tmp_path: Path) -> None:
    root = photos(tmp_path, count=12)
    (root / "cat" / "cut.jpg").write_bytes(jpeg(1)[:900])
    dataset = read(root, SCHEMA)
    tables = split(dataset, SCHEMA, seed=0, faults=[]).tables
    where = next(
        (name, row)
        for name, table in tables.items()
        for row, source in enumerate(sources(table))
        if "cut.jpg" in source
    )
    again = split(without(dataset, tables, [Fault("sample", "x", "", "", *where)]), SCHEMA, seed=0, faults=[]).tables
    (root / "cat" / "cut.jpg").unlink()
    clean = split(read(root, SCHEMA), SCHEMA, seed=0, faults=[]).tables
    assert {name: sources(table) for name, table in again.items()} == {name: sources(t) for name, t in clean.items()}


def test_all_planted_faults_are_said(tmp_path: Path) -> None:
    root = photos(tmp_path)
    for name, content in BAD.values():
        (root / "cat" / name).write_bytes(content)
    os.mkfifo(root / "dog" / "pipe.png")
    (root / "dog" / "gone.png").symlink_to("nowhere.png")
    (root / "emu").mkdir()
    found = deepen("check", "image-classification", root, "--json").found
    places = {Path(entry["place"]).name for entry in found["samples"]}
    assert places == {"cut.jpg", "page.jpg", "none.png", "pipe.png", "gone.png"}
    assert [entry["kind"] for entry in found["warnings"]] == ["class-empty"]


def sources(table) -> list[str]:
    return table.column("source").to_pylist()
