"""Pictures that are nearly the same are found, and different ones are not."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from deepen.core.faults import Fault
from deepen.prepare.encoded import Encoded
from deepen.prepare.near_duplicates import warn_near_duplicates
from tests.faults.label_cases import scene


def encoded(pictures: list[np.ndarray], name: str, kind: pa.DataType | None = None) -> Encoded:
    rows = [f"{name} {row}" for row in range(len(pictures))]
    keys = [str(hash(picture.tobytes())) for picture in pictures]
    table = pa.table({"image": pa.array(rows).cast(kind or pa.string()), "source": rows, "key": keys})
    return Encoded({"pixels": torch.from_numpy(np.stack(pictures))}, table)


def found(train: list[np.ndarray], test: list[np.ndarray]) -> list[str]:
    faults: list[Fault] = []
    warn_near_duplicates({"train": encoded(train, "train"), "test": encoded(test, "test")}, faults)
    return [fault.sentence() for fault in faults]


def saved_again(picture: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=60)
    return np.asarray(Image.open(buffer))


def resized(picture: np.ndarray) -> np.ndarray:
    small = Image.fromarray(picture).resize((48, 48), Image.Resampling.BICUBIC)
    return np.asarray(small.resize((64, 64), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("change", [saved_again, resized])
def test_a_picture_that_was_changed_a_little_is_found(change) -> None:
    train = [scene(seed) for seed in range(40)]
    (said,) = found(train, [scene(90), change(scene(7)), scene(91), change(scene(30))])
    assert said.startswith("test 1: looks nearly the same as train 7 in train; 2 samples of test are like one of train")


def test_different_pictures_are_not() -> None:
    assert found([scene(seed) for seed in range(300)], [scene(seed) for seed in range(300, 400)]) == []


def test_the_same_picture_is_for_another_warning() -> None:
    assert found([scene(0), scene(1)], [scene(1)]) == []


def test_flat_and_tiny_pictures_are_passed_over() -> None:
    flat = [np.full((64, 64, 3), value, np.uint8) for value in (100, 101)]
    assert found(flat[:1], flat[1:]) == []
    assert found([scene(0, 31)], [saved_again(scene(0, 31))]) == []


def test_pixels_that_came_from_no_files_are_passed_over() -> None:
    faults: list[Fault] = []
    kind = pa.binary()
    for train_kind, count in ((kind, 1), (pa.large_binary(), 2)):
        tables = {"train": encoded([scene(0)], "a", train_kind), "test": encoded([saved_again(scene(0))], "b", kind)}
        warn_near_duplicates(tables, faults)
        assert len(faults) == count
    pixels = encoded([scene(0)], "a")
    number = Encoded(pixels.tensors, pixels.table.set_column(0, "image", pa.array([0])))
    warn_near_duplicates({"train": number, "test": encoded([saved_again(scene(0))], "b")}, faults)
    assert len(faults) == 2
