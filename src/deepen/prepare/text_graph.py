"""A network on texts as an exported graph: ids and masks in, outputs in the task's own terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

LENGTH = 7  # of the examples


class TextGraph(nn.Module):
    """A network that takes ids [B, T] int64 and masks [B, T] bool, those of each text one after the other.

    finish  what is done with the network's own outputs
    """

    def __init__(self, network: nn.Module, finish: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.finish = network, finish

    def forward(
        self, first: Tensor, second: Tensor, third: Tensor | None = None, fourth: Tensor | None = None
    ) -> Tensor:
        """The outputs; a pair of texts has four inputs, others two or three."""
        more = [each for each in (third, fourth) if each is not None]
        return self.finish(self.network(first, second, *more))


def examples(sides: Sequence[tuple[str, str]], vocabulary: int, longest: int) -> dict[str, Tensor]:
    """Two texts for each side, a pair of names (ids, mask); the second text is shorter.

    longest  of the training texts: the examples are shorter, so that a network that reads no more is traced for those
             that it reads whole
    """
    base = max(2, min(LENGTH, longest - len(sides)))
    found: dict[str, Tensor] = {}
    for place, (ids, mask) in enumerate(sides):
        length = base + place
        found[ids] = torch.arange(2 * length).reshape(2, length) % vocabulary
        found[mask] = torch.arange(length) < torch.tensor([[length], [length - 1]])
    return found


def most(sides: Sequence[tuple[str, str]], network: nn.Module) -> dict[str, int]:
    """How long texts may be for a network that reads no more: its `longest`, where it has one."""
    longest = getattr(network, "longest", None)
    return {} if longest is None else {f"{ids}_length": int(longest) for ids, _ in sides}


def free(sides: Sequence[tuple[str, str]]) -> dict[str, dict[int, str]]:
    """Batch and length of each side."""
    return {name: {0: "batch", 1: f"{ids}_length"} for ids, mask in sides for name in (ids, mask)}
