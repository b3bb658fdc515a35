"""Noise on the inputs of a denoising autoencoder: what it is fed; what it must give back stays clean.

Source: Vincent, Larochelle, Lajoie, Bengio and Manzagol, Stacked Denoising Autoencoders, 2010, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deepen.ops.variational import normal_from_uniform

NOISES = ("none", "gaussian", "masking", "salt-and-pepper")


def corrupted(values: Tensor, noise: str, level: float, uniform: Tensor) -> Tensor:
    """The values with noise, each row by its own draws.

        gaussian         x + level * n,  n ~ Normal(0, 1); not clipped
        masking          0 with probability `level`, else x
        salt-and-pepper  0 with probability `level` / 2, 1 with probability `level` / 2, else x

    values   [B, ...] float in 0 to 1
    uniform  [B, n] in [0, 1), n the number of values of a row
    returns  the shape of `values`
    """
    assert noise in NOISES, noise
    draws = uniform.view(values.shape)
    if noise == "gaussian":
        return values + level * normal_from_uniform(draws)
    if noise == "masking":
        return torch.where(draws < level, 0.0, values)
    if noise == "salt-and-pepper":
        return torch.where(draws < level / 2, 0.0, torch.where(draws < level, 1.0, values))
    return values
