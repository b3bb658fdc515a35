"""Blocks of the Transformer: attention, then a feed-forward network at each place, each with a residual around it.

    post-norm   x = norm(x + f(x))      Vaswani et al., Attention Is All You Need, 2017
    pre-norm    x = x + f(norm(x))      Xiong et al., On Layer Normalization in the Transformer Architecture, 2020

Post-norm needs a warm-up of the learning rate. A stack of pre-norm blocks needs one more norm behind its last block,
which `norm_after` gives.

    B batch, T places, D width, h heads, F width of the feed-forward network

Dropout falls on the attention weights, inside the feed-forward network and on each branch before it is added, as in
torch.nn.TransformerEncoderLayer; it draws by row.

With `skip` a row passes a block by with that chance, by one draw for all its branches: they are 0 then, and else
1 / (1 - skip) times as large (nn/dropout.StochasticDepth). A row that passes a pre-norm block by keeps its x to the
last bit; of a post-norm block it meets the norms alone.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from deepen.nn.attention import Cache, MultiHeadAttention
from deepen.nn.dropout import Dropout, StochasticDepth
from deepen.nn.experts import Experts
from deepen.nn.position import Rotary

Norm = Literal["post", "pre"]
Activation = Literal["relu", "gelu"]


class FeedForward(nn.Module):
    """y = W2 dropout(f(W1 x + b1)) + b2 at each place: [B, T, D] -> [B, T, D]. Source: Vaswani et al. 2017, eq. 2."""

    def __init__(self, width: int, hidden_size: int, dropout: float = 0.0, activation: Activation = "relu") -> None:
        super().__init__()
        self.hidden = nn.Linear(width, hidden_size)
        self.activation = nn.GELU() if activation == "gelu" else nn.ReLU()
        self.dropout = Dropout(dropout)
        self.out = nn.Linear(hidden_size, width)
        for layer in (self.hidden, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.dropout(self.activation(self.hidden(x))))


class EncoderBlock(nn.Module):
    """Self-attention and a feed-forward network; with `is_causal` the block of a language model.

        a = attention(x, x, x),   y = feed-forward(a + x),   with norms before or after, as `norm` says

    x        [B, T, D]
    mask     [B, T] or [B, T, T] bool, True where a place may be seen; what stands at hidden places is not to be used
    returns  [B, T, D]

    feed_forward  stands in for the feed-forward network: a mixture, which leaves out places that a mask [B, T] hides

    Source: Vaswani et al. 2017, section 3.1; Fedus et al. 2021, Switch Transformers, for mixtures in its place.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden_size: int,
        dropout: float = 0.0,
        *,
        activation: Activation = "relu",
        norm: Norm = "post",
        is_causal: bool = False,
        positions: Rotary | None = None,
        feed_forward: Experts | None = None,
        skip: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads, dropout, is_causal, positions=positions)
        self.feed_forward = feed_forward or FeedForward(width, hidden_size, dropout, activation)
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = Dropout(dropout)
        self.skip = StochasticDepth(skip)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        seen = self.attention_norm(x) if self.norm == "pre" else x
        return self._rest(x, self.attention(seen, seen, seen, mask), mask)

    def extend(self, x: Tensor, cache: Cache | None = None, mask: Tensor | None = None) -> tuple[Tensor, Cache]:
        """Further places [B, T, D] of a causal block, which see what the cache holds; the cache grows by them."""
        answer, cache = self.attention.extend(self.attention_norm(x) if self.norm == "pre" else x, cache, mask)
        return self._rest(x, answer), cache

    def _rest(self, x: Tensor, answer: Tensor, mask: Tensor | None = None) -> Tensor:
        kept = self.skip.drawn(x)
        if self.norm == "pre":
            x = x + kept(self.dropout(answer))
            return x + kept(self.dropout(self._fed(self.feed_forward_norm(x), mask)))
        x = self.attention_norm(x + kept(self.dropout(answer)))
        return self.feed_forward_norm(x + kept(self.dropout(self._fed(x, mask))))

    def _fed(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if isinstance(self.feed_forward, Experts):
            return self.feed_forward(x, mask if mask is None or mask.dim() == 2 else None)
        return self.feed_forward(x)


class DecoderBlock(nn.Module):
    """Causal self-attention, attention to a memory, and a feed-forward network: the block of an encoder-decoder.

    x            [B, T, D]
    memory       [B, S, D], what an encoder put out
    mask         [B, T] bool or None: of x
    memory_mask  [B, S] bool or None: of the memory
    returns      [B, T, D]

    Source: Vaswani et al. 2017, section 3.1.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden_size: int,
        dropout: float = 0.0,
        *,
        activation: Activation = "relu",
        norm: Norm = "post",
        positions: Rotary | None = None,
        skip: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads, dropout, is_causal=True, positions=positions)
        self.memory_attention = MultiHeadAttention(width, heads, dropout)
        self.feed_forward = FeedForward(width, hidden_size, dropout, activation)
        self.attention_norm, self.memory_norm, self.feed_forward_norm = (nn.LayerNorm(width) for _ in range(3))
        self.dropout = Dropout(dropout)
        self.skip = StochasticDepth(skip)

    def forward(
        self, x: Tensor, memory: Tensor, mask: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> Tensor:
        seen = self.attention_norm(x) if self.norm == "pre" else x
        return self._rest(
            x, self.attention(seen, seen, seen, mask), self.memory_attention.remember(memory), memory_mask
        )

    def remember(self, memory: Tensor) -> Cache:
        """The memory's keys and values, for `extend`."""
        return self.memory_attention.remember(memory)

    def extend(
        self, x: Tensor, memory: Cache, cache: Cache | None = None, memory_mask: Tensor | None = None
    ) -> tuple[Tensor, Cache]:
        """Further places [B, T, D], which see what the cache holds and the memory; the cache grows by them."""
        answer, cache = self.attention.extend(self.attention_norm(x) if self.norm == "pre" else x, cache)
        return self._rest(x, answer, memory, memory_mask), cache

    def _rest(self, x: Tensor, answer: Tensor, memory: Cache, memory_mask: Tensor | None) -> Tensor:
        look_up, kept = self.memory_attention.look_up, self.skip.drawn(x)
        if self.norm == "pre":
            x = x + kept(self.dropout(answer))
            x = x + kept(self.dropout(look_up(self.memory_norm(x), memory, memory_mask)))
            return x + kept(self.dropout(self.feed_forward(self.feed_forward_norm(x))))
        x = self.attention_norm(x + kept(self.dropout(answer)))
        x = self.memory_norm(x + kept(self.dropout(look_up(x, memory, memory_mask))))
        return self.feed_forward_norm(x + kept(self.dropout(self.feed_forward(x))))


def norm_after(norm: Norm, width: int) -> nn.Module:
    """What stands behind the last block: a norm for pre-norm blocks, nothing for post-norm ones."""
    return nn.LayerNorm(width) if norm == "pre" else nn.Identity()
