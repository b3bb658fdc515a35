"""What crosses from preparing to the engine: the encoded table, and batches of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from deepen.prepare.ragged import Ragged

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Encoded:
    """The deterministic part of preparing, done once: one row per usable sample.

    tensors  each [N, ...], over memory that an Arrow table or a cache file may own; never written to
    table    the rows they came from (same order, bad ones left out): `source` names any sample, other columns serve
             the report and whatever is too large to be held as tensors
    device   where the tensors are; batches are made there
    is_whole whether the tensors hold all that a batch needs; if not, making one takes long enough for a thread
    ragged   what has another length in each row; batches pad it
    """

    tensors: Mapping[str, Tensor]
    table: pa.Table
    device: torch.device = CPU
    is_whole: bool = True
    ragged: Mapping[str, Ragged] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.table.num_rows

    def source(self, row: int) -> str:
        """Where the sample of this row came from, as the user knows it."""
        return self.table.column("source")[row].as_py()

    def take(self, rows: np.ndarray) -> dict[str, Tensor]:
        """Every tensor's entries for these rows, `[B, ...]`, on the tensors' own device."""
        index = torch.from_numpy(rows).to(self.device)
        return {name: tensor.index_select(0, index) for name, tensor in self.tensors.items()}

    def num_bytes(self) -> int:
        """What the tensors take."""
        whole = sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())
        return whole + sum(ragged.num_bytes() for ragged in self.ragged.values())

    def to(self, device: torch.device) -> Encoded:
        """The same with its tensors on a device."""
        if device == self.device:
            return self
        tensors = {name: tensor.to(device) for name, tensor in self.tensors.items()}
        ragged = {name: each.to(device) for name, each in self.ragged.items()}
        return replace(self, tensors=tensors, device=device, ragged=ragged)


@dataclass(frozen=True)
class Batch:
    """Named tensors for one step.

    tensors  each [B, ...]
    count    the number of targets in it (0 where there are none to learn from)
    rows     [B] int64 on the CPU: the samples' places in the encoded table
    """

    tensors: Mapping[str, Tensor]
    count: int
    rows: np.ndarray = field(repr=False)

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device, without waiting for the copy."""
        return replace(self, tensors={name: t.to(device, non_blocking=True) for name, t in self.tensors.items()})


@dataclass(frozen=True)
class Draws:
    """Where a batch stands in training, which is all that its random part may depend on."""

    seed: int
    epoch: int
