"""What every autoencoder answers, whatever its kind."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Coded(NamedTuple):
    """A batch after encoding and decoding.

    images  [B, C, H, W], what was decoded, in the units of the pixels (0 to 1)
    code    [B, D], the features of each image
    loss    [B], what training makes small, in units of its own model
    """

    images: Tensor
    code: Tensor
    loss: Tensor
