"""Networks that are computed stage by stage, so that a row can be answered after any of them.

    state  = network.begin(inputs)            tensors, each [B, ...]
    state  = network.stage(i, state)          for i = 0 .. num_stages - 1
    logits = network.finish(state)            [B, K], the network's own answer

What a row's state becomes depends on that row alone, so rows can be left out of it between two stages.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch.nn.functional as F
from torch import Tensor

State = tuple[Tensor, ...]

GRID = 2  # places along each side of a map that are told apart in its summary


@runtime_checkable
class Staged(Protocol):
    """A network that says what its stages are. Whoever looks for such networks looks for `def finish(`."""

    @property
    def num_stages(self) -> int:
        """How many there are."""
        ...

    def begin(self, *inputs: Any, **named: Any) -> State:
        """What comes before the first stage. `inputs` as the network itself takes them."""
        ...

    def stage(self, number: int, *state: Any, **named: Any) -> State:
        """The stage of this number, from 0."""
        ...

    def summary(self, *state: Any, **named: Any) -> Tensor:
        """A vector for each row, [B, D], of what is known after a stage."""
        ...

    def finish(self, *state: Any, **named: Any) -> Tensor:
        """What comes after the last stage: the network's outputs."""
        ...


def through(network: Staged, *inputs: Tensor) -> Tensor:
    """The outputs of the whole network."""
    state = network.begin(*inputs)
    for number in range(network.num_stages):
        state = network.stage(number, *state)
    return network.finish(*state)


def grid_means(maps: Tensor) -> Tensor:
    """The means over a grid of at most 2x2 places of each map: [B, C, H, W] -> [B, C * places]

    >>> grid_means(torch.ones(2, 3, 9, 1)).shape
    torch.Size([2, 6])
    """
    sides = (min(GRID, maps.shape[2]), min(GRID, maps.shape[3]))
    return F.adaptive_avg_pool2d(maps, sides).flatten(1)
