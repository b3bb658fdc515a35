"""Neural n-gram: the next word from the vectors of the n - 1 words before it (Bengio et al. 2003).

    x = [C(w[t-n+1]); ...; C(w[t-1])],    h = tanh(H x + d),    hidden = W x + U h + b

C is the embedding, W the direct connections from the vectors to the output (left out unless asked for), U the way
from the hidden layer to what the output layer reads. Before the beginning of a text stands a vector of zeros. The state
is the last n - 1 ids, each one more than it is and 0 where there is none, so that a long text can be read in parts.

Source: Bengio, Ducharme, Vincent and Jauvin, A Neural Probabilistic Language Model, 2003. There the output layer stands
directly on h and x; here both are first mapped to the width that the output layer reads, which is also that of the
vectors where the two share their weights (Press and Wolf 2017).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from deepen.nn.dropout import Dropout, dropped
from deepen.nn.shapes import Paper, TextShape

CONTRACTS = ("language model",)


@dataclass(frozen=True)
class Size:
    """n, and the width of the hidden layer, where the options name none (the paper's MLP 3 has n = 5 and h = 100)."""

    order: int
    hidden: int


SIZES = {"neural-ngram": Size(order=5, hidden=256)}

# vectors 23 * 32;  hidden 4 * 32 * 256 + 256;  to the output 256 * 32 + 32
PAPER = {"neural-ngram": Paper(inputs=(23,), outputs=32, parameters=736 + 33_024 + 8_224)}

RECIPE = {
    "epochs": 10,
    "batch_size": 64,
    "width": 128,
    "sequence_length": 32,
    "optimizer.kind": "adamw",
    "optimizer.learning_rate": 0.002,
    "optimizer.weight_decay": 0.01,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.02,
    "schedule.final": 0.01,
    "clip_norm": 1.0,
}


@dataclass(frozen=True)
class Options:
    """Options of the neural n-gram."""

    order: int | None = field(
        default=None, metadata={"help": "n: a word is answered from n - 1 before it; default: 5", "least": 2}
    )
    embedding_size: int | None = field(
        default=None,
        metadata={"help": "numbers in the vector of a word; default: what the output layer reads", "least": 1},
    )
    hidden_size: int | None = field(
        default=None, metadata={"help": "width of the hidden layer; default: 256", "least": 1, "search": "128,256,512"}
    )
    direct: bool = field(default=False, metadata={"help": "direct connections past the hidden layer"})
    dropout: float = field(
        default=0.1,
        metadata=dropped("the vectors and of the hidden layer"),
    )


def build(name: str, shape: TextShape, outputs: int, options: Options | None = None) -> nn.Module:
    """The network for this vocabulary; `outputs` is the width of its answers."""
    return NeuralNgram(shape.vocabulary, SIZES[name], outputs, options or Options())


class NeuralNgram(nn.Module):
    """ids [B, T] int64, state ([B, n - 1],) or None -> hidden [B, T, D], state"""

    def __init__(self, vocabulary: int, size: Size, width: int, options: Options) -> None:
        super().__init__()
        embedding_size = options.embedding_size or width
        hidden_size = options.hidden_size or size.hidden
        self.context = (options.order or size.order) - 1
        self.width = width
        self.embedding = nn.Embedding(vocabulary, embedding_size)
        nn.init.normal_(self.embedding.weight, std=embedding_size**-0.5)
        self.hidden = nn.Linear(self.context * embedding_size, hidden_size)
        self.projection = nn.Linear(hidden_size, width)
        self.direct = nn.Linear(self.context * embedding_size, width, bias=False) if options.direct else None
        self.dropout = Dropout(options.dropout)

    def initial_state(self, batch_size: int, device: torch.device) -> tuple[Tensor, ...]:
        """Nothing before the beginning: ([B, n - 1] int64,)"""
        return (torch.zeros(batch_size, self.context, dtype=torch.int64, device=device),)

    def forward(self, ids: Tensor, state: tuple[Tensor, ...] | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        if state is None:
            state = self.initial_state(ids.shape[0], ids.device)
        seen = torch.cat([state[0].long(), ids + 1], 1)  # [B, n - 1 + T]
        vectors = self.embedding((seen - 1).clamp(min=0)) * (seen > 0)[..., None]
        length = ids.shape[1]
        before = torch.stack([vectors[:, m : m + length] for m in range(1, self.context + 1)], 2)  # [B, T, n - 1, E]
        x = self.dropout(before.flatten(2))  # [B, T, (n - 1) E]
        hidden = self.projection(self.dropout(torch.tanh(self.hidden(x))))
        if self.direct is not None:
            hidden = hidden + self.direct(x)
        return hidden, (seen[:, -self.context :],)
