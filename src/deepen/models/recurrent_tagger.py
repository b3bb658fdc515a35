"""Recurrent taggers: a sentence read in both directions by LSTMs, with a score for each tag at each word.

    x[t] = [word vector of t; character CNN of t],    h = [forward LSTM(x); backward LSTM(x)]
    e[t] = W dropout(h[t]) + b

    bilstm-tagger   words alone; each tag by itself (softmax of e[t])          (Graves and Schmidhuber 2005)
    bilstm-crf      words and their characters; the tags of a sentence together, by a linear-chain CRF over e

Source of bilstm-crf: Ma and Hovy 2016, End-to-end Sequence Labeling via Bi-directional LSTM-CNNs-CRF: vectors of 100,
30 filters over 3 characters with vectors of 30, dropout of one half on characters, on x and on h. Its word vectors are
GloVe's, in lower case; here they begin at random unless a file is named. The LSTM state is 200, read here as 100 in
each direction, as in Lample et al. 2016.

Chosen by validation, one seed each. WNUT-17, best entity F1 in 20 epochs, each known to about .035 (95 %): state 200
in each direction .225; 100 .232; 100 and --word-dropout 1 instead of 0.25 .255, in three quarters of the first's
computing. Word vectors from WikiText-2 with 100 and 0.25, 15 epochs: .271. English EWT, accuracy of parts of speech,
known to about .004, state 100, 5 epochs: --word-dropout 0.25 .929, 1 .932; state 200 and 0.25 in 10 epochs .941, at 1.5
times the computing an epoch. The other rates are those of the paper or a first guess, not searched.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from deepen.nn.character_cnn import CharacterCNN
from deepen.nn.crf import LinearChainCRF
from deepen.nn.dropout import Dropout, dropped
from deepen.nn.init import start
from deepen.nn.recurrent import Recurrent
from deepen.nn.shapes import Paper, TextShape

CONTRACTS = ("token tagger",)


@dataclass(frozen=True)
class Size:
    """Widths of word vectors and of each direction's state, filters over characters, and whether tags are a chain."""

    width: int
    hidden: int
    layers: int
    filters: int
    crf: bool


SIZES = {
    "bilstm-crf": Size(width=100, hidden=100, layers=1, filters=30, crf=True),
    "bilstm-tagger": Size(width=100, hidden=100, layers=1, filters=0, crf=False),
}

# With 1,000 words, 50 characters and 7 tags. Words 1,000 * 100; characters 50 * 30 and 30 * 3 * 30 + 30; the LSTM in
# each direction 4 * 100 * (130 + 100 + 2), without characters 4 * 100 * (100 + 100 + 2); out 200 * 7 + 7; the chain
# 7 * 7 + 7 + 7
PAPER = {
    "bilstm-crf": Paper(inputs=(1000, 0, 50), outputs=7, parameters=100_000 + 1_500 + 2_730 + 185_600 + 1_407 + 63),
    "bilstm-tagger": Paper(inputs=(1000, 0, 50), outputs=7, parameters=100_000 + 161_600 + 1_407),
}

RECIPE = {
    "epochs": 20,
    "batch_size": 32,
    "optimizer.kind": "adamw",
    "optimizer.learning_rate": 0.003,
    "optimizer.weight_decay": 0.01,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.02,
    "schedule.final": 0.01,
    "clip_norm": 5.0,
}


@dataclass(frozen=True)
class Options:
    """Options of the recurrent taggers."""

    width: int | None = field(
        default=None, metadata={"help": "width of word vectors; default: 100", "least": 1, "search": "50..300"}
    )
    hidden: int | None = field(
        default=None, metadata={"help": "hidden size of each direction; default: 100", "least": 1, "search": "64..300"}
    )
    layers: int | None = field(default=None, metadata={"help": "recurrent layers; default: 1", "least": 1, "most": 8})
    filters: int | None = field(
        default=None,
        metadata={"help": "filters over the characters of a word, 0 for none; default: 30 of bilstm-crf", "least": 0},
    )
    crf: bool | None = field(
        default=None, metadata={"help": "score the tags of a sentence together (CRF); default: of bilstm-crf"}
    )
    dropout: float = field(
        default=0.5,
        metadata=dropped("characters' vectors, of the LSTM's inputs and of its outputs", search="0..0.7"),
    )


def build(name: str, shape: TextShape, outputs: int, options: Options | None = None) -> nn.Module:
    """The tagger for this vocabulary, these characters and this number of tags."""
    return RecurrentTagger(SIZES[name], shape, outputs, options or Options())


class RecurrentTagger(nn.Module):
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
        inputs = width + (filters if self.characters is not None else 0)
        layers = options.layers or size.layers
        self.reader = Recurrent(
            "lstm", inputs, hidden, layers, bidirectional=True, dropout=options.dropout, forget_bias=1.0
        )
        self.linear = nn.Linear(2 * hidden, outputs)
        has_chain = size.crf if options.crf is None else options.crf
        self.crf = LinearChainCRF(outputs) if has_chain else None
        bound = math.sqrt(3 / width)
        nn.init.uniform_(self.embedding.weight, -bound, bound)
        start(self.linear, "xavier-uniform")

    def forward(self, ids: Tensor, mask: Tensor, characters: Tensor) -> Tensor:
        x = self.embedding(ids)  # [B, T, D]
        if self.characters is not None:
            x = torch.cat([x, self.characters(characters)], 2)
        h, _ = self.reader(self.dropout(x), mask.sum(1))  # [B, T, 2 H], 0 behind the end
        return self.linear(self.dropout(h))
