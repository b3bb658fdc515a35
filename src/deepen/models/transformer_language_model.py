"""Transformer decoder: what comes next, from all that stands in a window before it, weighed by attention.

    x = E[w] sqrt(H) + p (learned or sinusoidal) or E[w] (rotary, where queries and keys are turned instead)
    x = x + attention(norm(x)),   x = x + feed-forward(norm(x))   in each block,    hidden = P norm(x)

No place sees one behind it. P is a linear map where the network's width is not the width that the output layer reads;
where vectors of tokens have another size than the network, a linear map without bias stands behind them too. It sees a
window of as many tokens as it was trained on; going on with a text, it keeps the keys and values of what it has read.

Sources: Vaswani et al. 2017 (decoder, sinusoidal positions); Radford et al. 2019, Language Models are Unsupervised
Multitask Learners (norms before, learned positions, start of the residual branches at 1 / sqrt(2 L)); Su et al. 2021
(rotary positions).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, cast

import torch
from torch import Tensor, nn

from deepen.core.errors import OptionError, ShapeError
from deepen.nn.dropout import Dropout, dropped, skip_chances, skipped
from deepen.nn.position import LearnedPositions, Rotary, SinusoidalPositions
from deepen.nn.shapes import Paper, TextShape
from deepen.nn.transformer import EncoderBlock

CONTRACTS = ("language model",)
DEFAULT_WINDOW = 128


@dataclass(frozen=True)
class Size:
    """Width, heads and layers where the options name none; the feed-forward networks are four times as wide."""

    width: int
    heads: int
    layers: int


SIZES = {"transformer-decoder": Size(width=256, heads=4, layers=4)}

# Vectors 23 * 32 and 32 * 256 to the width; learned positions 128 * 256. A block: four maps 256 * 256 + 256 of
# attention, 256 * 1024 + 1024 and 1024 * 256 + 256 for the feed-forward network, two norms of 2 * 256. One norm more,
# and the projection 256 * 32 + 32.
PAPER = {
    "transformer-decoder": Paper(
        inputs=(23,),
        outputs=32,
        parameters=736 + 8_192 + 32_768 + 4 * (4 * 65_792 + 263_168 + 262_400 + 1_024) + 512 + 8_224,
    )
}

RECIPE = {
    "epochs": 10,
    "batch_size": 16,
    "width": 256,
    "sequence_length": 128,
    "optimizer.kind": "adamw",
    "optimizer.learning_rate": 0.0005,
    "optimizer.weight_decay": 0.01,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.05,
    "schedule.final": 0.01,
    "clip_norm": 1.0,
}


@dataclass(frozen=True)
class Options:
    """Options of the Transformer decoder."""

    layers: int | None = field(default=None, metadata={"help": "blocks; default: 4", "least": 1, "search": "2,4,6"})
    hidden_size: int | None = field(
        default=None, metadata={"help": "width of the network; default: 256", "least": 1, "search": "128,256,384"}
    )
    heads: int | None = field(default=None, metadata={"help": "heads of attention; default: 4", "least": 1})
    feed_forward_size: int | None = field(
        default=None,
        metadata={"help": "width of the feed-forward networks; default: 4 times that", "least": 1},
    )
    positions: Literal["learned", "sinusoidal", "rotary"] = field(
        default="learned", metadata={"help": "how places are told apart"}
    )
    embedding_size: int | None = field(
        default=None,
        metadata={"help": "numbers in the vector of a token; default: what the output layer reads", "least": 1},
    )
    dropout: float = field(
        default=0.2,
        metadata=dropped("inputs, attention weights and branches"),
    )
    stochastic_depth: float = field(default=0.0, metadata=skipped())


def build(name: str, shape: TextShape, outputs: int, options: Options | None = None) -> nn.Module:
    """The network for this vocabulary; `outputs` is the width of its answers, the shape's longest text its window.

    Raises OptionError for heads that do not divide the width, and for rotary positions in heads of odd width.
    """
    window = shape.longest or DEFAULT_WINDOW
    return TransformerDecoder(shape.vocabulary, window, SIZES[name], outputs, options or Options())


class TransformerDecoder(nn.Module):
    """ids [B, T] int64, state or None -> hidden [B, T, D], state

    A state is the keys and values of each block so far, each [B, h, t, d]; given none, none is kept.
    """

    def __init__(self, vocabulary: int, window: int, size: Size, width: int, options: Options) -> None:
        super().__init__()
        hidden, heads = options.hidden_size or size.width, options.heads or size.heads
        if hidden % heads:
            raise OptionError(f"--network.heads {heads}: must divide the width {hidden}; choose a divisor of it.")
        embedding_size = options.embedding_size or width
        self.window, self.width, self.heads = window, width, heads
        self.embedding = nn.Embedding(vocabulary, embedding_size)
        nn.init.normal_(self.embedding.weight, std=embedding_size**-0.5)
        self.scale = math.sqrt(embedding_size)  # vectors of length about 1, so that they can be output weights too
        self.widen = nn.Linear(embedding_size, hidden, bias=False) if embedding_size != hidden else None
        self.positions = _positions(options.positions, window, hidden)
        self.dropout = Dropout(options.dropout)
        layers = options.layers or size.layers
        feed_forward = options.feed_forward_size or 4 * hidden
        rotary = Rotary(hidden // heads) if options.positions == "rotary" else None
        self.blocks = nn.ModuleList(
            EncoderBlock(
                hidden,
                heads,
                feed_forward,
                options.dropout,
                activation="gelu",
                norm="pre",
                is_causal=True,
                positions=rotary,
                skip=chance,
            )
            for chance in skip_chances(options.stochastic_depth, layers)
        )
        self.norm = nn.LayerNorm(hidden)
        self.projection = nn.Linear(hidden, width) if hidden != width else None
        self._start_branches(layers)

    def initial_state(self, batch_size: int, device: torch.device) -> tuple[Tensor, ...]:
        """Nothing read so far: keys and values of each block, each [B, h, 0, d]."""
        d = self.norm.normalized_shape[0] // self.heads
        return tuple(torch.zeros(batch_size, self.heads, 0, d, device=device) for _ in range(2 * len(self.blocks)))

    def forward(self, ids: Tensor, state: tuple[Tensor, ...] | None = None) -> tuple[Tensor, tuple[Tensor, ...] | None]:
        seen = state[0].shape[2] if state else 0
        if seen + ids.shape[1] > self.window:
            raise ShapeError(f"{seen + ids.shape[1]} tokens are given, but the window is {self.window}; cut the text.")
        x = self.embedding(ids) * self.scale  # [B, T, E]
        x = x if self.widen is None else self.widen(x)
        x = self.dropout(x if self.positions is None else self.positions(x, seen))
        after: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            if state:
                x, cache = cast(EncoderBlock, block).extend(x, (state[2 * index], state[2 * index + 1]))
                after.extend(cache)
            else:
                x = block(x)
        x = self.norm(x)
        return (x if self.projection is None else self.projection(x)), tuple(after)

    @torch.no_grad()
    def _start_branches(self, layers: int) -> None:
        """Maps at Normal(0, 0.02), those that end a residual branch smaller, so that depth does not grow the sum."""
        for name, parameter in self.blocks.named_parameters():
            if parameter.dim() > 1:
                ends = name.endswith(("attention.out.weight", "feed_forward.out.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers) if ends else 0.02)


def _positions(kind: str, window: int, width: int) -> nn.Module | None:
    if kind == "rotary":
        return None
    return LearnedPositions(window, width) if kind == "learned" else SinusoidalPositions(width)
