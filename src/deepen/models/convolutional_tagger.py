"""Convolutional tagger: windows of words, stacked so that each tag sees a good part of its sentence.

    x[t] = [word vector of t; character CNN of t],    h = relu(W x + b)
    h <- h + dropout(relu(conv(h))),    windows of 3 words, 1, 2, 4 and 1 words apart
    e[t] = V dropout(h[t]) + c

With these distances a tag sees 8 words to each side. Words behind the end of a sentence are 0 before each convolution,
so padding changes nothing.

Source: Collobert et al. 2011, Natural Language Processing (Almost) from Scratch, section 3.2.1 for windows over word
vectors; the growing distances are Strubell et al. 2017, Fast and Accurate Entity Recognition with Iterated Dilated
Convolutions; the residual connections are He et al. 2016.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepen.core.errors import OptionError
from deepen.nn.character_cnn import CharacterCNN
from deepen.nn.crf import LinearChainCRF
from deepen.nn.dropout import Dropout, StochasticDepth, dropped, skip_chances, skipped
from deepen.nn.init import start
from deepen.nn.shapes import Paper, TextShape

CONTRACTS = ("token tagger",)


@dataclass(frozen=True)
class Size:
    """Widths of word vectors and of hidden layers, filters over characters, and the distances of the windows' words."""

    width: int
    hidden: int
    filters: int
    distances: tuple[int, ...]


SIZES = {"textcnn-tagger": Size(width=100, hidden=200, filters=30, distances=(1, 2, 4, 1))}

# With 1,000 words, 50 characters and 7 tags. Words 1,000 * 100; characters 50 * 30 and 30 * 3 * 30 + 30; in 130 * 200
# + 200; four times 200 * 3 * 200 + 200; out 200 * 7 + 7
PAPER = {"textcnn-tagger": Paper(inputs=(1000, 0, 50), outputs=7, parameters=104_230 + 26_200 + 480_800 + 1_407)}

RECIPE = {
    "epochs": 20,
    "batch_size": 32,
    "optimizer.kind": "adamw",
    "optimizer.learning_rate": 0.001,
    "optimizer.weight_decay": 0.01,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.02,
    "schedule.final": 0.01,
    "clip_norm": 5.0,
}


@dataclass(frozen=True)
class Options:
    """Options of the convolutional tagger."""

    width: int | None = field(
        default=None, metadata={"help": "width of word vectors; default: 100", "least": 1, "search": "50..300"}
    )
    hidden: int | None = field(
        default=None, metadata={"help": "width of hidden layers; default: 200", "least": 1, "search": "64..400"}
    )
    filters: int | None = field(
        default=None, metadata={"help": "filters over the characters of a word, 0 for none; default: 30", "least": 0}
    )
    window: int = field(default=3, metadata={"help": "words in the window of a convolution, an odd number", "least": 1})
    distances: tuple[int, ...] = field(
        default=(), metadata={"help": "for each convolution how far apart its words are; default: 1 2 4 1", "least": 1}
    )
    crf: bool = field(default=False, metadata={"help": "score the tags of a sentence together (CRF)"})
    dropout: float = field(
        default=0.5,
        metadata=dropped("characters' vectors, of the inputs and of each hidden layer", search="0..0.7"),
    )
    stochastic_depth: float = field(default=0.0, metadata=skipped())


def build(name: str, shape: TextShape, outputs: int, options: Options | None = None) -> nn.Module:
    """The tagger for this vocabulary, these characters and this number of tags.

    Raises OptionError for an even window.
    """
    options = options or Options()
    if options.window % 2 == 0:
        raise OptionError(
            f"window must be odd, so that as many words stand before a word as behind it, but is {options.window}; "
            f"take {options.window + 1}."
        )
    return ConvolutionalTagger(SIZES[name], shape, outputs, options)


class ConvolutionalTagger(nn.Module):
    """ids [B, T] int64, mask [B, T] bool, characters [B, T, C] int64 -> scores of tags [B, T, K]

    crf  the chain over the scores, None where each tag is answered by itself
    """

    def __init__(self, size: Size, shape: TextShape, outputs: int, options: Options) -> None:
        super().__init__()
        width, hidden = options.width or size.width, options.hidden or size.hidden
        filters = size.filters if options.filters is None else options.filters
        self.embedding = nn.Embedding(shape.vocabulary, width)
        self.characters = (
            CharacterCNN(shape.characters, 30, filters, dropout=options.dropout)
            if filters and shape.characters
            else None
        )
        self.dropout = Dropout(options.dropout)
        self.hidden = nn.Linear(width + (filters if self.characters is not None else 0), hidden)
        reach = options.window // 2
        self.convolutions = nn.ModuleList(
            nn.Conv1d(hidden, hidden, options.window, padding=reach * distance, dilation=distance)
            for distance in options.distances or size.distances
        )
        chances = skip_chances(options.stochastic_depth, len(self.convolutions))
        self.skips = nn.ModuleList(StochasticDepth(chance) for chance in chances)
        self.linear = nn.Linear(hidden, outputs)
        self.crf = LinearChainCRF(outputs) if options.crf else None
        bound = math.sqrt(3 / width)
        nn.init.uniform_(self.embedding.weight, -bound, bound)
        for layer in (self.hidden, *self.convolutions):
            start(layer, "he-normal")
        start(self.linear, "xavier-uniform")

    def forward(self, ids: Tensor, mask: Tensor, characters: Tensor) -> Tensor:
        x = self.embedding(ids)  # [B, T, D]
        if self.characters is not None:
            x = torch.cat([x, self.characters(characters)], 2)
        inside = mask[:, :, None]
        h = F.relu(self.hidden(self.dropout(x))) * inside  # [B, T, H]
        for convolution, skip in zip(self.convolutions, self.skips, strict=True):
            h = (h + skip(self.dropout(F.relu(convolution(h.mT)).mT))) * inside
        return self.linear(self.dropout(h))
