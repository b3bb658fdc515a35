"""Finding the reader of a path, and the sentences when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepen.core.errors import DataError
from deepen.data.dataset import Schema
from deepen.data.read import read, short_name

SCHEMA = Schema(("digits", "mnist_idx", "cifar_binary", "npz", "image_manifest", "image_folder"), ("image",), "label")


def test_the_built_in_digits() -> None:
    dataset = read("digits", SCHEMA)
    assert dataset.tables["all"].num_rows == 1797
    assert dataset.labels == tuple("0123456789")
    assert dataset.tables["all"].column("source")[5].as_py() == "digits, image 5"


def test_a_folder_called_digits_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    with pytest.raises(DataError, match="digits: 0 images found under it; it holds no files"):
        read("digits", SCHEMA)


def test_a_misspelt_built_in_name() -> None:
    with pytest.raises(DataError, match="digts: no such file or folder; did you mean digits"):
        read("digts", SCHEMA)


def test_the_nearest_sibling_is_named(tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    with pytest.raises(DataError, match=r"did you mean .*holiday"):
        read(tmp_path / "holliday", SCHEMA)


def test_the_first_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a is not there"):
        read(tmp_path / "a" / "b" / "c", SCHEMA)


def test_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(DataError, match="is a link to nowhere, which does not exist"):
        read(tmp_path / "link", SCHEMA)


def test_a_folder_of_other_things(tmp_path: Path) -> None:
    for index in range(3):
        (tmp_path / f"{index}.mp4").write_bytes(b"x")
    with pytest.raises(DataError, match=r"3 \.mp4 files are there"):
        read(tmp_path, SCHEMA)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(b"x")
    with pytest.raises(DataError, match=r"a\.docx: is not a file this task reads"):
        read(tmp_path / "a.docx", SCHEMA)


def test_a_device_is_no_data() -> None:
    with pytest.raises(DataError, match="/dev/null: is not a regular file or folder"):
        read("/dev/null", SCHEMA)


@pytest.mark.parametrize(("path", "name"), [("a/photos/train", "photos"), ("a/made.npz", "made"), ("a/x.tar.gz", "x")])
def test_short_names(path: str, name: str) -> None:
    assert short_name(Path(path)) == name
