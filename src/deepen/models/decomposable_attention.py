"""Decomposable attention: align the words of two texts softly, compare each with its partner, add up (Parikh 2016).

    a, b    projected word vectors of the two texts, each with a learned NULL vector in front
    e[i, j] = F(a[i]) . F(b[j]) + m s[i, j]                                                    (attend)
    beta[i] = sum_j softmax_j(e[i, j]) b[j],    alpha[j] = sum_i softmax_i(e[i, j]) a[i]
    v[i]    = G([a[i], beta[i], x[i]]),         w[j] = G([b[j], alpha[j], x[j]])               (compare)
    outputs = H([sum_i v[i], sum_j w[j]])                                                      (aggregate)

F, G and H are networks of two hidden layers with ReLU. s[i, j] is 1 where both words have the same id, and x[i] is 1
where the word stands in the other text too: with `--network.no-same-words` both are left out, which is the paper's
network. With `--network.intra-attention` each word has its own text's attention beside it,

    f[i, j] = Q(a[i]) . Q(a[j]) + d[i - j],    a'[i] = [a[i], sum_j softmax_j(f[i, j]) a[j]],

where distances beyond 10 share one d. Because of the NULL vector a text without words has an alignment too.

Source: Parikh, Täckström, Das and Uszkoreit 2016, A Decomposable Attention Model for Natural Language Inference.
Differences: word vectors are trained, and `same words` tells what fixed vectors would tell of words seen once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn.attention_record import record
from deepen.nn.dropout import Dropout, dropped
from deepen.nn.init import start_linears
from deepen.nn.shapes import Paper, TextShape
from deepen.ops.attend import masked_softmax

CONTRACTS = ("text pair model",)
FARTHEST = 10


@dataclass(frozen=True)
class Size:
    """The width of word vectors, and that of all hidden layers."""

    width: int
    hidden: int


SIZES = {"decomposable-attention": Size(width=300, hidden=200)}

# With 1,000 words and 3 outputs: 1,000 * 300  +  the projection 300 * 200  +  NULL 200  +  one weight of same words
# + F: 2 * (200 * 200 + 200)  +  G: (401 * 200 + 200) + (200 * 200 + 200)  +  H: (400 * 200 + 200) + (200 * 200 + 200)
# + 200 * 3 + 3
PAPER = {"decomposable-attention": Paper(inputs=(1000,), outputs=3, parameters=682_204)}

# SICK, on its 500 validation pairs, in 30 epochs: 77.4 % after epoch 7, falling from epoch 13 on (75 %), the loss on
# training pairs still going down; the weights kept have 76.8 %. With 128 wide layers, intra-attention and lower case
# 77.0 %. So a third of the epochs is enough; that the schedule is shorter then was not measured apart.
RECIPE = {
    "epochs": 12,
    "batch_size": 64,
    "optimizer.kind": "adamw",
    "optimizer.learning_rate": 0.0005,
    "optimizer.weight_decay": 0.01,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.05,
    "clip_norm": 5.0,
}


@dataclass(frozen=True)
class Options:
    """Options of decomposable attention."""

    width: int | None = field(
        default=None, metadata={"help": "width of word vectors; default: 300", "least": 1, "search": "64..300"}
    )
    hidden: int | None = field(
        default=None, metadata={"help": "width of hidden layers; default: 200", "least": 1, "search": "64..300"}
    )
    dropout: float = field(
        default=0.2,
        metadata=dropped("the inputs of every hidden layer"),
    )
    intra_attention: bool = field(
        default=False, metadata={"help": "each word with what its own text says of it, by attention"}
    )
    same_words: bool = field(
        default=True, metadata={"help": "tell the network which words stand in both texts; off: the paper's network"}
    )


def build(name: str, shape: TextShape, outputs: int, options: Options | None = None) -> nn.Module:
    """The network for pairs of texts over this vocabulary."""
    return DecomposableAttention(SIZES[name], shape, outputs, options or Options())


class DecomposableAttention(nn.Module):
    """first [B, Ta] int64, its mask [B, Ta] bool, second [B, Tb], its mask [B, Tb] -> [B, K]"""

    def __init__(self, size: Size, shape: TextShape, outputs: int, options: Options) -> None:
        super().__init__()
        width, hidden = options.width or size.width, options.hidden or size.hidden
        inner = 2 * hidden if options.intra_attention else hidden
        self.embedding = nn.Embedding(shape.vocabulary, width)
        self.projection = nn.Linear(width, hidden, bias=False)
        self.null = nn.Parameter(torch.zeros(hidden))
        self.same = nn.Parameter(torch.ones(())) if options.same_words else None
        self.intra = IntraAttention(hidden, options.dropout) if options.intra_attention else None
        self.attend = hidden_layers(inner, hidden, options.dropout)
        self.compare = hidden_layers(2 * inner + int(options.same_words), hidden, options.dropout)
        self.aggregate = hidden_layers(2 * hidden, hidden, options.dropout)
        self.head = nn.Linear(hidden, outputs)
        start_linears(self)
        nn.init.normal_(self.embedding.weight, 0, width**-0.5)
        nn.init.normal_(self.null, 0, hidden**-0.5)

    def forward(self, first: Tensor, first_mask: Tensor, second: Tensor, second_mask: Tensor) -> Tensor:
        a, a_mask = self._read(first, first_mask)  # [B, 1 + Ta, H]
        b, b_mask = self._read(second, second_mask)
        scores = self.attend(a) @ self.attend(b).mT / a.shape[2] ** 0.5  # [B, 1 + Ta, 1 + Tb]
        of_first, of_second = [], []
        if self.same is not None:
            same = same_words(first, first_mask, second, second_mask)
            scores = scores + self.same * F.pad(same, (1, 0, 1, 0))
            of_first.append(F.pad(same.amax(2), (1, 0))[:, :, None])
            of_second.append(F.pad(same.amax(1), (1, 0))[:, :, None])
        of_a, of_b = masked_softmax(scores, b_mask), masked_softmax(scores.mT, a_mask)
        record(self, of_a[:, 1:, 1:])
        v = self.compare(torch.cat([a, of_a @ b, *of_first], 2)) * a_mask[:, :, None]
        w = self.compare(torch.cat([b, of_b @ a, *of_second], 2)) * b_mask[:, :, None]
        return self.head(self.aggregate(torch.cat([v.sum(1), w.sum(1)], 1)))

    def _read(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The words with NULL in front, [B, 1 + T, H], and which of them count."""
        x = self.projection(self.embedding(ids)) * mask[:, :, None]
        x = torch.cat([self.null.expand(ids.shape[0], 1, -1), x], 1)
        mask = F.pad(mask, (1, 0), value=True)
        return (x if self.intra is None else self.intra(x, mask)), mask


class IntraAttention(nn.Module):
    """Each place beside what its own text's attention gives it: x [B, T, H], mask [B, T] -> [B, T, 2 H]"""

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.query = hidden_layers(hidden, hidden, dropout)
        self.distances = nn.Parameter(torch.zeros(2 * FARTHEST + 3))  # beyond -10, -10 .. 10, beyond 10

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        places = torch.arange(x.shape[1], device=x.device)
        apart = (places[:, None] - places[None, :]).clamp(-FARTHEST - 1, FARTHEST + 1) + FARTHEST + 1
        q = self.query(x)
        weights = masked_softmax(q @ q.mT / x.shape[2] ** 0.5 + self.distances[apart], mask)
        return torch.cat([x, weights @ x], 2)


def same_words(first: Tensor, first_mask: Tensor, second: Tensor, second_mask: Tensor) -> Tensor:
    """[B, Ta, Tb] float: 1 where both words are there and have the same id."""
    both = first_mask[:, :, None] & second_mask[:, None, :]
    return ((first[:, :, None] == second[:, None, :]) & both).float()


def hidden_layers(width: int, hidden: int, dropout: float) -> nn.Sequential:
    """Two hidden layers with ReLU, dropout before each."""
    return nn.Sequential(
        Dropout(dropout),
        nn.Linear(width, hidden),
        nn.ReLU(),
        Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
    )
