"""Transformer pair encoder: both texts as one sequence, so that every word sees those of both (Devlin 2019).

    sequence = [first] text a [separator] text b [separator]
    x[0] = word vectors + positions + segments,  x[l + 1] = block(x[l]),  outputs = W dropout(pooled(norm(x[L]))) + b

[first] and [separator] are learned vectors; a segment is a learned vector for each side, and unless
`--network.no-same-words` is said words that stand in the other text too have one more. pooled is the mean over the
whole sequence, or what the blocks make of [first]. The sequence of a pair is put together without gaps, so its answer
depends neither on the pairs beside it nor on their padding; an empty text leaves its separator.

Source: Devlin, Chang, Lee and Toutanova 2019, BERT, section 3 (the input); Vaswani et al. 2017 (the blocks), with norms
before each part as in Xiong et al. 2020. Nothing here is pretrained, and `same words` is not of the paper.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from deepen.nn.dropout import Dropout, dropped, skip_chances, skipped
from deepen.nn.init import start
from deepen.nn.pooling import masked_mean
from deepen.nn.position import LearnedPositions, SinusoidalPositions, within
from deepen.nn.shapes import Paper, TextShape
from deepen.nn.transformer import EncoderBlock, norm_after

CONTRACTS = ("text pair model",)
LONGEST = 256  # places of each text where nothing says how long texts are
MARKS = 3  # [first] and two separators


@dataclass(frozen=True)
class Size:
    """Width, heads, the width of the feed-forward networks, and blocks."""

    width: int
    heads: int
    hidden: int
    blocks: int


SIZES = {"transformer-pair": Size(width=128, heads=4, hidden=256, blocks=2)}

# With 1,000 words, 2 * 256 + 3 places and 3 outputs: 1,000 * 128  +  515 * 128  +  2 marks, 2 segments, 1 same, of 128
# + 2 blocks of  4 * (128 * 128 + 128)  +  128 * 256 + 256 + 256 * 128 + 128  +  4 * 128
# + the last norm 2 * 128  +  128 * 3 + 3
PAPER = {"transformer-pair": Paper(inputs=(1000,), outputs=3, parameters=460_163)}

# SICK, on its 500 validation pairs: two trainings of 10 epochs, in other batches, had 80.2 % and 79.2 % with the
# weights of the lowest validation loss, once after epoch 2, and 78 to 82 % in the epochs after, in which that loss
# rises: hence patience. Batches of 64 learn more slowly at this rate (loss 0.64 after three epochs, of 32 0.56).
# Relatedness: r = 0.79. Decomposable attention has 76.8 % there, the BiLSTM with matching 81.6 %.
RECIPE = {
    "epochs": 10,
    "patience": 3,
    "batch_size": 32,
    "optimizer.kind": "adamw",
    "optimizer.learning_rate": 0.0005,
    "optimizer.weight_decay": 0.01,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.1,
    "clip_norm": 1.0,
}


@dataclass(frozen=True)
class Options:
    """Options of the Transformer pair encoder."""

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
    pooling: Literal["mean", "first"] = field(
        default="mean",
        metadata={"help": "how the sequence becomes one vector; first: the vector before the first word"},
    )
    dropout: float = field(
        default=0.2,
        metadata=dropped("word vectors, attention, hidden and pooled values"),
    )
    stochastic_depth: float = field(default=0.0, metadata=skipped())
    same_words: bool = field(
        default=True, metadata={"help": "tell the network which words stand in both texts; off: the paper's input"}
    )


def build(name: str, shape: TextShape, outputs: int, options: Options | None = None) -> nn.Module:
    """The encoder for pairs over this vocabulary. Raises OptionError for heads that do not divide the width."""
    return TransformerPair(SIZES[name], shape, outputs, options or Options())


class TransformerPair(nn.Module):
    """first [B, Ta] int64, its mask [B, Ta] bool, second [B, Tb], its mask [B, Tb] -> [B, K]"""

    def __init__(self, size: Size, shape: TextShape, outputs: int, options: Options) -> None:
        super().__init__()
        width, heads = options.width or size.width, options.heads or size.heads
        hidden, blocks = options.hidden or size.hidden, options.blocks or size.blocks
        self.longest = None if options.positions == "sinusoidal" else shape.longest or LONGEST
        self.pooling = options.pooling
        self.embedding = nn.Embedding(shape.vocabulary, width)
        self.marks = nn.Embedding(2, width)
        self.segments = nn.Embedding(2, width)
        self.same = nn.Parameter(torch.zeros(width)) if options.same_words else None
        self.positions = (
            SinusoidalPositions(width) if self.longest is None else LearnedPositions(2 * self.longest + MARKS, width)
        )
        self.blocks = nn.ModuleList(
            EncoderBlock(width, heads, hidden, options.dropout, norm="pre", skip=chance)
            for chance in skip_chances(options.stochastic_depth, blocks)
        )
        self.norm = norm_after("pre", width)
        self.dropout = Dropout(options.dropout)
        self.linear = nn.Linear(width, outputs)
        for table in (self.embedding, self.marks, self.segments):
            nn.init.normal_(table.weight, 0, 0.1)
        if self.same is not None:
            nn.init.normal_(self.same, 0, 0.1)
        start(self.linear, "xavier-uniform")

    def forward(self, first: Tensor, first_mask: Tensor, second: Tensor, second_mask: Tensor) -> Tensor:
        first, first_mask = within(first, self.longest), within(first_mask, self.longest)
        second, second_mask = within(second, self.longest), within(second_mask, self.longest)
        source, is_second, mask = one_sequence(first_mask, second_mask)
        x = torch.cat([*self._words(first, first_mask, second, second_mask), self._marks(first.shape[0])], 1)
        x = x.gather(1, source[:, :, None].expand(-1, -1, x.shape[2]))  # [B, L, D], without gaps
        x = self.dropout(self.positions(x + self.segments(is_second.long())))
        for block in self.blocks:
            x = block(x, mask)
        x = self.norm(x)
        return self.linear(self.dropout(masked_mean(x, mask) if self.pooling == "mean" else x[:, 0]))

    def _words(self, first: Tensor, first_mask: Tensor, second: Tensor, second_mask: Tensor) -> tuple[Tensor, Tensor]:
        """The word vectors of both texts, [B, Ta, D] and [B, Tb, D], with what tells the same words."""
        a, b = self.embedding(first), self.embedding(second)
        if self.same is None:
            return a, b
        same = (first[:, :, None] == second[:, None, :]) & first_mask[:, :, None] & second_mask[:, None, :]
        return a + same.any(2)[:, :, None] * self.same, b + same.any(1)[:, :, None] * self.same

    def _marks(self, num_rows: int) -> Tensor:
        """[B, 2, D]: [first] and [separator]"""
        return self.marks.weight.expand(num_rows, -1, -1)


def one_sequence(first_mask: Tensor, second_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where each place of [first] a [separator] b [separator] is taken from, without gaps.

    first_mask   [B, Ta] bool, true up to the end of each text; second_mask [B, Tb] likewise
    returns      source [B, L] int64: a place of (a, b, [first], [separator]) one behind the other; whether it belongs
                 to the second text and its separator [B, L] bool; and whether there is anything [B, L] bool.
                 L is what the longest pair of these needs; of a network that is exported, what any pair of these
                 sizes could need.
    """
    size_a, size_b = first_mask.shape[1], second_mask.shape[1]
    length_a, length_b = first_mask.sum(1)[:, None], second_mask.sum(1)[:, None]  # [B, 1]
    begin, separator = size_a + size_b, size_a + size_b + 1
    total = length_a + length_b + MARKS
    longest = size_a + size_b + MARKS if torch.compiler.is_exporting() else int(total.max())
    places = torch.arange(longest, device=first_mask.device)[None]  # [1, L]
    in_a, in_b = places - 1, places - length_a - 2
    source = torch.full(total.shape[:1] + places.shape[1:], separator, device=first_mask.device)
    source = torch.where((in_a >= 0) & (in_a < length_a), in_a, source)
    source = torch.where((in_b >= 0) & (in_b < length_b), size_a + in_b, source)
    source = torch.where(places == 0, begin, source)
    return source, in_b >= 0, places < total
