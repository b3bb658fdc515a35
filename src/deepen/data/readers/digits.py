"""The built-in data set `digits`: 1,797 handwritten digits of 8 x 8 grey pixels, carried by scikit-learn.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI machine learning repository (the test
part of it). The pixels count ink in 4 x 4 blocks, 0 to 16; here they are brought to 0 to 255.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deepen.data.dataset import Dataset
from deepen.data.pixels import label_names, pixel_table
from deepen.data.read import ReadOptions

LOOKS_FOR = "the built-in data set 'digits'"
LARGEST_VALUE = 16


def recognizes(path: Path) -> bool:
    """Whether this is the name of the built-in data set."""
    return str(path) == "digits"


def read(path: Path, options: ReadOptions) -> Dataset:
    """All 1,797 images in one table; scikit-learn carries them, so nothing is fetched."""
    from sklearn.datasets import load_digits

    flat, codes = load_digits(return_X_y=True)
    images = np.rint(np.asarray(flat).reshape(-1, 8, 8) * (255 / LARGEST_VALUE)).astype(np.uint8)[
        ..., None
    ]  # [1797, 8, 8, 1]
    names = tuple(str(digit) for digit in range(10))
    table = pixel_table(images, label_names(np.asarray(codes), names), "digits")
    return Dataset(
        "digits", "the built-in digits: 1,797 images of 8 x 8 grey pixels, 10 classes", {"all": table}, names
    )
