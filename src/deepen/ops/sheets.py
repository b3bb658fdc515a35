"""What layers hold and put out, as pictures to look at."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from deepen.core.units import plural
from deepen.ops.heat import scaled, signed, tiled, warm

MOST_MAPS = 16
MOST_FILTERS = 64
MOST_INPUTS = 16


def activation_sheet(values: Tensor) -> tuple[Tensor, str]:
    """A layer's output for one sample as a picture, and what it shows.

    values   [C, h, w] maps (the strongest of them), [T, D] vectors, or any other shape, in lines
    returns  [H, W, 3] uint8, and a few words
    """
    if values.dim() == 3:
        order = values.abs().mean((1, 2)).argsort(descending=True, stable=True)[:MOST_MAPS]
        tiles = torch.stack([_unit(values[k]) for k in order.sort().values])
        columns = max(1, round(len(tiles) ** 0.5))
        said = f"{len(tiles)} strongest of {len(values)} maps" if len(values) > len(tiles) else f"{len(values)} maps"
        return tiled(warm(tiles).round().to(torch.uint8), columns=columns), f"{said}, {_size(values)}"
    flat = values.reshape(values.shape[0], -1) if values.dim() == 2 else values.reshape(1, -1)
    if flat.shape[0] == 1:  # a vector, in lines of about equal length
        width = max(1, round(flat.shape[1] ** 0.5))
        flat = F.pad(flat[0], (0, -flat.shape[1] % width)).view(-1, width)
    return signed(scaled(flat, 1.0)).round().to(torch.uint8), f"{plural(values.numel(), 'value')}"


def _unit(values: Tensor) -> Tensor:
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else torch.zeros_like(values)


def _size(values: Tensor) -> str:
    return "x".join(map(str, values.shape[1:]))


def filter_sheet(filters: Tensor) -> Tensor:
    """Filters as a picture: in colour where they have three channels, else a line of channels per filter.

    filters  [O, I, h, w]
    returns  [H, W, 3] uint8
    """
    filters = filters[:MOST_FILTERS]
    if filters.shape[1] == 3:
        tiles = torch.stack([(scaled(each, 1.0) * 127.5 + 127.5).permute(1, 2, 0) for each in filters])
        return tiled(tiles.round().to(torch.uint8), columns=max(1, round(len(tiles) ** 0.5)))
    inputs = filters[:, :MOST_INPUTS]
    tiles = torch.cat([scaled(each, 1.0) for each in inputs])  # [O * I, h, w]
    columns = inputs.shape[1] if inputs.shape[1] > 1 else max(1, round(len(tiles) ** 0.5))
    return tiled(signed(tiles).round().to(torch.uint8), columns=columns)


def filter_note(filters: Tensor) -> str:
    """What the colours of their sheet mean."""
    if filters.shape[1] == 3:
        return "grey is zero, a colour what the filter looks for."
    lines = f", a line per filter with up to {MOST_INPUTS} of its channels" if filters.shape[1] > 1 else ""
    return f"orange is above zero, blue below{lines}."
