"""Gaussian noise: on inputs, each draw a function of (seed, epoch, row); on weights, of (seed, step, parameter)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from deepen.core import rng
from deepen.nn.dropout import row_uniform


def row_normal(num_rows: int, num_draws: int, device: torch.device) -> Tensor:
    """`[num_rows, num_draws]` float32 from Normal(0, 1): by row within `drawing_for`, as `row_uniform` draws.

        z = Phi^-1(u + 2^-25),    u a multiple of 2^-24 in [0, 1), Phi the normal's distribution function

    So no draw is further than 5.4 from 0.
    """
    return torch.special.ndtri(row_uniform(num_rows, num_draws, device).double() + 2.0**-25).float()


def noisy(x: Tensor, deviation: float, *, where: Tensor | None = None) -> Tensor:
    """x + deviation * e with e from Normal(0, 1), anew for every element and every epoch; x itself if deviation is 0.

    x      [B, ...] float, the rows of the batch first
    where  [...] bool, the elements of a row that get noise; None: all

    Source: Bishop 1995, Training with Noise is Equivalent to Tikhonov Regularization.
    """
    if deviation == 0 or x.numel() == 0:
        return x
    noise = row_normal(x.shape[0], x[0].numel(), x.device).view(x.shape).to(x.dtype)
    return x + deviation * (noise if where is None else noise * where)


@contextmanager
def noisy_weights(parameters: Mapping[str, Tensor], deviation: float, *, seed: int, step: int) -> Iterator[None]:
    """Within it, each parameter is w + deviation * e with e from Normal(0, 1); after it, w again, to the last bit.

    The draws depend on (seed, step, the parameter's name) alone: every micro-batch and rank of a step meets the same
    weights. Gradients taken within are those at the disturbed weights, to be applied to the undisturbed ones.

    Source: Graves 2011, Practical Variational Inference for Neural Networks, section 4.1 (a fixed deviation, "adaptive"
    in none of its weights); as a regularizer Jim, Giles and Horne 1996.
    """
    if deviation == 0 or not parameters:
        yield
        return
    kept = [parameter.detach().clone() for parameter in parameters.values()]
    try:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.add_(_normal(parameter, rng.key(seed, "weight noise", step, name)), alpha=deviation)
        yield
    finally:
        with torch.no_grad():
            for parameter, before in zip(parameters.values(), kept, strict=True):
                parameter.copy_(before)


def _normal(like: Tensor, key: int) -> Tensor:
    """Normal(0, 1) in the shape of `like`, a function of the key and the kind of device."""
    generator = torch.Generator(like.device).manual_seed(key % 2**63)
    return torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)
