"""Invariant 5: however several faults are planted together, all of them are said, and none that was not planted."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.harness import deepen
from tests.faults.image_cases import bomb, half, large_metadata, many_scans, png_of
from tests.faults.pictures import encoded, jpeg, photos, pixels

JPEG = jpeg(1)
BOMB = bomb(13_000)


@dataclass(frozen=True)
class Planted:
    """One fault that leaves room for others: what to do in the folder, where it is said, and in which kind of words."""

    plant: Callable[[Path], None]
    level: str
    name: str
    words: str


def file(name: str, content: bytes, words: str, level: str = "samples") -> Planted:
    return Planted(lambda root: (root / name).write_bytes(content) and None, level, name, words)


PLANTED = (
    file("cat/cut.jpg", half(JPEG, 0.6), "is truncated"),
    file("cat/page.jpg", b"<!DOCTYPE html>", "is HTML text"),
    file("dog/empty.png", b"", "is empty"),
    file("dog/bomb.png", BOMB, "13,000 x 13,000"),
    file("dog/zero.png", png_of(0, 0), "header is damaged"),
    file("cat/scans.jpg", many_scans(), "scans"),
    file("cat/drawing.svg", b"<svg/>", ".svg files are not read"),
    file("dog/paper.jpg", b"%PDF-1.7\n", "is a PDF document"),
    file("dog/half.webp", half(large_metadata("WEBP", 100), 0.5), "half.webp"),
    Planted(lambda root: os.mkfifo(root / "cat" / "pipe.png"), "samples", "cat/pipe.png", "is not a regular file"),
    Planted(lambda root: (root / "dog" / "gone.png").symlink_to("no.png"), "samples", "dog/gone.png", "does not exist"),
    Planted(lambda root: (root / "emu").mkdir(), "warnings", "emu", "no image is in this folder"),
    Planted(lambda root: (root / "cat" / "loop").symlink_to(".."), "warnings", "cat/loop", "read already"),
    Planted(
        lambda root: (root / "dog" / "twin.png").write_bytes((root / "cat" / "0.png").read_bytes()) and None,
        "warnings",
        "",
        "has the same content and label",
    ),
    file("cat/thin.png", encoded(pixels(1, height=1, width=2_000)), "very narrow", "warnings"),
)


@pytest.mark.parametrize("seed", range(10))
def test_all_of_them_are_said(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_all_said(seed, tmp_path, monkeypatch)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(10, 510))
def test_all_of_many_are_said(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_all_said(seed, tmp_path, monkeypatch)


def assert_all_said(seed: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plants two to five faults and looks each up; as many bad samples are said as were planted."""
    monkeypatch.setenv("DEEPEN_CACHE", "off")
    generator = random.Random(seed)
    chosen = generator.sample(PLANTED, generator.randint(2, 5))
    root = photos(folder)
    for planted in chosen:
        planted.plant(root)
    outcome = deepen("check", "image-classification", root, "--json")
    bad = [planted for planted in chosen if planted.level == "samples"]
    assert outcome.code == (2 if bad else 0), outcome.out
    found = outcome.found
    for planted in chosen:
        said = [entry["sentence"] for entry in found[planted.level]]
        assert any(planted.name in text and planted.words in text for text in said), (planted, said)
    assert not found["errors"] and len(found["samples"]) == len(bad), found
    out = folder / "run"
    again = deepen("train", "image-classification", root, "--out", out, "--epochs", "1", "--json")
    assert (again.code == 2) == bool(bad), again.err
    kinds = {entry["kind"]: entry["place"] for entry in found["samples"]}
    assert all(Path(place).name in again.err for place in kinds.values()), again.err
