"""Interpolation in whole numbers against PyTorch's own, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.prepare import image_resize
from deepen.prepare.image_interpolate import interpolated


def by_torch(batch: np.ndarray, height: int, width: int) -> np.ndarray:
    tensor = torch.from_numpy(batch).permute(0, 3, 1, 2)
    found = torch.nn.functional.interpolate(tensor, size=(height, width), mode="bilinear", antialias=True)
    return found.permute(0, 2, 3, 1).numpy()


def test_by_hand() -> None:
    row = np.array([10, 20, 40, 80], np.uint8).reshape(1, 1, 4, 1)
    # to half the width: the first is made of 10, 20, 40 with the weights 3/8 3/8 1/8, over their sum 7/8
    assert interpolated(row, 1, 2)[0, 0, :, 0].tolist() == [19, 54]
    assert interpolated(row, 1, 4) is row


def test_every_size_gives_pytorchs_bits() -> None:
    draw = np.random.default_rng(0)
    for _ in range(250):
        height, width = draw.integers(1, 130, 2)
        to_height, to_width = (int(size) for size in draw.integers(1, 90, 2))
        shape = (int(draw.integers(1, 3)), int(height), int(width), int(draw.choice([1, 3])))
        batch = draw.integers(0, 256, shape).astype(np.uint8)
        if draw.random() < 0.2:
            batch = np.where(batch > 127, 255, 0).astype(np.uint8)
        assert np.array_equal(interpolated(batch, to_height, to_width), by_torch(batch, to_height, to_width)), shape


@pytest.mark.parametrize("how", image_resize.RESIZES)
def test_resizing_without_torch_gives_the_same_bits(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(1)
    pictures = [draw.integers(0, 256, (*sizes, 3)).astype(np.uint8) for sizes in ((5, 900), (61, 37), (19, 19))]
    fast = [image_resize.resized(each, (23, 17), how, (1, 2, 3)) for each in pictures]
    monkeypatch.setitem(image_resize.sys.modules, "torch", None)
    slow = [image_resize.resized(each, (23, 17), how, (1, 2, 3)) for each in pictures]
    for a, b in zip(fast, slow, strict=True):
        assert np.array_equal(a, b)
