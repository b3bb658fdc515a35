"""DPCNN: a pyramid of convolutions over word vectors, half as long from block to block (Johnson and Zhang 2017).

    z[0] = convolution of width 3 over word vectors                        (the region embedding)
    z    = z + A relu(B relu(z))      A, B convolutions of width 3         (a block; with dropout before each of them)
    z    = max over 3 places, every second place                           (before every block but the first)
    logits = W dropout(max over what is left) + b

As each block has half the places, all blocks together cost less than twice the first. 250 feature maps; as many blocks
as it takes until the longest text is one place, at most the paper's 7. What lies behind a text's end is zero after
every layer and -infinity to every maximum, so a text's answer does not depend on the texts beside it; a text without
words has the answer b.

Source: Johnson and Zhang 2017, Deep Pyramid Convolutional Neural Networks for Text Categorization, section 2.
Differences: the region embedding is the convolution alone, without vectors learned from unlabelled text; weights
begin by He's formula, the second of each block at zero (the paper: Normal(0, 0.01^2)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn.dropout import Dropout, StochasticDepth, dropped, skip_chances, skipped
from deepen.nn.init import he_normal_
from deepen.nn.shapes import Paper, TextShape
from deepen.nn.staged import State, through

CONTRACTS = ("text classifier",)
MOST_BLOCKS = 7


@dataclass(frozen=True)
class Size:
    """The width of word vectors and the number of feature maps."""

    width: int
    maps: int


SIZES = {"dpcnn": Size(width=300, maps=250)}

# With 1,000 words, 7 classes and 7 blocks:
# 1,000 * 300  +  300 * 3 * 250 + 250  +  7 * 2 * (250 * 3 * 250 + 250)  +  250 * 7 + 7
PAPER = {"dpcnn": Paper(inputs=(1000,), outputs=7, parameters=3_155_507)}

RECIPE = {
    "epochs": 10,
    "batch_size": 64,
    "optimizer.kind": "adamw",
    "optimizer.learning_rate": 0.001,
    "optimizer.weight_decay": 0.01,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.05,
}


@dataclass(frozen=True)
class Options:
    """Options of DPCNN."""

    width: int | None = field(
        default=None, metadata={"help": "width of word vectors; default: 300", "least": 1, "search": "64..300"}
    )
    maps: int | None = field(
        default=None, metadata={"help": "feature maps; default: 250", "least": 1, "search": "64..250"}
    )
    blocks: int | None = field(
        default=None,
        metadata={"help": "blocks; default: until the longest text is one place, at most 7", "least": 1, "most": 20},
    )
    dropout: float = field(
        default=0.5,
        metadata=dropped("the last maps", search="0..0.7"),
    )
    embedding_dropout: float = field(
        default=0.2,
        metadata=dropped("the word vectors"),
    )
    stochastic_depth: float = field(default=0.0, metadata=skipped())


def build(name: str, shape: TextShape, outputs: int, options: Options | None = None) -> nn.Module:
    """The network for texts over this vocabulary, as deep as its texts are long."""
    return DPCNN(SIZES[name], shape, outputs, options or Options())


def num_blocks(shape: TextShape, options: Options) -> int:
    """The blocks asked for, else one more than halvings until the longest text is one place; 7 at most."""
    if options.blocks is not None:
        return options.blocks
    halvings = math.ceil(math.log2(shape.longest)) if shape.longest > 0 else MOST_BLOCKS
    return max(1, min(MOST_BLOCKS, halvings + 1))


class DPCNN(nn.Module):
    """ids [B, T] int64, mask [B, T] bool -> logits [B, K]"""

    def __init__(self, size: Size, shape: TextShape, outputs: int, options: Options) -> None:
        super().__init__()
        width, maps = options.width or size.width, options.maps or size.maps
        self.embedding = nn.Embedding(shape.vocabulary, width)
        self.region = nn.Conv1d(width, maps, 3, padding=1)
        chances = skip_chances(options.stochastic_depth, num_blocks(shape, options))
        self.blocks = nn.ModuleList(Block(maps, chance) for chance in chances)
        self.embedding_dropout = Dropout(options.embedding_dropout)
        self.dropout = Dropout(options.dropout)
        self.linear = nn.Linear(maps, outputs)
        he_normal_(self.region.weight, width, 3 * maps)
        nn.init.zeros_(self.region.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.embedding.weight, 0, 1 / math.sqrt(3))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return through(self, ids, mask)

    @property
    def num_stages(self) -> int:
        return len(self.blocks)

    def begin(self, ids: Tensor, mask: Tensor) -> State:
        x = self.embedding_dropout(self.embedding(ids)) * mask[:, :, None]
        lengths = mask.sum(1)
        return within(self.region(x.transpose(1, 2)), lengths), lengths  # [B, M, T], [B]

    def stage(self, number: int, z: Tensor, lengths: Tensor) -> State:
        if number:
            z, lengths = halved(z, lengths)
        return self.blocks[number](z, lengths), lengths

    def summary(self, z: Tensor, lengths: Tensor) -> Tensor:
        largest = z.masked_fill(beyond(z, lengths), -math.inf).amax(2)  # [B, M]
        return torch.where(lengths[:, None] > 0, largest, 0.0)

    def finish(self, z: Tensor, lengths: Tensor) -> Tensor:
        return self.linear(self.dropout(self.summary(z, lengths)))


class Block(nn.Module):
    """z [B, M, T], lengths [B] -> [B, M, T]"""

    def __init__(self, maps: int, skip: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Conv1d(maps, maps, 3, padding=1)
        self.second = nn.Conv1d(maps, maps, 3, padding=1)
        self.skip = StochasticDepth(skip)
        he_normal_(self.first.weight, 3 * maps, 3 * maps)
        nn.init.zeros_(self.first.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, z: Tensor, lengths: Tensor) -> Tensor:
        hidden = within(self.first(F.relu(z)), lengths)
        return z + self.skip(within(self.second(F.relu(hidden)), lengths))


def beyond(z: Tensor, lengths: Tensor) -> Tensor:
    """[B, 1, T] bool: the places of z [B, M, T] behind the end of each text."""
    return (torch.arange(z.shape[2], device=z.device) >= lengths[:, None])[:, None]


def within(z: Tensor, lengths: Tensor) -> Tensor:
    """z [B, M, T] with zeros behind the end of each text."""
    return z.masked_fill(beyond(z, lengths), 0.0)


def halved(z: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The maximum over places 2 i, 2 i + 1 and 2 i + 2 of each text, and how many places that leaves: ceil(length / 2).

    z  [B, M, T] -> [B, M, floor(T / 2) + 1], zero behind the end

    An even T leaves one place more than its texts need, so that only a single place ends in one: a graph that is
    exported would hold for that alone. In two dimensions, since a maximum over one dimension fixes the size, too.
    """
    padded = F.pad(z.masked_fill(beyond(z, lengths), -math.inf), (0, 3), value=-math.inf)
    lengths = (lengths + 1) // 2
    return within(F.max_pool2d(padded[:, :, None], (1, 3), (1, 2))[:, :, 0], lengths), lengths
