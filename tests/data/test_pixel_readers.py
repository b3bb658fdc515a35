"""Readers of pixel arrays: idx, CIFAR binary, npz."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepen.core.errors import DataError
from deepen.data.dataset import Dataset
from deepen.data.pixels import pixel_keys
from deepen.data.read import ReadOptions
from deepen.data.readers import cifar_binary, mnist_idx, npz
from tests.faults.pictures import arrays, cifar, digits


def images(dataset: Dataset, split: str) -> np.ndarray:
    return dataset.tables[split].column("image").combine_chunks().to_numpy_ndarray()


def test_idx(tmp_path: Path) -> None:
    dataset = mnist_idx.read(digits(tmp_path / "d", count=14, side=11), ReadOptions())
    assert images(dataset, "train").shape == (14, 11, 11, 1)
    assert images(dataset, "test").shape == (7, 11, 11, 1)
    assert dataset.tables["train"].column("label").to_pylist() == ["0", "1"] * 7
    assert dataset.tables["train"].column("source")[3].as_py().endswith("train-images-idx3-ubyte.gz, image 3")


@pytest.mark.parametrize(("ending", "pack"), [("", bytes), (".xz", lzma.compress), (".bz2", bz2.compress)])
def test_idx_however_packed(ending: str, pack, tmp_path: Path) -> None:
    packed, other = digits(tmp_path / "a"), tmp_path / "b"
    other.mkdir()
    for path in packed.iterdir():
        (other / (path.stem + ending)).write_bytes(pack(gzip.decompress(path.read_bytes())))
    first, second = mnist_idx.read(packed, ReadOptions()), mnist_idx.read(other, ReadOptions())
    assert first.fingerprint() == second.fingerprint()


def test_idx_with_class_names_and_one_file_alone(tmp_path: Path) -> None:
    folder = digits(tmp_path / "d")
    (tmp_path / "names.txt").write_text("dark\nbright")
    options = ReadOptions(labels=str(tmp_path / "names.txt"))
    dataset = mnist_idx.read(folder / "t10k-images-idx3-ubyte.gz", options)
    assert dataset.tables["all"].column("label").to_pylist() == ["dark", "bright"] * 5
    assert dataset.labels == ("dark", "bright")


def test_idx_without_its_labels(tmp_path: Path) -> None:
    folder = digits(tmp_path / "d")
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"its file of labels \(train-labels-idx1-ubyte\) is not beside it"):
        mnist_idx.read(folder, ReadOptions())
    table = mnist_idx.read(folder, ReadOptions(targets_needed=False)).tables["train"]
    assert table.column("label").null_count == 20


def test_cifar_is_red_then_green_then_blue(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    folder.mkdir()
    record = bytes([1]) + bytes([10] * 1024) + bytes([20] * 1024) + bytes([30] * 1024)
    (folder / "data_batch_1.bin").write_bytes(record)
    (folder / "batches.meta.txt").write_text("plane\ncar\n\n")
    dataset = cifar_binary.read(folder, ReadOptions())
    assert images(dataset, "train")[0, 5, 7].tolist() == [10, 20, 30]
    assert dataset.tables["train"].column("label").to_pylist() == ["car"]


def test_cifar_100_takes_the_fine_label(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    folder.mkdir()
    (folder / "train.bin").write_bytes(bytes([3, 47]) + bytes(3072))
    dataset = cifar_binary.read(folder, ReadOptions())
    assert dataset.tables["train"].column("label").to_pylist() == ["47"]
    assert dataset.layout == "CIFAR-100 binary: 1 images, 100 classes"


def test_npz_shapes_and_kinds(tmp_path: Path) -> None:
    train = np.random.default_rng(0).random((20, 3, 12, 13))
    dataset = npz.read(arrays(tmp_path, x_train=train, y_train=np.array(["a", "b"] * 10)), ReadOptions())
    assert images(dataset, "train").shape == (20, 12, 13, 3)
    assert images(dataset, "train")[4, 2, 3, 1] == round(train[4, 1, 2, 3] * 255)
    assert dataset.tables["train"].column("label").to_pylist()[:2] == ["a", "b"]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"x_train": np.zeros((20, 5), np.uint8)}, r"has shape \(20, 5\)"),
        ({"x_train": np.full((20, 5, 5), 300)}, "values from 300 to 300"),
        ({"x_train": np.full((20, 5, 5), np.nan)}, "not finite"),
        ({"y_train": np.zeros(19, np.uint8)}, r"has shape \(19,\), but x_train holds 20 images"),
        ({"y_train": np.linspace(0, 1, 20)}, "float64, which are not class labels"),
        ({"x_train": np.zeros((20, 4, 5, 7), np.uint8)[:, :, :, :7].repeat(2, 1)}, "expected 1, 3 or 4 channels"),
    ],
)
def test_npz_refusals(other: dict[str, np.ndarray], words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        npz.read(arrays(tmp_path, **other), ReadOptions())


def test_npz_without_images(tmp_path: Path) -> None:
    np.savez(tmp_path / "made.npz", imagse=np.zeros(3))
    with pytest.raises(DataError, match="has no array of images; did you mean imagse"):
        npz.read(tmp_path / "made.npz", ReadOptions())


@pytest.mark.parametrize(("make", "reader"), [(digits, mnist_idx), (cifar, cifar_binary), (arrays, npz)])
@given(share=st.floats(0, 1), flip=st.integers(0, 255))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
def test_cut_or_damaged_anywhere_is_data_or_a_sentence(make, reader, share: float, flip: int, tmp_path_factory) -> None:
    """P17, and the same with one byte changed."""
    folder = tmp_path_factory.mktemp("cut")
    made = make(folder / "d") if make is not arrays else make(folder)
    for path in sorted(made.iterdir()) if made.is_dir() else [made]:
        whole = path.read_bytes()
        place = int(share * (len(whole) - 1))
        for content in (whole[:place], whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :]):
            path.write_bytes(content)
            if reader.recognizes(made):
                try:
                    reader.read(made, ReadOptions())
                except DataError as error:
                    assert "Error" not in str(error)
        path.write_bytes(whole)


def test_keys_of_60_000_images_are_of_their_content() -> None:
    batch = np.random.default_rng(0).integers(0, 256, (50, 4, 5, 3)).astype(np.uint8)
    batch[7] = batch[3]
    keys = pixel_keys(batch)
    assert keys[7] == keys[3]
    assert len(set(keys)) == 49
    assert pixel_keys(batch.reshape(50, 5, 4, 3))[0] != keys[0]  # the shape is part of the content
