"""A softmax over the most frequent words; all others are left to counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepen.nn.output_full import fitting_tie, positions_at_once
from deepen.ops.losses import IGNORED


class ShortlistSoftmax(nn.Module):
    """p(w | h) = p(w | h, shortlist) (1 - p(tail | h)) in the shortlist,  p(w | tail) p(tail | h) in the tail.

    The tail is one more class of the softmax, so the shortlist's part is that softmax itself. p(w | tail) is not
    learned: the words' shares of the training text, or what an n-gram model gives for the context, as `tail`.

    hidden [n, D], targets [n] int64 or IGNORED. Costs n (S + 1) D multiply-adds. With `tied` the shortlist's weights
    are rows of that embedding, and only the tail's vector and the biases are the layer's own.
    Source: Bengio et al. 2003, section 4 and Schwenk 2007, Continuous space language models, section 3.2; the learned
    p(tail | h) as in Goodfellow, Bengio and Courville 2016, eq. 12.12 (Schwenk takes it from the n-gram model).
    """

    def __init__(self, width: int, counts: Sequence[int], *, shortlist: int, tied: nn.Parameter | None = None) -> None:
        super().__init__()
        held = np.maximum(np.asarray(counts, dtype=np.int64), 1)
        words = np.argsort(-held, kind="stable")
        size = min(shortlist, len(held))
        self.tied = fitting_tie(tied, len(held), width) if tied is not None else None
        if self.tied is None:
            self.short = nn.Linear(width, size)
            nn.init.zeros_(self.short.bias)
        else:
            self.bias = nn.Parameter(torch.zeros(size))
        self.tail = nn.Linear(width, 1) if size < len(held) else None
        place_of = np.empty(len(held), dtype=np.int64)
        place_of[words] = np.arange(len(held))
        tail_share = held[words[size:]]
        tail_logs = np.log(tail_share / max(tail_share.sum(), 1)).astype(np.float32)
        self.register_buffer("shortlist", torch.from_numpy(words[:size].copy()), persistent=False)
        self.register_buffer("place_of", torch.from_numpy(place_of), persistent=False)
        self.register_buffer("tail_logs", torch.from_numpy(tail_logs), persistent=False)
        self.shortlist: Tensor
        self.place_of: Tensor
        self.tail_logs: Tensor

    @property
    def num_words(self) -> int:
        return len(self.place_of)

    @property
    def tail_words(self) -> Tensor:
        """[V - S] int64: the words of the tail by falling count, the order in which `tail` gives them."""
        return torch.argsort(self.place_of)[len(self.shortlist) :]

    def loss_sum(
        self,
        hidden: Tensor,
        targets: Tensor,
        rows_of: Tensor,
        num_rows: int | None = None,
        *,
        tail: Tensor | None = None,
    ) -> Tensor:
        """The summed cross-entropy in nats; `tail` as in `target_log_probabilities`."""
        return -self._target_logs(hidden, targets, tail).sum()

    def target_log_probabilities(self, hidden: Tensor, targets: Tensor, *, tail: Tensor | None = None) -> Tensor:
        """[n], 0 where the target is IGNORED.

        tail  [n] float: log p(target | tail, context) of a model of counts, read where the target is in the tail
        """
        at_once = positions_at_once(len(self.shortlist) + 1)
        tails = [None] * len(hidden.split(at_once)) if tail is None else tail.split(at_once)
        parts = zip(hidden.split(at_once), targets.split(at_once), tails, strict=True)
        return torch.cat([self._target_logs(*each) for each in parts])

    def log_probabilities(self, hidden: Tensor, *, tail: Tensor | None = None) -> Tensor:
        """[n, V]

        tail  [n, V - S] float: log p(w | tail, context) for `tail_words`, each row adding up to 1
        """
        logs = torch.log_softmax(self._scores(hidden), 1)
        if self.tail is None:
            return logs[:, self.place_of]
        given = self.tail_logs if tail is None else tail
        return torch.cat([logs[:, :-1], logs[:, -1:] + given], 1)[:, self.place_of]

    forward = log_probabilities

    def _scores(self, hidden: Tensor) -> Tensor:
        """[n, S + 1], the tail last; [n, S] where there is no tail."""
        if self.tied is None:
            short = self.short(hidden)
        else:
            short = F.linear(hidden, F.embedding(self.shortlist, self.tied), self.bias)
        return short if self.tail is None else torch.cat([short, self.tail(hidden)], 1)

    def _target_logs(self, hidden: Tensor, targets: Tensor, tail: Tensor | None) -> Tensor:
        size = len(self.shortlist)
        ignored = targets == IGNORED
        places = self.place_of[targets.clamp(min=0)]
        classes = places.clamp(max=size).masked_fill(ignored, IGNORED)
        found = -F.cross_entropy(self._scores(hidden), classes, reduction="none", ignore_index=IGNORED)
        if self.tail is None:
            return found
        in_tail = (places >= size) & ~ignored
        given = self.tail_logs[(places - size).clamp(min=0)] if tail is None else tail
        return found + given.masked_fill(~in_tail, 0)
