"""The rare words behind a shortlist by counts of pairs: what follows a word, if it is a rare one.

    p(w | tail, v) = max(c(v, w) - d, 0) / c(v) + d n(v) / c(v) q(w)      q(w) where c(v) = 0

    c(v, w) how often the rare word w follows v in training, c(v) their sum and n(v) their number over all rare w,
    q(w) the share of w among rare words, d = n1 / (n1 + 2 n2) with n1 and n2 the pairs that occur once and twice

The network learns how probable any rare word is, and this says which. So learning costs what the shortlist costs, and
the probabilities of all words add up to 1. Sources: Schwenk 2007, Continuous space language models, section 3.2 (rare
words by an n-gram model); Ney, Essen and Kneser 1994 (absolute discounting, interpolated).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from deepen.nn import onnx_operators
from deepen.nn.output_shortlist import ShortlistSoftmax
from deepen.ops.losses import IGNORED

NOTHING = -1.0  # in the place of an id that is before the beginning


def rare_pairs(ids: np.ndarray, counts: Sequence[int], shortlist: int) -> dict[str, list[int]]:
    """How often each rare word follows each word: {"before", "word", "count"}, JSON-able.

    ids        [n] the training text
    counts     [V] as the output layer gets them
    shortlist  words that are not rare, the most frequent ones
    """
    held = np.maximum(np.asarray(counts, dtype=np.int64), 1)
    is_rare = np.ones(len(held), bool)
    is_rare[np.argsort(-held, kind="stable")[:shortlist]] = False
    before, words = ids[:-1].astype(np.int64), ids[1:].astype(np.int64)
    keys, found = np.unique((before * len(held) + words)[is_rare[words]], return_counts=True)
    return {"before": (keys // len(held)).tolist(), "word": (keys % len(held)).tolist(), "count": found.tolist()}


class PairedShortlist(nn.Module):
    """A shortlist whose tail goes by the last word: hidden [n, D + 1] with that word's id behind the network's own D.

    As in nn/output_layers.py; `nn.ngram_features.FeaturedNetwork` of order 1 gives such hidden states.
    """

    def __init__(self, layer: ShortlistSoftmax, pairs: Mapping[str, Sequence[int]]) -> None:
        super().__init__()
        self.layer = layer
        count = np.asarray(pairs["count"], np.int64)
        before = np.asarray(pairs["before"], np.int64)
        keys = before * layer.num_words + np.asarray(pairs["word"], np.int64)
        once, twice = int((count == 1).sum()), int((count == 2).sum())
        d = once / (once + 2 * twice) if once else 0.5
        sums = np.bincount(before, count, layer.num_words)
        kept = np.where(sums > 0, d * np.bincount(before, minlength=layer.num_words) / np.maximum(sums, 1), 1.0)
        order = np.argsort(keys)
        self._buffer("keys", keys[order])
        self._buffer("seen", ((count - d) / sums[before])[order].astype(np.float32))
        self._buffer("kept", kept.astype(np.float32))  # [V] what is left for q
        self._buffer("first", np.searchsorted(keys[order], np.arange(layer.num_words + 1) * layer.num_words))
        self.keys: Tensor
        self.seen: Tensor
        self.kept: Tensor
        self.first: Tensor

    @property
    def num_words(self) -> int:
        """V"""
        return self.layer.num_words

    def loss_sum(self, hidden: Tensor, targets: Tensor, rows_of: Tensor, num_rows: int | None = None) -> Tensor:
        """The summed cross-entropy in nats."""
        return -self.target_log_probabilities(hidden, targets).sum()

    def target_log_probabilities(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """[n], 0 where the target is IGNORED."""
        inner, before = self.taken_apart(hidden)
        words = targets.masked_fill(targets == IGNORED, 0)
        return self.layer.target_log_probabilities(inner, targets, tail=self.tail_of(before, words))

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """[n, V]"""
        inner, before = self.taken_apart(hidden)
        share = self._shares()
        tail = torch.stack([self._all_of(int(v), share) for v in before]) if len(before) else None
        return self.layer.log_probabilities(inner, tail=tail)

    forward = log_probabilities

    def tail_of(self, before: Tensor, words: Tensor) -> Tensor:
        """[n] ln p(w | tail, v); for words of the shortlist a number that nobody reads.

        before  [n] int64: v, -1 for none
        words   [n] int64: w
        """
        place = self.layer.place_of[words] - len(self.layer.shortlist)
        share = self._shares()[place.clamp(min=0)] if len(self.layer.tail_logs) else torch.ones_like(words).float()
        known = before >= 0
        v = before.clamp(min=0)
        p = torch.where(known, self.kept[v], 1.0) * share
        if len(self.keys):
            key = v * self.num_words + words
            search = first_at_least if onnx_operators.are_wanted() else torch.searchsorted
            found = search(self.keys, key).clamp(max=len(self.keys) - 1)
            p = p + torch.where(known & (self.keys[found] == key), self.seen[found], 0.0)
        return p.log()

    def _all_of(self, v: int, share: Tensor) -> Tensor:
        """[V - S] ln p(w | tail, v), in the order of the layer's `tail_words`."""
        if v < 0:
            return share.log()
        p = self.kept[v] * share
        low, high = int(self.first[v]), int(self.first[v + 1])
        places = self.layer.place_of[self.keys[low:high] % self.num_words] - len(self.layer.shortlist)
        return p.index_add(0, places, self.seen[low:high]).log()

    def _shares(self) -> Tensor:
        return self.layer.tail_logs.exp()

    def taken_apart(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The network's own hidden states [n, D], and the last id at each place [n] int64."""
        return hidden[:, :-1], hidden[:, -1].detach().round().long()

    def _buffer(self, name: str, values: np.ndarray) -> None:
        self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(values)), persistent=False)


def first_at_least(ordered: Tensor, wanted: Tensor) -> Tensor:
    """How many of some rising numbers are below each wanted one: torch.searchsorted by operators that ONNX has.

    ordered  [m], m at least 1
    wanted   [n], of the same type
    returns  [n] int64

    >>> first_at_least(torch.tensor([2, 3, 3, 7]), torch.tensor([1, 3, 4, 9])).tolist()
    [0, 1, 3, 4]
    """
    found, m = torch.zeros_like(wanted, dtype=torch.int64), len(ordered)
    for power in reversed(range(m.bit_length())):
        further = found + (1 << power)
        is_below = (further <= m) & (ordered[(further - 1).clamp(max=m - 1)] < wanted)
        found = torch.where(is_below, further, found)
    return found
