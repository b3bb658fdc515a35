"""From a sequence to one vector: the mean, the largest, the last, or a weighted mean that is learned.

    x        [B, T, D]
    mask     [B, T] bool, True where a place counts
    returns  [B, D]; zeros for a row in which no place counts

What does not count reaches neither the answer nor a gradient.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from deepen.nn.attention_record import record
from deepen.ops.attend import masked_softmax


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """y = sum over t of m[t] x[t] / sum over t of m[t]"""
    shown = x.masked_fill(~mask[..., None], 0.0)
    return shown.sum(1) / mask.sum(1, keepdim=True).clamp_min(1).to(x.dtype)


def masked_max(x: Tensor, mask: Tensor) -> Tensor:
    """y[d] = max over the places that count of x[t, d]"""
    largest = x.masked_fill(~mask[..., None], -math.inf).amax(1)
    return largest.masked_fill(~mask.any(1, keepdim=True), 0.0)


def masked_last(x: Tensor, mask: Tensor) -> Tensor:
    """y = x[t] of the last place that counts"""
    places = torch.arange(1, x.shape[1] + 1, device=x.device)
    last = (mask * places).amax(1)  # [B], 0 where none counts
    picked = x[torch.arange(x.shape[0], device=x.device), (last - 1).clamp_min(0)]
    return picked.masked_fill((last == 0)[:, None], 0.0)


class AttentionPooling(nn.Module):
    """A mean of the places with weights that are learned.

        y[r] = sum over t of  softmax(s[r])[t] x[t],    s[r, t] = u[r] . tanh(W x[t] + b)

    hops     R, ways of looking at the places; their answers stand side by side
    returns  [B, R D]

    Source: Yang et al., Hierarchical Attention Networks for Document Classification, 2016, eq. 5-7; of several hops:
    Lin et al., A Structured Self-Attentive Sentence Embedding, 2017, eq. 6.
    """

    def __init__(self, width: int, hidden_size: int, hops: int = 1) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, hidden_size)
        self.score = nn.Linear(hidden_size, hops, bias=False)
        for layer in (self.hidden, self.score):
            nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(self.hidden.bias)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        scores = self.score(torch.tanh(self.hidden(x))).mT  # [B, R, T]
        weights = masked_softmax(scores, mask)
        record(self, weights)
        return (weights @ x.masked_fill(~mask[..., None], 0.0)).flatten(1)
