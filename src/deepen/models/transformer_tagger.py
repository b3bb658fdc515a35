"""Transformer tagger: every word looks at every other word of its sentence.

    x[t] = [word vector of t; character CNN of t],    h = W x + b
    h <- encoder block(h), L times, norm before each part, positions by rotation of queries and keys
    e[t] = V dropout(norm(h[t])) + c

Any length fits, since rotary positions are no table.

Source: Vaswani et al. 2017; the norm before each part is Xiong et al. 2020; rotary positions are Su et al. 2021; for
tagging entities with characters beside words, Yan et al. 2019, TENER (there with relative attention of its own).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from deepen.core.errors import OptionError
from deepen.nn.character_cnn import CharacterCNN
from deepen.nn.crf import LinearChainCRF
from deepen.nn.dropout import Dropout, dropped, skip_chances, skipped
from deepen.nn.init import start
from deepen.nn.position import Rotary
from deepen.nn.shapes import Paper, TextShape
from deepen.nn.transformer import EncoderBlock, norm_after

CONTRACTS = ("token tagger",)


@dataclass(frozen=True)
class Size:
    """Width of words and of hidden states, blocks, heads, the feed-forward width, and filters over characters."""

    width: int
    layers: int
    heads: int
    feed_forward: int
    filters: int


SIZES = {"transformer-tagger": Size(width=128, layers=2, heads=4, feed_forward=256, filters=30)}

# With 1,000 words, 50 characters and 7 tags. Words 1,000 * 128; characters 50 * 30 and 30 * 3 * 30 + 30; in 158 * 128 +
# 128; each of two blocks 4 * (128 * 128 + 128), 128 * 256 + 256, 256 * 128 + 128 and two norms of 256; a norm of 256;
# out 128 * 7 + 7
PAPER = {
    "transformer-tagger": Paper(
        inputs=(1000, 0, 50), outputs=7, parameters=128_000 + 4_230 + 20_352 + 2 * 132_480 + 256 + 903
    )
}

RECIPE = {
    "epochs": 20,
    "batch_size": 32,
    "optimizer.kind": "adamw",
    "optimizer.learning_rate": 0.001,
    "optimizer.weight_decay": 0.01,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.05,
    "schedule.final": 0.01,
    "clip_norm": 1.0,
}


@dataclass(frozen=True)
class Options:
    """Options of the Transformer tagger."""

    width: int | None = field(
        default=None,
        metadata={"help": "width of word vectors and of hidden states; default: 128", "least": 2, "search": "64..256"},
    )
    layers: int | None = field(default=None, metadata={"help": "blocks; default: 2", "least": 1, "most": 24})
    heads: int | None = field(default=None, metadata={"help": "attention heads; default: 4", "least": 1})
    feed_forward: int | None = field(
        default=None, metadata={"help": "width inside of the feed-forward networks; default: 256", "least": 1}
    )
    filters: int | None = field(
        default=None, metadata={"help": "filters over the characters of a word, 0 for none; default: 30", "least": 0}
    )
    crf: bool = field(default=False, metadata={"help": "score the tags of a sentence together (CRF)"})
    dropout: float = field(
        default=0.3,
        metadata=dropped("characters' vectors, of the inputs, inside of the blocks and before the scores"),
    )
    stochastic_depth: float = field(default=0.0, metadata=skipped())


def build(name: str, shape: TextShape, outputs: int, options: Options | None = None) -> nn.Module:
    """The tagger for this vocabulary, these characters and this number of tags.

    Raises OptionError for heads that do not divide the width into even parts.
    """
    size, options = SIZES[name], options or Options()
    width, heads = options.width or size.width, options.heads or size.heads
    if width % (2 * heads):
        raise OptionError(
            f"width must be a multiple of twice the heads ({2 * heads}, for rotary positions), but is {width}; take "
            f"{-(-width // (2 * heads)) * 2 * heads}."
        )
    return TransformerTagger(size, shape, outputs, options)


class TransformerTagger(nn.Module):
    """ids [B, T] int64, mask [B, T] bool, characters [B, T, C] int64 -> scores of tags [B, T, K]

    crf  the chain over the scores, None where each tag is answered by itself
    """

    def __init__(self, size: Size, shape: TextShape, outputs: int, options: Options) -> None:
        super().__init__()
        width, heads = options.width or size.width, options.heads or size.heads
        filters = size.filters if options.filters is None else options.filters
        hidden = options.feed_forward or size.feed_forward
        self.embedding = nn.Embedding(shape.vocabulary, width)
        self.characters = (
            CharacterCNN(shape.characters, 30, filters, dropout=options.dropout)
            if filters and shape.characters
            else None
        )
        self.dropout = Dropout(options.dropout)
        self.hidden = nn.Linear(width + (filters if self.characters is not None else 0), width)
        positions = Rotary(width // heads)
        self.blocks = nn.ModuleList(
            EncoderBlock(
                width,
                heads,
                hidden,
                options.dropout,
                norm="pre",
                positions=positions,
                activation="gelu",
                skip=chance,
            )
            for chance in skip_chances(options.stochastic_depth, options.layers or size.layers)
        )
        self.norm = norm_after("pre", width)
        self.linear = nn.Linear(width, outputs)
        self.crf = LinearChainCRF(outputs) if options.crf else None
        bound = math.sqrt(3 / width)
        nn.init.uniform_(self.embedding.weight, -bound, bound)
        for layer in (self.hidden, self.linear):
            start(layer, "xavier-uniform")

    def forward(self, ids: Tensor, mask: Tensor, characters: Tensor) -> Tensor:
        x = self.embedding(ids)  # [B, T, D]
        if self.characters is not None:
            x = torch.cat([x, self.characters(characters)], 2)
        h = self.hidden(self.dropout(x))
        for block in self.blocks:
            h = cast(Tensor, block(h, mask))
        return self.linear(self.dropout(self.norm(h)))
