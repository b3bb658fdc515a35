"""Attention layers: additive, and scaled dot-product of one or many heads, with a cache for decoding step by step.

    B batch, T places (Tq of queries, Tk of keys), D width, h heads, d = D / h

Masks are bool, True where a key may be seen: [B, Tk], or [B, Tq, Tk]. A query that sees nothing gets 0. Dropout on the
weights draws by row, and by place rather than by size, so that padding a batch further changes no draw.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepen.core.errors import OptionError
from deepen.nn.attention_record import is_recording, record
from deepen.nn.dropout import row_uniform
from deepen.nn.position import Rotary
from deepen.ops.attend import (
    additive_scores,
    dot_product_scores,
    masked_softmax,
    scaled_dot_product,
    square_places,
    visible,
)

Cache = tuple[Tensor, Tensor]  # keys and values so far, each [B, h, T, d]


class WeightDropout(nn.Module):
    """Zeroes each attention weight with probability p and scales the rest by 1 / (1 - p) in training.

    weights  [B, Tq, Tk] or [B, h, Tq, Tk]

    Where draws are made by row, those of the weight (head, q, k) depend on (head, q, k) and the number of heads alone.
    """

    def __init__(self, p: float = 0.0) -> None:
        super().__init__()
        assert 0 <= p < 1
        self.p = p

    @property
    def drops(self) -> bool:
        """Whether it does anything now."""
        return self.training and self.p > 0

    def forward(self, weights: Tensor) -> Tensor:
        if not self.drops:
            return weights
        heads = weights.shape[1] if weights.dim() == 4 else 1
        num_queries, num_keys = weights.shape[-2:]
        side = max(num_queries, num_keys)
        draws = row_uniform(weights.shape[0], side * side * heads, weights.device).view(-1, side * side, heads)
        places = square_places(num_queries, num_keys, weights.device).flatten()
        kept = (draws.index_select(1, places) >= self.p).mT.reshape(weights.shape)  # [B, (h,) Tq, Tk]
        return weights * kept * (1 / (1 - self.p))

    def extra_repr(self) -> str:
        return f"p={self.p}"


class AdditiveAttention(nn.Module):
    """Attention whose score is a hidden layer over query and key.

        s[q, k] = v . tanh(W queries[q] + U keys[k]),    answer[q] = sum over k of  softmax(s[q])[k] values[k]

    queries  [B, Tq, query_size]
    keys     [B, Tk, key_size]
    values   [B, Tk, V]
    mask     [B, Tk] or [B, Tq, Tk] bool
    returns  [B, Tq, V]

    Queries and keys need not be of the same width. Source: Bahdanau, Cho and Bengio 2015, appendix A.1.2 (there with
    no bias, as here).
    """

    def __init__(self, query_size: int, key_size: int, hidden_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.query = nn.Linear(query_size, hidden_size, bias=False)
        self.key = nn.Linear(key_size, hidden_size, bias=False)
        self.vector = nn.Parameter(torch.empty(hidden_size))
        self.dropout = WeightDropout(dropout)
        nn.init.xavier_uniform_(self.query.weight)
        nn.init.xavier_uniform_(self.key.weight)
        nn.init.uniform_(self.vector, -(hidden_size**-0.5), hidden_size**-0.5)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
        shown = visible(mask, queries, keys, is_causal=False)
        weights = masked_softmax(additive_scores(self.query(queries), self.key(keys), self.vector), shown)
        record(self, weights)
        return self.dropout(weights) @ values


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention in several heads side by side, each over its own projections.

        head[i] = softmax(q[i] k[i]^T / sqrt(d)) v[i],    answer = concatenated heads @ W_out + b_out

    q[i], k[i], v[i] are the i-th d columns of queries W_q + b_q, keys W_k + b_k, values W_v + b_v.

    width      D, divisible by the heads
    is_causal  a query sees no key behind its own place
    positions  rotary positions for queries and keys, if any
    bias       whether the four projections have one

    queries  [B, Tq, D];  keys, values  [B, Tk, D];  mask  [B, Tk] or [B, Tq, Tk] bool;  returns  [B, Tq, D]

    PyTorch's fused kernel is used unless weights are recorded or dropped. Raises OptionError for heads that do not
    divide the width. Source: Vaswani et al. 2017, section 3.2.2.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        dropout: float = 0.0,
        is_causal: bool = False,
        *,
        positions: Rotary | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise OptionError(f"heads must divide the width {width}, but is {heads}; choose a divisor of {width}.")
        self.heads, self.is_causal = heads, is_causal
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=bias) for _ in range(4))
        self.positions = positions
        self.dropout = WeightDropout(dropout)
        for layer in (self.query, self.key, self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        if bias and positions is None:  # softmax does not see it: what rounding leaves of its gradient, Adam blows up
            self.key.bias.register_hook(torch.zeros_like)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = self._parted(self.query(queries)), self._parted(self.key(keys)), self._parted(self.value(values))
        return self._answered(q, k, v, mask)

    def extend(self, x: Tensor, cache: Cache | None = None, mask: Tensor | None = None) -> tuple[Tensor, Cache]:
        """Self-attention of further places, which also see what the cache holds, and the cache with them added.

        x      [B, T, D], the places after the cache's
        cache  keys and values so far, None at the beginning; cutting old places off its front is allowed
        mask   over all keys, those of the cache first
        """
        q, k, v = self._parted(self.query(x)), self._parted(self.key(x)), self._parted(self.value(x))
        if cache is not None:
            k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
        return self._answered(q, k, v, mask), (k, v)

    def remember(self, memory: Tensor) -> Cache:
        """Keys and values of a memory [B, Tk, D] that `look_up` asks again and again."""
        return self._parted(self.key(memory)), self._parted(self.value(memory))

    def look_up(self, queries: Tensor, memory: Cache, mask: Tensor | None = None) -> Tensor:
        """What queries [B, Tq, D] take from a memory that `remember` made."""
        return self._answered(self._parted(self.query(queries)), *memory, mask)

    def _parted(self, x: Tensor) -> Tensor:
        """[B, T, D] -> [B, h, T, d]"""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _answered(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        if self.positions is not None:  # keys are kept as they were, so that a cache may be cut at its front
            q, k = self.positions(q, k.shape[2] - q.shape[2]), self.positions(k)
        if is_recording() or self.dropout.drops:
            weights = masked_softmax(dot_product_scores(q, k), visible(mask, q, k, is_causal=self.is_causal))
            record(self, weights)
            answer = self.dropout(weights) @ v
        else:
            answer = scaled_dot_product(q, k, v, mask, is_causal=self.is_causal)
        return self.out(answer.transpose(1, 2).flatten(2))  # [B, Tq, D]
