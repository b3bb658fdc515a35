"""Small clean data sets, beside which the broken ones are built."""

from __future__ import annotations

import gzip
import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 16
CLASSES = ("cat", "dog")


def pixels(seed: int, bright: int = 128, *, height: int = SIDE, width: int = SIDE) -> np.ndarray:
    """[height, width, 3] uint8 of noise around a brightness, different for every seed."""
    noise = np.random.default_rng(seed).normal(bright, 25, (height, width, 3))
    return noise.clip(0, 255).astype(np.uint8)


def encoded(array: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    """The bytes of an image file."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(seed: int, side: int = 64) -> bytes:
    """A JPEG of a busy picture."""
    return encoded(pixels(seed, height=side, width=side), "JPEG", quality=90)


def photos(folder: Path, count: int = 8, classes: tuple[str, ...] = CLASSES, seed: int = 0) -> Path:
    """`folder/photos/<class>/<n>.png`, darker and brighter ones."""
    root = folder / "photos"
    fill(root, count, classes, seed)
    return root


def fill(root: Path, count: int, classes: tuple[str, ...] = CLASSES, seed: int = 0) -> None:
    """Clean pictures of each class."""
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            bright = 60 + 130 * number // max(1, len(classes) - 1)
            (root / name / f"{index}.png").write_bytes(encoded(pixels(1000 * seed + 100 * number + index, bright)))


def with_file(name: str, content: bytes):
    """A builder: clean photos and one more file among the cats."""

    def build(folder: Path) -> Path:
        root = photos(folder)
        (root / "cat" / name).write_bytes(content)
        return root

    return build


def idx(array: np.ndarray) -> bytes:
    """The bytes of an idx file of uint8."""
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def digits(folder: Path, count: int = 20, side: int = 12) -> Path:
    """Four idx files of made-up grey pictures in two classes."""
    generator = np.random.default_rng(3)
    folder.mkdir(exist_ok=True)
    for split, number in (("train", count), ("t10k", count // 2)):
        labels = np.arange(number, dtype=np.uint8) % 2
        images = (generator.integers(0, 100, (number, side, side)) + 120 * labels[:, None, None]).astype(np.uint8)
        (folder / f"{split}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images), mtime=0))
        (folder / f"{split}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels), mtime=0))
    return folder


def cifar(folder: Path, count: int = 20) -> Path:
    """Two CIFAR-10 binary batches of made-up pictures in two classes."""
    generator = np.random.default_rng(4)
    folder.mkdir(exist_ok=True)
    for name, number in (("data_batch_1.bin", count), ("test_batch.bin", count // 2)):
        records = generator.integers(0, 256, (number, 3073)).astype(np.uint8)
        records[:, 0] = np.arange(number) % 2
        (folder / name).write_bytes(records.tobytes())
    return folder


def arrays(folder: Path, **other: np.ndarray) -> Path:
    """An .npz file with x_train, y_train, x_test, y_test; named arrays replace these."""
    generator = np.random.default_rng(5)
    held = {
        "x_train": generator.integers(0, 256, (20, 12, 12)).astype(np.uint8),
        "y_train": (np.arange(20) % 2).astype(np.uint8),
        "x_test": generator.integers(0, 256, (10, 12, 12)).astype(np.uint8),
        "y_test": (np.arange(10) % 2).astype(np.uint8),
    }
    path = folder / "made.npz"
    np.savez_compressed(path, **{**held, **other})
    return path
