"""A gate for each token of a row, so that what a network makes of a token's vectors can be opened and shut.

    x[t] = g[t] e[t],    e[t] what an embedding layer gives for token t,  g[t] = 1 where nothing is changed

The slope of an output by g[t] at 1 is the inner product of e[t] with the slope by e[t], which is gradient times input;
the path of g from 0 to 1 is the straight path from zero vectors to the text, which integrated gradients follow.

Which of the vectors that embedding layers put out belong to which token is found by trial: the row is answered with
ids that spell each token's number in two digits, and the layers are watched. So a network may join texts, cut them, put
marks between them or look its tokens up in several tables. What it reads from a token in another way (an n-gram's own
vector, whether a word stands in both texts) has no gate and stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from deepen.prepare.encoded import Batch

_DIGITS = (1, 2)  # two ids that any vocabulary has and that are no padding


@dataclass(frozen=True)
class Side:
    """One text of a row, by the names of the batch's tensors.

    ids     [B, T] int64
    mask    [B, T] bool, or "" where every id counts
    column  of the table, with the text itself
    more    further tensors [B, T, ...] of ids that go with the tokens, such as their characters
    """

    ids: str
    mask: str
    column: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gates:
    """Which vectors of which embedding layer belong to which token.

    num_tokens  N, of all sides one behind the other
    places      of each embedding layer, for each time it is used: [...] int64, the shape of the ids it gets for one
                row, with the number of the token, N where it is none
    """

    num_tokens: int
    places: dict[nn.Embedding, list[Tensor]]

    @property
    def found(self) -> Tensor:
        """[N] bool: tokens with at least one vector."""
        seen = torch.zeros(self.num_tokens + 1, dtype=torch.bool)
        for calls in self.places.values():
            for places in calls:
                seen[places.flatten().cpu()] = True
        return seen[:-1]

    @contextmanager
    def set_to(self, values: Tensor) -> Iterator[None]:
        """Within it a network's embedding layers give each token's vectors times its gate.

        values  [B, N], for a batch of B rows like the one that the gates were found for
        """
        values = torch.cat([values, values.new_ones(len(values), 1)], 1)
        used = dict.fromkeys(self.places, 0)

        def gated(layer: nn.Module, _given: object, output: Tensor) -> Tensor:
            assert isinstance(layer, nn.Embedding)
            places = self.places[layer][used[layer]]
            used[layer] += 1
            gate = values.index_select(1, places.flatten())  # [B, ...]
            return output * gate.reshape(*output.shape[:-1], 1).to(output.dtype)

        handles = [layer.register_forward_hook(gated) for layer in self.places]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def find_gates(model: nn.Module, batch: Batch, sides: Sequence[Side], answer: Callable[[Batch], object]) -> Gates:
    """The gates of the one row in this batch.

    answer  runs the network over a batch
    """
    lengths = [length_of(batch, side) for side in sides]
    total = sum(lengths)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Embedding)]
    real = _arriving(layers, lambda: answer(batch))
    numbers = torch.arange(total)
    digits = [torch.zeros_like(numbers), torch.ones_like(numbers)]  # what does not follow these two is no token
    digits += [(numbers >> bit) & 1 for bit in range(max(1, (total - 1).bit_length()))]
    spelled = [
        _arriving(layers, lambda digit=digit: answer(_written(batch, sides, lengths, digit))) for digit in digits
    ]
    own = _own_ids(batch, sides, lengths)
    places: dict[nn.Embedding, list[Tensor]] = {}
    for layer, calls in real.items():
        read = [_read([each[layer][index] for each in spelled], total) for index in range(len(calls))]
        read = [_checked(tokens, ids, own) for tokens, ids in zip(read, calls, strict=True)]
        if any(bool((tokens < total).any()) for tokens in read):
            places[layer] = read
    return Gates(total, places)


def length_of(batch: Batch, side: Side) -> int:
    """How many tokens the one row has on a side."""
    return int(batch[side.mask].sum()) if side.mask else batch[side.ids].shape[1]


def repeated(batch: Batch, count: int) -> Batch:
    """The one row of a batch, `count` times."""
    tensors = {name: tensor.expand(count, *tensor.shape[1:]) for name, tensor in batch.tensors.items()}
    return Batch(tensors, count, np.repeat(batch.rows, count))


def _arriving(layers: list[nn.Embedding], call: Callable[[], object]) -> dict[nn.Embedding, list[Tensor]]:
    """The ids that each embedding layer gets, in the order of its calls."""
    found: dict[nn.Embedding, list[Tensor]] = {layer: [] for layer in layers}

    def look(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, nn.Embedding)
        found[layer].append(given[0].detach())

    handles = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        with torch.no_grad():
            call()
    finally:
        for handle in handles:
            handle.remove()
    return found


def _written(batch: Batch, sides: Sequence[Side], lengths: list[int], digit: Tensor) -> Batch:
    """The batch with each token's ids replaced by the one that stands for its digit [N]."""
    tensors, start = dict(batch.tensors), 0
    for side, length in zip(sides, lengths, strict=True):
        for name in (side.ids, *side.more):
            tensor = tensors[name].clone()
            values = torch.tensor(_DIGITS, dtype=tensor.dtype)[digit[start : start + length]].to(tensor.device)
            tensor[0, :length] = values.view(-1, *[1] * (tensor.dim() - 2))
            tensors[name] = tensor
        start += length
    return Batch(tensors, batch.count, batch.rows)


def _read(spelled: list[Tensor], total: int) -> Tensor:
    """The number that each place spells, `total` where it spells none."""
    low, high, *bits = spelled
    number = sum(((each == _DIGITS[1]).long() << bit for bit, each in enumerate(bits)), torch.zeros_like(low))
    is_digit = torch.stack([(each == _DIGITS[0]) | (each == _DIGITS[1]) for each in bits]).all(0)
    spells = (low == _DIGITS[0]) & (high == _DIGITS[1]) & is_digit & (number < total)
    return torch.where(spells, number, total)


def _own_ids(batch: Batch, sides: Sequence[Side], lengths: list[int]) -> list[set[int]]:
    """The ids that belong to each token."""
    own: list[set[int]] = []
    for side, length in zip(sides, lengths, strict=True):
        for t in range(length):
            own.append({int(each) for name in (side.ids, *side.more) for each in batch[name][0, t].flatten()})
    return own


def _checked(tokens: Tensor, ids: Tensor, own: list[set[int]]) -> Tensor:
    """The tokens of places that really get an id of that token; chance has made up the others."""
    pairs = zip(tokens.flatten().tolist(), ids.flatten().tolist(), strict=True)
    is_true = [token < len(own) and value in own[token] for token, value in pairs]
    kept = torch.tensor(is_true, dtype=torch.bool, device=tokens.device).view_as(tokens)
    return torch.where(kept, tokens, len(own))
