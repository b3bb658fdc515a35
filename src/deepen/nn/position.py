"""Where a token stands: attention alone does not see order, so positions are added to tokens or turn queries and keys.

B batch, T places, D width, d width of a head
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepen.core.errors import OptionError, ShapeError

_BASE = 10_000.0  # of the wavelengths, Vaswani et al. 2017, section 3.5


def within(x: Tensor, longest: int | None) -> Tensor:
    """The first `longest` places of [B, T, ...]; all of them where there is no limit.

    A network that is exported gets no more than that, and its graph cuts nothing.
    """
    return x if torch.compiler.is_exporting() else x[:, :longest]


class LearnedPositions(nn.Module):
    """Adds a learned vector for each place: y[t] = x[t] + table[offset + t].

    longest  the number of places it knows; more raise ShapeError

    Source: Gehring et al., Convolutional Sequence to Sequence Learning, 2017, section 3.1; Normal(0, 0.02) as in
    Devlin et al., BERT, 2019.
    """

    def __init__(self, longest: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(longest, width))
        nn.init.normal_(self.table, std=0.02)

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        end = offset + x.shape[1]
        if end > len(self.table):
            raise ShapeError(
                f"{end} places are asked for, but this network learned {len(self.table)} positions; cut the sequence."
            )
        return x + self.table[offset:end]

    def extra_repr(self) -> str:
        return f"longest={self.table.shape[0]}, width={self.table.shape[1]}"


class SinusoidalPositions(nn.Module):
    """Adds waves of geometrically growing length: y[t] = x[t] + sinusoids(offset + t). Any number of places."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        waves = sinusoids(offset + x.shape[1], self.width, x.device)[offset:]
        return x + waves.to(x.dtype)

    def extra_repr(self) -> str:
        return f"width={self.width}"


def sinusoids(num_places: int, width: int, device: torch.device | None = None) -> Tensor:
    """Sines and cosines of each place, side by side.

        p[t, 2 i] = sin(t / 10000^(2 i / D)),    p[t, 2 i + 1] = cos(t / 10000^(2 i / D))

    returns  [T, D] float32; of an odd width the last cosine is missing

    Source: Vaswani et al. 2017, section 3.5.

    >>> [[round(value, 4) for value in row] for row in sinusoids(2, 4).tolist()]
    [[0.0, 1.0, 0.0, 1.0], [0.8415, 0.5403, 0.01, 0.9999]]
    """
    angles = _angles(num_places, (width + 1) // 2, width, device)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :width].float()


class Rotary(nn.Module):
    """Turns pairs of numbers of a query or key by an angle that grows with its place, so that q . k depends on the
    distance of the two alone.

        (y[i], y[i + d / 2]) = (x[i] cos a - x[i + d / 2] sin a,  x[i] sin a + x[i + d / 2] cos a)
        a = (offset + t) / 10000^(2 i / d),   i < d / 2

    x        [B, h, T, d], d even
    returns  the same shape

    Raises OptionError for an odd d. Source: Su et al., RoFormer, 2021, section 3.2.2 (there neighbours are paired, here
    the halves as in most implementations: the same up to the order of the columns, which learning chooses).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        if width % 2:
            raise OptionError(f"width of a head must be even for rotary positions, but is {width}; change the heads.")
        self.width = width

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        half = self.width // 2
        angles = _angles(offset + x.shape[-2], half, self.width, x.device)[offset:]  # [T, d / 2]
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        first, second = x[..., :half], x[..., half:]
        return torch.cat([first * cos - second * sin, first * sin + second * cos], -1)

    def extra_repr(self) -> str:
        return f"width={self.width}"


def _angles(num_places: int, num_waves: int, width: int, device: torch.device | None) -> Tensor:
    """t / 10000^(2 i / width) as [num_places, num_waves] float64: a late place has no digits to lose in float32."""
    exponents = torch.arange(num_waves, dtype=torch.float64, device=device) * (2 / width)
    return torch.arange(num_places, dtype=torch.float64, device=device)[:, None] / _BASE**exponents
