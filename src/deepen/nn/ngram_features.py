"""Indicators of n-grams whose weights are added to a network's scores: a maximum-entropy model trained along with it.

    s[w | text] = (W h + b)[w] + sum over m = 1 .. M of d[(hash(last m ids) + w) mod H]

The features are sparse: of each order one context is there at a place, and it has one weight for every word. The
weights of all contexts and words share a table of H numbers, in which each context has a stretch that begins at its
hash, so two may share some. They start at 0.
Source: Mikolov, Deoras, Povey, Burget and Cernocky 2011, Strategies for training large scale neural network language
models (hash-based maximum-entropy features).

How a task uses them: `FeaturedNetwork(network, order)` in the place of any language model gives hidden states
[B, T, D + M] with the last M ids behind the network's own numbers, and `FeaturedOutput(width, num_words, order, size,
tied)` is the output layer for those. Both keep the contracts of language models and output layers, so loss, scoring and
generating stay as they are.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepen.core.errors import OptionError
from deepen.nn.output_full import FullSoftmax, positions_at_once
from deepen.ops.losses import IGNORED, cross_entropy_sum

NOTHING = -1  # in the place of an id that is before the beginning
MOST_EXACT = 2**24  # whole numbers below it are exact in float32
MULTIPLIER = 0x2545F4914F6CDD1D
MASK = 0x7FFFFFFFF  # what a logical shift by 29 leaves of 64 bits
LOW_BITS = 0xFFFFFFFFFFFFFF


class NGramFeatures(nn.Module):
    """contexts [n, M] int64 -> scores of all words [n, V] float.

    num_words  V
    order      M: contexts of the last 1 .. M ids; those that reach before the beginning have no feature
    size       H: numbers in the table
    """

    def __init__(self, num_words: int, order: int, size: int) -> None:
        super().__init__()
        if order < 1 or size < num_words:
            raise OptionError(
                f"n-gram features: expected an order of at least 1 and a table of at least the vocabulary of "
                f"{num_words:,}, but they are {order} and {size:,}; make the table larger."
            )
        self.num_words, self.order = num_words, order
        self.weight = nn.Parameter(torch.zeros(size))

    def forward(self, contexts: Tensor) -> Tensor:
        """The summed weights of each place's features."""
        words = torch.arange(self.num_words, device=contexts.device)
        total = torch.zeros(contexts.shape[0], self.num_words, device=contexts.device, dtype=self.weight.dtype)
        for slots, is_there in self._contexts(contexts):
            places = (slots[:, None] + words) % len(self.weight)  # [n, V]
            found = self.weight.index_select(0, places.flatten()).view(places.shape)
            total = total + found * is_there[:, None]
        return total

    def slots(self, contexts: Tensor) -> Tensor:
        """[n, M] int64: where the stretch of each length of context begins; -1 where it has none."""
        found = [torch.where(is_there, slots, NOTHING) for slots, is_there in self._contexts(contexts)]
        return torch.stack(found, 1)

    def _contexts(self, contexts: Tensor) -> list[tuple[Tensor, Tensor]]:
        """For the lengths 1 .. M: the hash of the last ids in [0, H), and whether all of them are there; [n] each."""
        key = torch.ones_like(contexts[:, 0], dtype=torch.int64)  # len(contexts) would be a fixed number in a graph
        is_there = torch.ones_like(contexts[:, 0], dtype=torch.bool)
        found = []
        for length in range(1, self.order + 1):
            last = contexts[:, -length]
            is_there = is_there & (last >= 0)
            key = (key ^ (last + 2)) * MULTIPLIER
            key = key ^ ((key >> 29) & MASK)
            found.append(((((key + length) >> 8) & LOW_BITS) % len(self.weight), is_there))
        return found


class FeaturedNetwork(nn.Module):
    """A language model whose hidden states carry the last M ids: [B, T, D + M], behind the network's own D numbers.

    Its state is the network's and the last M ids [B, M], -1 before the beginning.
    """

    def __init__(self, network: nn.Module, num_words: int, order: int) -> None:
        super().__init__()
        assert num_words < MOST_EXACT, "ids travel as float32"
        self.network, self.order = network, order

    @property
    def embedding(self) -> Any:
        """The network's."""
        return self.network.embedding

    @property
    def window(self) -> int | None:
        """The network's."""
        return getattr(self.network, "window", None)

    def forward(self, ids: Tensor, state: tuple[Tensor, ...] | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """ids [B, T] int64 -> hidden [B, T, D + M], state"""
        *inner, before = state if state is not None else (None, self._nothing(ids.shape[0], ids.device))
        hidden, after = self.network(ids, tuple(inner) if state is not None else None)
        whole = torch.cat([before.to(ids.dtype), ids], 1)
        length = ids.shape[1]
        last = torch.stack([whole[:, m : m + length] for m in range(1, self.order + 1)], 2)  # [B, T, M]
        numbers = torch.cat([hidden.float(), last.float()], 2)  # in bfloat16 ids above 256 would be others
        return numbers, (*after, whole[:, -self.order :].to(before.dtype))

    def initial_state(self, batch_size: int, device: torch.device) -> tuple[Tensor, ...]:
        """The network's, and no ids."""
        inner: Any = self.network.initial_state
        return (*inner(batch_size, device), self._nothing(batch_size, device))

    def _nothing(self, batch_size: int, device: torch.device) -> Tensor:
        return torch.full((batch_size, self.order), float(NOTHING), device=device)


class FeaturedOutput(nn.Module):
    """The full softmax over the scores of network and features, hidden [n, D + M]; as in nn/output_layers.py."""

    def __init__(
        self,
        width: int,
        num_words: int,
        order: int,
        size: int,
        tied: nn.Parameter | None = None,
        *,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.full = FullSoftmax(width, num_words, tied, label_smoothing=label_smoothing)
        self.features = NGramFeatures(num_words, order, size)

    @property
    def num_words(self) -> int:
        return self.full.num_words

    def scores(self, hidden: Tensor) -> Tensor:
        """[n, V]"""
        width = self.full.linear.in_features
        return self.full.linear(hidden[:, :width]) + self.features(hidden[:, width:].round().long())

    def loss_sum(self, hidden: Tensor, targets: Tensor, rows_of: Tensor, num_rows: int | None = None) -> Tensor:
        """The summed cross-entropy in nats, with smoothed targets where that is asked for."""
        return cross_entropy_sum(self.scores(hidden), targets, label_smoothing=self.full.label_smoothing)

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """[n, V]"""
        return torch.log_softmax(self.scores(hidden), 1)

    def target_log_probabilities(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """[n], 0 where the target is IGNORED; as many positions at once as memory allows."""
        at_once = positions_at_once(self.num_words)
        parts = [
            -F.cross_entropy(self.scores(h), y, reduction="none", ignore_index=IGNORED)
            for h, y in zip(hidden.split(at_once), targets.split(at_once), strict=True)
        ]
        return torch.cat(parts)

    forward = log_probabilities
