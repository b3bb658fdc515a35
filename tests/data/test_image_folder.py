"""Folders of images: classes, splits, and what is passed over."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from deepen.core.errors import DataError
from deepen.data import image_files
from deepen.data.dataset import Dataset
from deepen.data.read import ReadOptions
from deepen.data.readers.image_folder import read, recognizes
from tests.faults.pictures import encoded, fill, photos, pixels


def labels(dataset: Dataset, split: str = "all") -> list[str | None]:
    return dataset.tables[split].column("label").to_pylist()


def test_one_folder_per_class(tmp_path: Path) -> None:
    dataset = read(photos(tmp_path, count=3), ReadOptions())
    assert dataset.layout == "image folder: 6 images, 2 classes"
    assert labels(dataset) == ["cat"] * 3 + ["dog"] * 3
    assert dataset.faults == ()
    assert len(set(dataset.tables["all"].column("key").to_pylist())) == 6


@pytest.mark.parametrize(
    ("folder", "split"), [("val", "val"), ("valid", "val"), ("Validation", "val"), ("dev", "val"), ("testing", "test")]
)
def test_split_folders(folder: str, split: str, tmp_path: Path) -> None:
    fill(tmp_path / "train", 2)
    fill(tmp_path / folder, 1, seed=1)
    dataset = read(tmp_path, ReadOptions())
    assert {name: table.num_rows for name, table in dataset.tables.items()} == {"train": 4, split: 2}


def test_a_class_called_train_among_classes(tmp_path: Path) -> None:
    fill(tmp_path, 2, classes=("car", "plane", "train"))
    assert set(labels(read(tmp_path, ReadOptions()))) == {"car", "plane", "train"}


def test_folders_below_a_class_belong_to_it(tmp_path: Path) -> None:
    root = photos(tmp_path, count=2)
    shutil.copytree(root / "cat", root / "cat" / "black" / "old")
    assert labels(read(root, ReadOptions())).count("cat") == 4


def test_loose_images_are_refused_or_said(tmp_path: Path) -> None:
    root = photos(tmp_path, count=2)
    (root / "loose.png").write_bytes(encoded(pixels(1)))
    assert [fault.kind for fault in read(root, ReadOptions()).faults] == ["image-outside"]
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "loose.png").write_bytes(encoded(pixels(1)))
    with pytest.raises(DataError, match="1 images lie directly in it; put them in one folder per class"):
        read(alone, ReadOptions())


def test_without_targets_any_folder_and_any_file_will_do(tmp_path: Path) -> None:
    root = photos(tmp_path, count=2)
    (root / "loose.png").write_bytes(encoded(pixels(1)))
    options = ReadOptions(targets_needed=False)
    found = labels(read(root, options))
    assert sorted(found, key=str) == [None, "cat", "cat", "dog", "dog"]
    assert labels(read(root / "loose.png", options)) == [None]


def test_names_without_an_image_are_not_recognized(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    assert not recognizes(tmp_path)
    assert not recognizes(tmp_path / "a.txt")
    assert recognizes(tmp_path / "x.JPG")


def test_class_names_from_a_file(tmp_path: Path) -> None:
    root = photos(tmp_path, count=2)
    (tmp_path / "names.txt").write_text("dog\ncat\n\n")
    assert read(root, ReadOptions(labels=str(tmp_path / "names.txt"))).labels == ("dog", "cat")


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "holds no class name"), ("a\n\nb", "line 2: is blank"), ("a\nb\na", "line 3: class 'a' stands on line 1")],
)
def test_bad_files_of_class_names(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text(text)
    with pytest.raises(DataError, match=words):
        read(photos(tmp_path), ReadOptions(labels=str(tmp_path / "names.txt")))


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = photos(tmp_path, count=2)
    opened = os.open

    def refuse(path: object, *arguments: int) -> int:
        if str(path).endswith("cat/1.png"):
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(image_files.os, "open", refuse)
    faults = read(root, ReadOptions()).faults
    assert [fault.sentence().split("cat/")[1] for fault in faults] == [
        "1.png: may not be read by this user; change its permissions."
    ]


def test_many_files_in_one_folder(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    for index in range(3_000):
        os.link(tmp_path / "cat" / "0.png", tmp_path / "cat" / f"link{index}.png")
    assert read(tmp_path, ReadOptions()).tables["all"].num_rows == 3_002
