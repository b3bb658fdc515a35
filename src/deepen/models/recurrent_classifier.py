"""Recurrent classifiers: a text read in both directions, and pooled at its ends, by attention, mean or maximum.

    h[t] = [forward LSTM, backward LSTM](word vectors)[t]
    last        r = [forward at the last word, backward at the first]        (text-rnn)
    attention   r = tanh(sum_t softmax_t(v . tanh(h[t])) h[t])               (bilstm-attention)
    mean, max   r = the mean or the maximum of h over the words
    logits = W dropout(r) + b

Pooling sees the words of the text alone, so a text's answer does not depend on the texts beside it; one without words
has r = 0.

Source: Zhou, Shi, Tian, Qi, Li, Hao and Xu 2016, Attention-Based Bidirectional Long Short-Term Memory Networks for
Relation Classification, section 3.3 (where both directions are added up; here they stand side by side); Schuster and
Paliwal 1997 for the two directions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from deepen.nn.attention_record import record
from deepen.nn.dropout import Dropout, dropped
from deepen.nn.init import start
from deepen.nn.pooling import masked_max, masked_mean
from deepen.nn.recurrent import Recurrent
from deepen.nn.shapes import Paper, TextShape
from deepen.ops.attend import masked_softmax

CONTRACTS = ("text classifier",)
Pooling = Literal["last", "attention", "mean", "max"]


@dataclass(frozen=True)
class Size:
    """The width of word vectors, the hidden size of each direction, the layers, and how the text is pooled."""

    width: int
    hidden: int
    layers: int
    pooling: Pooling


SIZES = {
    "text-rnn": Size(width=300, hidden=128, layers=2, pooling="last"),
    "bilstm-attention": Size(width=300, hidden=128, layers=1, pooling="attention"),
}

# With 1,000 words and 7 classes: 1,000 * 300 + 256 * 7 + 7 and of the LSTM, for each direction,
# 4 * 128 * (300 + 128 + 2) in the first layer and 4 * 128 * (256 + 128 + 2) in the second; attention has 256 more
PAPER = {
    "text-rnn": Paper(inputs=(1000,), outputs=7, parameters=1_137_383),
    "bilstm-attention": Paper(inputs=(1000,), outputs=7, parameters=742_375),
}

RECIPE = {
    "epochs": 10,
    "batch_size": 64,
    "optimizer.kind": "adamw",
    "optimizer.learning_rate": 0.001,
    "optimizer.weight_decay": 0.01,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.05,
    "clip_norm": 5.0,
}


@dataclass(frozen=True)
class Options:
    """Options of the recurrent classifiers."""

    cell: Literal["lstm", "gru", "rnn"] = field(default="lstm", metadata={"help": "the recurrent cell"})
    width: int | None = field(
        default=None, metadata={"help": "width of word vectors; default: 300", "least": 1, "search": "64..300"}
    )
    hidden: int | None = field(
        default=None, metadata={"help": "hidden size of each direction; default: 128", "least": 1, "search": "64..256"}
    )
    layers: int | None = field(
        default=None,
        metadata={"help": "recurrent layers; default: 2 of text-rnn, 1 of bilstm-attention", "least": 1, "most": 8},
    )
    pooling: Literal["last", "attention", "mean", "max"] | None = field(
        default=None, metadata={"help": "how words become one vector; default: last of text-rnn, else attention"}
    )
    dropout: float = field(
        default=0.5,
        metadata=dropped("word vectors, of what goes between layers and of the pooled vector", search="0..0.7"),
    )


def build(name: str, shape: TextShape, outputs: int, options: Options | None = None) -> nn.Module:
    """The classifier for texts over this vocabulary."""
    return RecurrentClassifier(SIZES[name], shape, outputs, options or Options())


class RecurrentClassifier(nn.Module):
    """ids [B, T] int64, mask [B, T] bool -> logits [B, K]"""

    def __init__(self, size: Size, shape: TextShape, outputs: int, options: Options) -> None:
        super().__init__()
        width, hidden, layers = (
            options.width or size.width,
            options.hidden or size.hidden,
            options.layers or size.layers,
        )
        self.hidden, self.pooling = hidden, options.pooling or size.pooling
        self.embedding = nn.Embedding(shape.vocabulary, width)
        self.dropout = Dropout(options.dropout)
        self.reader = Recurrent(options.cell, width, hidden, layers, bidirectional=True, dropout=options.dropout)
        self.vector = nn.Parameter(torch.empty(2 * hidden)) if self.pooling == "attention" else None
        self.linear = nn.Linear(2 * hidden, outputs)
        nn.init.normal_(self.embedding.weight, 0, 0.1)
        start(self.linear, "xavier-uniform")
        if self.vector is not None:
            nn.init.uniform_(self.vector, -((2 * hidden) ** -0.5), (2 * hidden) ** -0.5)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        lengths = mask.sum(1)
        h = self.reader(self.dropout(self.embedding(ids)), lengths)[0]  # [B, T, 2 H], 0 behind the end
        return self.linear(self.dropout(self._pooled(h, mask, lengths)))

    def _pooled(self, h: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:
        """[B, 2 H], 0 for a text without words."""
        if self.pooling == "last":
            last = (lengths - 1).clamp(min=0)[:, None, None].expand(-1, 1, self.hidden)
            return torch.cat([h[:, :, : self.hidden].gather(1, last)[:, 0], h[:, 0, self.hidden :]], 1)
        if self.pooling == "mean":
            return masked_mean(h, mask)
        if self.pooling == "max":
            return masked_max(h, mask)
        assert self.vector is not None
        weights = masked_softmax((torch.tanh(h) @ self.vector)[:, None], mask)  # [B, 1, T]
        record(self, weights)
        return torch.tanh((weights @ h)[:, 0])
