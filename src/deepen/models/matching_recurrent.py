"""BiLSTM with matching: read both texts, align them softly, compare, read the comparison, pool (Chen 2017, ESIM).

    a = BiLSTM(first),  b = BiLSTM(second)                                       (the same BiLSTM)
    e[i, j] = a[i] . b[j] + m s[i, j]
    beta[i] = sum_j softmax_j(e[i, j]) b[j],    alpha[j] = sum_i softmax_i(e[i, j]) a[i]
    p[i]    = relu(P [a[i], beta[i], a[i] - beta[i], a[i] * beta[i], x[i]]),     q[j] likewise
    v = BiLSTM'(p),  w = BiLSTM'(q)                                              (the same BiLSTM')
    outputs = H [mean v, max v, mean w, max w],   H of one hidden layer with tanh

s[i, j] is 1 where both words have the same id, and x[i] is 1 where the word stands in the other text too: with
`--network.no-same-words` both are left out, which is the paper's network. Alignment and pooling see no place behind a
text's end. A text without words is a zero to everything after the reading.

Source: Chen, Zhu, Ling, Wei, Jiang and Inkpen 2017, Enhanced LSTM for Natural Language Inference, section 3 (there all
widths are 300, over vectors from elsewhere; here 128).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn.attention_record import record
from deepen.nn.dropout import Dropout, dropped
from deepen.nn.init import start
from deepen.nn.pooling import masked_max, masked_mean
from deepen.nn.recurrent import Recurrent
from deepen.nn.shapes import Paper, TextShape
from deepen.ops.attend import masked_softmax

CONTRACTS = ("text pair model",)


@dataclass(frozen=True)
class Size:
    """The width of word vectors, and the hidden size of each direction and of the other layers."""

    width: int
    hidden: int


SIZES = {"bilstm-matching": Size(width=128, hidden=128)}

# With 1,000 words and 3 outputs: 1,000 * 128  +  one weight of same words
# + two BiLSTMs over 128 inputs: 2 * 2 * 4 * 128 * (128 + 128 + 2)
# + P: (8 * 128 + 1) * 128 + 128  +  H: 8 * 128 * 128 + 128  +  128 * 3 + 3
PAPER = {"bilstm-matching": Paper(inputs=(1000,), outputs=3, parameters=919_300)}

# SICK, on its 500 validation pairs: 81.6 %, reached after epoch 5 of 8 and kept. A seventh slower a step than the
# Transformer pair encoder, which has 80.2 %.
RECIPE = {
    "epochs": 8,
    "batch_size": 32,
    "optimizer.kind": "adamw",
    "optimizer.learning_rate": 0.0005,
    "optimizer.weight_decay": 0.01,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.05,
    "clip_norm": 10.0,
}


@dataclass(frozen=True)
class Options:
    """Options of the BiLSTM with matching."""

    width: int | None = field(
        default=None, metadata={"help": "width of word vectors; default: 128", "least": 1, "search": "64..300"}
    )
    hidden: int | None = field(
        default=None, metadata={"help": "hidden size of each direction; default: 128", "least": 1, "search": "64..300"}
    )
    cell: Literal["lstm", "gru", "rnn"] = field(default="lstm", metadata={"help": "the recurrent cell"})
    dropout: float = field(
        default=0.5,
        metadata=dropped("the inputs of every layer"),
    )
    same_words: bool = field(
        default=True, metadata={"help": "tell the network which words stand in both texts; off: the paper's network"}
    )


def build(name: str, shape: TextShape, outputs: int, options: Options | None = None) -> nn.Module:
    """The network for pairs of texts over this vocabulary."""
    return MatchingRecurrent(SIZES[name], shape, outputs, options or Options())


class MatchingRecurrent(nn.Module):
    """first [B, Ta] int64, its mask [B, Ta] bool, second [B, Tb], its mask [B, Tb] -> [B, K]"""

    def __init__(self, size: Size, shape: TextShape, outputs: int, options: Options) -> None:
        super().__init__()
        width, hidden = options.width or size.width, options.hidden or size.hidden
        self.embedding = nn.Embedding(shape.vocabulary, width)
        self.reader = Recurrent(options.cell, width, hidden, bidirectional=True)
        self.same = nn.Parameter(torch.ones(())) if options.same_words else None
        self.compare = nn.Linear(8 * hidden + int(options.same_words), hidden)
        self.composer = Recurrent(options.cell, hidden, hidden, bidirectional=True)
        self.hidden = nn.Linear(8 * hidden, hidden)
        self.head = nn.Linear(hidden, outputs)
        self.dropout = Dropout(options.dropout)
        nn.init.normal_(self.embedding.weight, 0, width**-0.5)
        for layer in (self.compare, self.hidden, self.head):
            start(layer, "xavier-uniform")

    def forward(self, first: Tensor, first_mask: Tensor, second: Tensor, second_mask: Tensor) -> Tensor:
        a, b = self._read(first, first_mask), self._read(second, second_mask)  # [B, Ta, 2 H], [B, Tb, 2 H]
        scores = a @ b.mT  # [B, Ta, Tb]
        of_first, of_second = [], []
        if self.same is not None:
            both = first_mask[:, :, None] & second_mask[:, None, :]
            same = ((first[:, :, None] == second[:, None, :]) & both).to(scores.dtype)
            scores = scores + self.same * same
            of_first, of_second = [same.amax(2)[:, :, None]], [same.amax(1)[:, :, None]]
        weights = masked_softmax(scores, second_mask)
        record(self, weights)
        v = self._composed(a, weights @ b, of_first, first_mask)
        w = self._composed(b, masked_softmax(scores.mT, first_mask) @ a, of_second, second_mask)
        return self.head(self.dropout(torch.tanh(self.hidden(self.dropout(torch.cat([v, w], 1))))))

    def _read(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.reader(self.dropout(self.embedding(ids)), mask.sum(1))[0]

    def _composed(self, x: Tensor, partner: Tensor, more: list[Tensor], mask: Tensor) -> Tensor:
        """Each place compared with its partner, read again, and pooled: [B, 4 H]."""
        compared = F.relu(self.compare(torch.cat([x, partner, x - partner, x * partner, *more], 2)))
        out = self.composer(self.dropout(compared), mask.sum(1))[0]  # [B, T, 2 H], 0 behind the end
        return torch.cat([masked_mean(out, mask), masked_max(out, mask)], 1)
