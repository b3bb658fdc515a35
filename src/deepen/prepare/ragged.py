"""Rows of unequal length as one tensor, such as the ids of many texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Ragged:
    """Row i is values[starts[i] : starts[i + 1]].

    values  [total, ...]
    starts  [N + 1] int64, from 0 to total, never falling
    """

    values: Tensor
    starts: Tensor

    @staticmethod
    def of(rows: Sequence[Sequence[int] | np.ndarray], dtype: torch.dtype = torch.int32) -> Ragged:
        """The rows one behind the other.

        >>> Ragged.of([[3, 5], [], [7]]).starts.tolist()
        [0, 2, 2, 3]
        """
        lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
        parts = [np.asarray(row) for row in rows if len(row)]
        values = torch.from_numpy(np.concatenate(parts)) if parts else torch.zeros(0)
        return Ragged(values.to(dtype), torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)])))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Tensor:
        """[N] int64"""
        return self.starts[1:] - self.starts[:-1]

    def row(self, index: int) -> Tensor:
        """[length, ...], a view"""
        return self.values[int(self.starts[index]) : int(self.starts[index + 1])]

    def padded(self, rows: np.ndarray, value: int = 0) -> tuple[Tensor, Tensor]:
        """These rows side by side, with `value` behind their ends, and how long each is.

        rows     [B] int64
        returns  [B, T, ...] int64 where the values are whole numbers, else as they are; T is the length of the longest
                 of these rows, at least 1. And lengths [B] int64.
        """
        index = torch.from_numpy(rows).to(self.starts.device)
        starts = self.starts[index]
        lengths = self.starts[index + 1] - starts
        longest = max(1, int(lengths.max()) if len(rows) else 1)
        steps = torch.arange(longest, device=starts.device)
        inside = steps < lengths[:, None]  # [B, T]
        kind = self.values.dtype if self.values.is_floating_point() else torch.int64
        found = torch.full((len(rows), longest, *self.values.shape[1:]), value, dtype=kind, device=starts.device)
        found[inside] = self.values[(starts[:, None] + steps)[inside]].to(kind)
        return found, lengths

    def take(self, rows: np.ndarray) -> Ragged:
        """The same of these rows alone, in their order."""
        index = torch.from_numpy(rows).to(self.starts.device)
        lengths = self.lengths[index]
        starts = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        places = torch.arange(int(starts[-1]), device=starts.device)
        shift = torch.repeat_interleave(self.starts[index] - starts[:-1], lengths)
        return Ragged(self.values[places + shift], starts)

    def num_bytes(self) -> int:
        """What it takes."""
        return sum(tensor.numel() * tensor.element_size() for tensor in (self.values, self.starts))

    def to(self, device: torch.device) -> Ragged:
        """The same on a device."""
        return Ragged(self.values.to(device), self.starts.to(device))
