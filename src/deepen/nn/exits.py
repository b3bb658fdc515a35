"""Early exits: heads between the stages of a network, each of which answers the rows that it is sure of.

    after stage i, where it has an exit:  p = softmax(head_i(summary));  a row with max p > threshold_i is answered by p

Such a row is not computed any further. The last stage answers whatever is left.

Sources: Teerapittayanon, McDanel and Kung 2016, BranchyNet; Huang et al. 2018, Multi-Scale Dense Networks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn.staged import Staged, State, through

HIDDEN = 64


class Exit(nn.Module):
    """A head of one hidden layer: summary [B, D] -> logits [B, K]"""

    def __init__(self, width: int, outputs: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, hidden)
        self.linear = nn.Linear(hidden, outputs)

    def forward(self, summary: Tensor) -> Tensor:
        return self.linear(F.gelu(self.hidden(self.norm(summary))))


class WithExits(nn.Module):
    """A staged network with exits, called as the network itself: inputs -> logits [B, K]

    places      the stages after which an exit stands, rising, from 0
    widths      of the summaries there
    thresholds  of probabilities, one for each exit: 0 answers everything that comes, 1 nothing

    In training it is the network alone; `every` gives what the exits learn from.
    """

    def __init__(
        self,
        network: nn.Module,
        outputs: int,
        places: Sequence[int],
        widths: Sequence[int],
        thresholds: Sequence[float] = (),
    ) -> None:
        if not isinstance(network, Staged):
            raise TypeError(f"{type(network).__name__} has no stages")
        if list(places) != sorted(set(places)) or not all(0 <= place < network.num_stages for place in places):
            raise ValueError(f"{list(places)} are no rising numbers of {network.num_stages} stages")
        super().__init__()
        self.network = network
        self.outputs = outputs
        self.places, self.thresholds = tuple(places), tuple(thresholds) or (1.0,) * len(places)
        self.is_whole = False  # `whole`
        self.exits = nn.ModuleList(Exit(width, outputs) for width in widths)
        if not len(self.places) == len(self.exits) == len(self.thresholds):
            raise ValueError("as many widths and thresholds as exits are needed")

    def forward(self, *inputs: Tensor) -> Tensor:
        if self.training:
            return through(self._staged, *inputs)
        return torch.stack(self.every(*inputs)).sum(0) if self.is_whole else self.answered(*inputs)[0]

    def every(self, *inputs: Tensor) -> list[Tensor]:
        """The logits [B, K] of each exit, and of the whole network last."""
        found, state = [], self._staged.begin(*inputs)
        for number in range(self._staged.num_stages):
            state = self._staged.stage(number, *state)
            found += self._exit(number, state)
        return [*found, self._staged.finish(*state)]

    def only(self, which: int, *inputs: Tensor) -> Tensor:
        """The logits of one of those alone, with no more computed than they need."""
        state = self._staged.begin(*inputs)
        for number in range(self._staged.num_stages):
            state = self._staged.stage(number, *state)
            if which < len(self.places) and number == self.places[which]:
                return self._exit(number, state)[0]
        return self._staged.finish(*state)

    def answered(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The logits [B, K], and [B] int64 which exit gave them; len(exits) stands for the whole network."""
        staged, state = self._staged, self._staged.begin(*inputs)
        left = torch.arange(len(inputs[0]), device=inputs[0].device)
        by = torch.full_like(left, len(self.places))
        found: Tensor | None = None
        for number in range(staged.num_stages):
            state = staged.stage(number, *state)
            for logits in self._exit(number, state):
                which = self.places.index(number)
                is_sure = confidence(logits) > self.thresholds[which]  # what is not a number is not sure
                kept = (~is_sure).nonzero().squeeze(1)
                if len(kept) == len(left):
                    continue
                by[left[is_sure]] = which
                found = logits if found is None else found.index_copy(0, left, logits)
                if len(kept) == 0:
                    return found, by
                left, state = left[kept], tuple(_rows(each, kept) for each in state)
        last = staged.finish(*state)
        return (last if found is None else found.index_copy(0, left, last.to(found.dtype))), by

    @property
    def _staged(self) -> Staged:
        return cast(Staged, self.network)

    def _exit(self, number: int, state: State) -> list[Tensor]:
        """The logits of the exit after this stage, none where it has no exit."""
        if number not in self.places:
            return []
        return [self.exits[self.places.index(number)](self._staged.summary(*state))]

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("network"), name)


@contextmanager
def whole(network: nn.Module) -> Iterator[None]:
    """Within it a network with exits computes all of itself and gives the sum, so that every layer can be watched."""
    if not isinstance(network, WithExits):
        yield
        return
    network.is_whole = True
    try:
        yield
    finally:
        network.is_whole = False


def confidence(logits: Tensor) -> Tensor:
    """[B] the probability of the most probable class, by logits [B, K]."""
    return logits.double().softmax(1).amax(1).clamp(max=1)


def _rows(x: Tensor, kept: Tensor) -> Tensor:
    """The rows of these numbers [R] int64, in the layout that the tensor has."""
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return x.permute(0, 2, 3, 1).index_select(0, kept).permute(0, 3, 1, 2)
    return x.index_select(0, kept)
