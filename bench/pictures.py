"""A folder of photographs that never were: smooth colours, some grain, as large in bytes as real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 500, 375
CLASSES = ("cat", "dog", "fish", "owl")
QUALITY = 90


def make(folder: Path, count: int, *, seed: int = 0) -> list[tuple[Path, int]]:
    """`count` JPEG files in one folder per class, the same for the same seed; their paths and classes."""
    generator = np.random.default_rng(seed)
    grain = generator.normal(0, 6, (HEIGHT, WIDTH, 3)).astype(np.float32)
    made = []
    for number in range(count):
        label = number % len(CLASSES)
        path = folder / CLASSES[label] / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        _picture(generator, np.roll(grain, number * 37, axis=1)).save(path, quality=QUALITY)
        made.append((path, label))
    return made


def _picture(generator: np.random.Generator, grain: np.ndarray) -> Image.Image:
    rough = Image.fromarray(generator.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    smooth = np.asarray(rough.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.float32)
    return Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))
