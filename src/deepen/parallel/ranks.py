"""One process and many behind one interface, so that no caller asks whether it is distributed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor


class Ranks(Protocol):
    """The processes that train one network together; `rank` is this one's number, `size` how many there are."""

    rank: int
    size: int

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each tensor by its sum over ranks, in place, in one exchange. All of one dtype."""
        ...

    def from_first(self, value: Any) -> Any:
        """Rank 0's value, on every rank. JSON-like values only."""
        ...

    def gather_tensors(self, tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """Every rank's tensors by name, on every rank, in the order of ranks; first dimensions may differ."""
        ...

    def wait(self) -> None:
        """Returns when every rank has come here."""
        ...

    def close(self) -> None:
        """Leaves the group."""
        ...


class Alone:
    """One process: everything is already everywhere."""

    rank = 0
    size = 1

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Nothing to add."""

    def from_first(self, value: Any) -> Any:
        """The value."""
        return value

    def gather_tensors(self, tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """The tensors, as the only rank's."""
        return [dict(tensors)]

    def wait(self) -> None:
        """Nobody to wait for."""

    def close(self) -> None:
        """Nothing to leave."""


class Group:
    """The ranks of a torch.distributed process group that has been initialized."""

    def __init__(self, device: torch.device) -> None:
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()
        self.device = device

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each tensor by its sum over ranks: flattened into one buffer, so that there is one exchange."""
        if not tensors:
            return
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        start = 0
        for tensor in tensors:
            end = start + tensor.numel()
            tensor.detach().copy_(flat[start:end].view(tensor.shape))
            start = end

    def from_first(self, value: Any) -> Any:
        """Rank 0's value. Sent as text, so that nothing is unpickled."""
        import json

        text = json.dumps(value).encode() if self.rank == 0 else b""
        length = torch.tensor([len(text)], device=self.device)
        dist.broadcast(length, 0)
        data = torch.zeros(int(length), dtype=torch.uint8, device=self.device)
        if self.rank == 0:
            data.copy_(torch.frombuffer(bytearray(text), dtype=torch.uint8))
        dist.broadcast(data, 0)
        return json.loads(bytes(data.cpu().tolist()))

    def gather_tensors(self, tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """Every rank's tensors: lengths first, then each padded to the longest, so that shapes may differ."""
        gathered: list[dict[str, Tensor]] = [{} for _ in range(self.size)]
        for name in sorted(tensors):
            own = tensors[name].to(self.device)
            scalar = own.dim() == 0
            own = own.reshape(1) if scalar else own
            lengths = [torch.zeros(1, dtype=torch.int64, device=self.device) for _ in range(self.size)]
            dist.all_gather(lengths, torch.tensor([own.shape[0]], device=self.device))
            longest = max(int(length) for length in lengths)
            padded = torch.zeros((longest, *own.shape[1:]), dtype=own.dtype, device=self.device)
            padded[: own.shape[0]] = own
            parts = [torch.zeros_like(padded) for _ in range(self.size)]
            dist.all_gather(parts, padded)
            for rank, part in enumerate(parts):
                value = part[: int(lengths[rank])].cpu()
                gathered[rank][name] = value[0] if scalar else value
        return gathered

    def wait(self) -> None:
        """Returns when every rank has come here."""
        dist.barrier()

    def close(self) -> None:
        """Leaves the group."""
        dist.destroy_process_group()
