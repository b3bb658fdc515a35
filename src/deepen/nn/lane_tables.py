"""Tables of a network as arrays for compiled loops: rows of whole vector registers, and back."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from deepen.ops.word2vec import LANES


def padded(tensor: Tensor, *, fill: float = 0.0) -> np.ndarray:
    """The numbers of a table [N, D] as [N, D'] float32, D' the next multiple of 16, `fill` behind each row.

    Where D is such a multiple already, and of a vector [N], the array is the tensor's own memory: what is done to it is
    done to the tensor.
    """
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dim() == 1 or tensor.shape[1] % LANES == 0:
        return tensor.numpy()
    height, width = tensor.shape
    found = np.full((height, -(-width // LANES) * LANES), fill, np.float32)
    found[:, :width] = tensor.numpy()
    return found


def put_back(array: np.ndarray, tensor: Tensor) -> None:
    """Copies the numbers of a padded table into the tensor that it was made of."""
    tensor = tensor.detach()
    own = torch.from_numpy(array if tensor.dim() == 1 else array[:, : tensor.shape[1]])
    if own.data_ptr() != tensor.data_ptr():
        tensor.copy_(own)
