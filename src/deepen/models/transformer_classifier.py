"""Transformer encoder as a classifier: self-attention over the words of a text, then their mean or a first vector.

    x[0] = word vectors + positions,    x[l + 1] = block(x[l]),    logits = W dropout(pooled(norm(x[L]))) + b

pooled is the mean over the words of the text (the default), the maximum, or with `--network.pooling first` what the
blocks make of a learned vector that stands before the first word. What lies behind a text's end is seen by no word and
counts in no pooling, so a text's answer does not depend on the texts beside it; one without words has pooled = 0, or
with a first vector what that one says alone.

Learned positions know as many places as the longest training text has; of a longer text the first places are read.
Sinusoidal ones know any number.

With `--network.experts N` the feed-forward network of each block is a mixture of N, of which a gate chooses for each
word; of a top-1 or top-2 gate only the chosen ones are computed (nn/experts.py).

Source: Vaswani et al. 2017, Attention Is All You Need, section 3 (the encoder); Devlin et al. 2019, BERT, section 3
(the first vector); norms stand before each part, as in Xiong et al. 2020.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn.dropout import Dropout, dropped, skip_chances, skipped
from deepen.nn.experts import BALANCE, BALANCING, GATE, TOP, Balancing, Experts, Gate
from deepen.nn.init import start
from deepen.nn.pooling import masked_max, masked_mean
from deepen.nn.position import LearnedPositions, SinusoidalPositions, within
from deepen.nn.shapes import Paper, TextShape
from deepen.nn.staged import State, through
from deepen.nn.transformer import EncoderBlock, norm_after

CONTRACTS = ("text classifier",)
LONGEST = 512  # places of learned positions where nothing says how long texts are


@dataclass(frozen=True)
class Size:
    """Width, heads, the width of the feed-forward networks, and blocks."""

    width: int
    heads: int
    hidden: int
    blocks: int


SIZES = {"transformer-encoder": Size(width=128, heads=4, hidden=256, blocks=2)}

# With 1,000 words, 512 places and 7 classes: 1,000 * 128  +  512 * 128
# + 2 blocks of  4 * (128 * 128 + 128)  +  128 * 256 + 256 + 256 * 128 + 128  +  4 * 128
# + the last norm 2 * 128  +  128 * 7 + 7
PAPER = {"transformer-encoder": Paper(inputs=(1000,), outputs=7, parameters=459_655)}

RECIPE = {
    "epochs": 15,
    "batch_size": 64,
    "optimizer.kind": "adamw",
    "optimizer.learning_rate": 0.001,
    "optimizer.weight_decay": 0.01,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.1,
    "clip_norm": 1.0,
}


@dataclass(frozen=True)
class Options:
    """Options of the Transformer encoder."""

    width: int | None = field(
        default=None, metadata={"help": "width of word vectors and blocks; default: 128", "least": 1}
    )
    heads: int | None = field(default=None, metadata={"help": "heads of attention; default: 4", "least": 1})
    hidden: int | None = field(
        default=None, metadata={"help": "width of the feed-forward networks; default: 256", "least": 1}
    )
    blocks: int | None = field(
        default=None, metadata={"help": "blocks; default: 2", "least": 1, "most": 48, "search": "1..4"}
    )
    positions: Literal["learned", "sinusoidal"] = field(
        default="learned", metadata={"help": "how a word's place is told"}
    )
    pooling: Literal["mean", "max", "first"] = field(
        default="mean", metadata={"help": "how words become one vector; first: a vector before the first word"}
    )
    dropout: float = field(
        default=0.3,
        metadata=dropped("word vectors, attention, hidden and pooled values"),
    )
    stochastic_depth: float = field(default=0.0, metadata=skipped())
    experts: int = field(
        default=0,
        metadata={
            "help": "feed-forward networks in each block, among which a gate chooses; 0: no mixture",
            "least": 0,
            "most": 256,
        },
    )
    gate: Gate = field(default="top1", metadata=GATE)
    balance: float = field(default=0.01, metadata=BALANCE)
    balancing: Balancing = field(default="switch", metadata=BALANCING)


def build(name: str, shape: TextShape, outputs: int, options: Options | None = None) -> nn.Module:
    """The classifier for texts over this vocabulary. Raises OptionError for heads that do not divide the width."""
    return TransformerClassifier(SIZES[name], shape, outputs, options or Options())


class TransformerClassifier(nn.Module):
    """ids [B, T] int64, mask [B, T] bool -> logits [B, K]"""

    def __init__(self, size: Size, shape: TextShape, outputs: int, options: Options) -> None:
        super().__init__()
        width, heads = options.width or size.width, options.heads or size.heads
        hidden, blocks = options.hidden or size.hidden, options.blocks or size.blocks
        self.longest = None if options.positions == "sinusoidal" else shape.longest or LONGEST
        self.pooling = options.pooling
        self.embedding = nn.Embedding(shape.vocabulary, width)
        self.first = nn.Parameter(torch.zeros(width)) if options.pooling == "first" else None
        extra = int(options.pooling == "first")
        self.positions = (
            SinusoidalPositions(width) if self.longest is None else LearnedPositions(self.longest + extra, width)
        )
        self.blocks = nn.ModuleList(
            EncoderBlock(
                width,
                heads,
                hidden,
                options.dropout,
                norm="pre",
                feed_forward=_experts(width, hidden, options),
                skip=chance,
            )
            for chance in skip_chances(options.stochastic_depth, blocks)
        )
        self.norm = norm_after("pre", width)
        self.dropout = Dropout(options.dropout)
        self.linear = nn.Linear(width, outputs)
        nn.init.normal_(self.embedding.weight, 0, 0.1)
        start(self.linear, "xavier-uniform")

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return through(self, ids, mask)

    @property
    def num_stages(self) -> int:
        return len(self.blocks)

    def begin(self, ids: Tensor, mask: Tensor) -> State:
        x, mask = self.embedding(within(ids, self.longest)), within(mask, self.longest)
        if self.first is not None:
            x = torch.cat([self.first.expand(x.shape[0], 1, -1), x], 1)
            mask = F.pad(mask, (1, 0), value=True)
        return self.dropout(self.positions(x)), mask

    def stage(self, number: int, x: Tensor, mask: Tensor) -> State:
        return self.blocks[number](x, mask), mask

    def summary(self, x: Tensor, mask: Tensor) -> Tensor:
        return torch.cat([masked_mean(x, mask), masked_max(x, mask)], 1)

    def finish(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.linear(self.dropout(self._pooled(self.norm(x), mask)))

    def _pooled(self, x: Tensor, mask: Tensor) -> Tensor:
        """[B, D]"""
        if self.pooling == "first":
            return x[:, 0]
        return masked_mean(x, mask) if self.pooling == "mean" else masked_max(x, mask)


def _experts(width: int, hidden: int, options: Options) -> Experts | None:
    """The mixture of a block, None where a block has a single feed-forward network."""
    if not options.experts:
        return None
    return Experts(
        (width, hidden, width),
        options.experts,
        top=TOP[options.gate],
        dropout=options.dropout,
        balance=options.balance,
        balancing=options.balancing,
    )
