"""Layers that drop at random, each draw a pure function of (seed, epoch, row, layer).

PyTorch's dropout draws from a stream, so what a sample suffers depends on the batch it stands in. Here it depends on
the sample: eight at once, two times four, or two ranks give the same masks, and a resumed run draws what it would have
drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepen.core import rng

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit number
_FIRST = -4658895280553007687  # 0xBF58476D1CE4E5B9, SplitMix64
_SECOND = -7723592293110705685  # 0x94D049BB133111EB, SplitMix64
_LAYER = 0x3C6EF372FE94F82A  # any odd-looking constant: it only has to keep layers apart


def dropped(what: str, more: str = "", *, search: str = "0..0.5") -> dict[str, Any]:
    """What an option says of itself that is a fraction of `what` to drop; `search` is where `tune` looks."""
    help = f"fraction of {what} that is dropped in training{more}"
    return {"help": help, "least": 0.0, "below": 1.0, "search": search}


def skipped() -> dict[str, Any]:
    """What `stochastic_depth` says of itself: the chance that `skip_chances` gives the last block."""
    help = "chance to skip the last residual block for a sample in training; earlier ones in proportion"
    return {"help": help, "least": 0.0, "below": 1.0, "search": "0..0.3"}


def skip_chances(last: float, number: int) -> list[float]:
    """The chance to skip each of a network's residual blocks: last * l / number for the l-th of them.

    Source: Huang et al., Deep Networks with Stochastic Depth, 2016, eq. 4 (there the chances to stay).

    >>> skip_chances(0.5, 4)
    [0.125, 0.25, 0.375, 0.5]
    """
    return [last * place / number for place in range(1, number + 1)]


class _Rows:
    """The rows of a batch; their keys are made when a layer first asks, since most networks never do."""

    def __init__(self, seed: int, epoch: int, rows: np.ndarray, device: torch.device) -> None:
        self._of = (seed, epoch, rows, device)
        self._keys: Tensor | None = None
        self.layer = 0

    @property
    def keys(self) -> Tensor:
        """[B] int64"""
        if self._keys is None:
            seed, epoch, rows, device = self._of
            keys = torch.from_numpy(rng.row_keys(seed, epoch, rows, "layers").view(np.int64))
            self._keys = keys.to(device, non_blocking=True)
        return self._keys


_rows: ContextVar[_Rows | None] = ContextVar("rows", default=None)


@contextmanager
def drawing_for(seed: int, epoch: int, rows: np.ndarray, device: torch.device) -> Iterator[None]:
    """Within it, layers draw for these rows.

    rows  [B] int64, the samples' places in the training table, in the order of the batch
    """
    token = _rows.set(_Rows(seed, epoch, rows, device))
    try:
        yield
    finally:
        _rows.reset(token)


def row_uniform(num_rows: int, num_draws: int, device: torch.device) -> Tensor:
    """`[num_rows, num_draws]` float32 in [0, 1): by row within `drawing_for`, else from torch's own generator."""
    current = _rows.get()
    if current is None:
        return torch.rand(num_rows, num_draws, device=device)
    assert current.keys.shape[0] == num_rows, "a layer that draws by row keeps the batch as its first dimension"
    current.layer += 1
    start = (current.layer * _LAYER + 2**63) % 2**64 - 2**63  # as a signed 64-bit number, which is where it wraps
    counters = torch.arange(1, num_draws + 1, dtype=torch.int64, device=device) * _GOLDEN + start
    bits = _mix(current.keys[:, None] + counters[None, :])
    return ((bits >> 40) & 0xFFFFFF).to(torch.float32) * 2.0**-24


class Dropout(nn.Module):
    """Zeroes each element with probability p and scales the rest by 1 / (1 - p); the identity in evaluation.

    Source: Srivastava et al., Dropout, 2014 (here "inverted", so that nothing is scaled when answering).
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        assert 0 <= p < 1
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if _rows.get() is None:
            return F.dropout(x, self.p)
        kept = row_uniform(x.shape[0], x[0].numel(), x.device) >= self.p
        return x * kept.view(x.shape) * (1 / (1 - self.p))

    def extra_repr(self) -> str:
        return f"p={self.p}"


class StochasticDepth(nn.Module):
    """Drops a whole residual branch for a sample with probability p, and scales the kept ones by 1 / (1 - p).

    A block of several branches drops all of them for a sample or none: it draws once by `drawn`. What is dropped is
    computed all the same, so no time is saved.

    Source: Huang et al., Deep Networks with Stochastic Depth, 2016 (scaled when training rather than when answering).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        assert 0 <= p < 1
        self.p = p

    def forward(self, branch: Tensor) -> Tensor:
        return self.drawn(branch)(branch)

    def drawn(self, like: Tensor) -> Callable[[Tensor], Tensor]:
        """What becomes of each branch of a block, all of them in the shape of `like` [B, ...]."""
        if not self.training or self.p == 0:
            return _unchanged
        kept = (row_uniform(like.shape[0], 1, like.device) >= self.p).to(like.dtype) / (1 - self.p)
        kept = kept.view(-1, *[1] * (like.dim() - 1))
        return lambda branch: branch * kept

    def extra_repr(self) -> str:
        return f"p={self.p}"


def _unchanged(branch: Tensor) -> Tensor:
    return branch


def _mix(x: Tensor) -> Tensor:
    """The finalizer of SplitMix64 on int64: multiplication wraps, and shifts are made logical by a mask."""
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * _FIRST
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * _SECOND
    return x ^ ((x >> 31) & 0x1FFFFFFFF)
