"""Recurrent language model: what comes next, from a state that holds all that came before (RNN, GRU, LSTM).

    x[t] = E[w[t]],    h[l, t], c[l, t] = cell(h[l - 1, t], h[l, t - 1], c[l, t - 1]),    hidden[t] = P h[L, t]

E is the embedding, P a linear map where the network's hidden size is not the width that the output layer reads, else
nothing. What is dropped in training: vectors of x, what goes from layer to layer, and the last layer's h; with
`variational` the same numbers at all places of a row, with `word_dropout` whole words of a row, all their occurrences
together, and with `recurrent_dropout` what goes from step to step.

Sources: Mikolov et al. 2010, Recurrent neural network based language model (rnn); Cho et al. 2014 (gru); Hochreiter and
Schmidhuber 1997 (lstm); Zaremba, Sutskever and Vinyals 2014 (dropout that leaves the state alone); Gal and Ghahramani
2016 (variational); Merity, Keskar and Socher 2018, section 4 (which parts are dropped, and by which masks).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from deepen.nn.dropout import Dropout, dropped, row_uniform
from deepen.nn.recurrent import Recurrent, VariationalDropout
from deepen.nn.recurrent_cells import Kind
from deepen.nn.shapes import Paper, TextShape

CONTRACTS = ("language model",)


@dataclass(frozen=True)
class Size:
    """The cell, and hidden size and layers where the options name none."""

    kind: Kind
    hidden: int
    layers: int


SIZES = {
    "rnn": Size("rnn", hidden=256, layers=1),
    "gru": Size("gru", hidden=256, layers=1),
    "lstm": Size("lstm", hidden=400, layers=1),
}

# vectors 23 * 32; a cell has, of each of its g gates, weights on 32 inputs and on h, and two biases: g H (32 + H + 2);
# the projection of H to 32 has H * 32 + 32.  g = 1 (rnn), 3 (gru), 4 (lstm)
PAPER = {
    "rnn": Paper(inputs=(23,), outputs=32, parameters=736 + 256 * (32 + 256 + 2) + 8_224),
    "gru": Paper(inputs=(23,), outputs=32, parameters=736 + 3 * 256 * (32 + 256 + 2) + 8_224),
    "lstm": Paper(inputs=(23,), outputs=32, parameters=736 + 4 * 400 * (32 + 400 + 2) + 12_832),
}

# Measured on WikiText-2 by words (33,278 of them, 2.09 million tokens), LSTM of 256, one thread of a busy machine,
# seed 0, by seconds of processor time. Tokens a second: full softmax 700, adaptive 3,700 with 32 windows a step and
# 5,400 with 64 (Adam goes over 9 million weights in each step, so 64 are a step), class 7,000, sampled 6,100.
# Evaluation of a token takes 506 microseconds over all words, as kinds that draw words need, and 14 by classes.
# Perplexity on the beginning of the validation text after 100 s, learning rate 0.003, each on its own cosine: class 308
# (0.62 million tokens read, weights of its own), sampled 430 (0.61, tied), adaptive 469 (0.38, tied), with clusters
# from 2,000 and 10,000 on 511. After 220 s at 0.004: class 200, sampled with 1,000 words drawn 323. Less than an epoch
# each, so they say how fast learning begins, not where it ends.
# A processor that multiplies in bfloat16 (AVX-512) reads 9,500 tokens a second with adaptive softmax and two threads in
# bf16, 6,100 in fp32; in seven minutes of one thread that ends at a test perplexity of 165.7, the class-based layer in
# fp32 at 169.4. An hour of two threads with --network.hidden-size 512, --width 320, dropout 0.4 and bf16 gives 98.6.
RECIPE = {
    "epochs": 14,
    "batch_size": 64,
    "width": 256,
    "sequence_length": 35,
    "optimizer.kind": "adam",
    "optimizer.learning_rate": 0.003,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.02,
    "schedule.final": 0.01,
    "clip_norm": 0.25,
}


@dataclass(frozen=True)
class Options:
    """Options of the recurrent language models."""

    layers: int | None = field(default=None, metadata={"help": "recurrent layers; default: 1", "least": 1})
    hidden_size: int | None = field(
        default=None,
        metadata={
            "help": "width of the state; default: 256, of lstm 400",
            "least": 1,
            "search": "200,400,650",
        },
    )
    embedding_size: int | None = field(
        default=None,
        metadata={"help": "numbers in the vector of a token; default: what the output layer reads", "least": 1},
    )
    dropout: float = field(
        default=0.3,
        metadata=dropped("inputs, of what goes between layers and of the last layer", search="0..0.6"),
    )
    variational: bool = field(
        default=False, metadata={"help": "drop the same numbers at all places of a row (Gal and Ghahramani)"}
    )
    word_dropout: float = field(
        default=0.0,
        metadata={
            "help": "fraction of the words of a row whose vectors are dropped, everywhere they stand in it",
            "least": 0.0,
            "below": 1.0,
            "search": "0..0.2",
        },
    )
    recurrent_dropout: float = field(
        default=0.0,
        metadata={
            "help": "fraction of the state that is dropped on its way from step to step, the same in all steps; slower",
            "least": 0.0,
            "below": 1.0,
            "search": "0..0.5",
        },
    )


def build(name: str, shape: TextShape, outputs: int, options: Options | None = None) -> nn.Module:
    """The network for this vocabulary; `outputs` is the width of its answers."""
    return RecurrentLanguageModel(shape.vocabulary, SIZES[name], outputs, options or Options())


class RecurrentLanguageModel(nn.Module):
    """ids [B, T] int64, state or None -> hidden [B, T, D], state; a state is (h [B, L, H],), of an LSTM (h, c)."""

    def __init__(self, vocabulary: int, size: Size, width: int, options: Options) -> None:
        super().__init__()
        embedding_size = options.embedding_size or width
        hidden_size = options.hidden_size or size.hidden
        drop = VariationalDropout if options.variational else Dropout
        self.width = width
        self.word_dropout = options.word_dropout
        self.embedding = nn.Embedding(vocabulary, embedding_size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.input_dropout = drop(options.dropout)
        self.recurrent = Recurrent(
            size.kind,
            embedding_size,
            hidden_size,
            options.layers or size.layers,
            dropout=options.dropout,
            variational=options.variational,
            recurrent_dropout=options.recurrent_dropout,
            forget_bias=1.0 if size.kind == "lstm" else None,
        )
        self.output_dropout = drop(options.dropout)
        self.projection = nn.Linear(hidden_size, width) if hidden_size != width else None

    def initial_state(self, batch_size: int, device: torch.device) -> tuple[Tensor, ...]:
        """Zeros, each [B, L, H]."""
        return self.recurrent.initial_state(batch_size, device)

    def forward(self, ids: Tensor, state: tuple[Tensor, ...] | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        x = self.embedding(ids)  # [B, T, E]
        if self.training and self.word_dropout > 0:
            x = x * word_mask(ids, self.word_dropout)[..., None]
        hidden, after = self.recurrent(self.input_dropout(x), None, state)
        hidden = self.output_dropout(hidden)
        return (hidden if self.projection is None else self.projection(hidden)), after


def word_mask(ids: Tensor, p: float) -> Tensor:
    """[B, T] of 0 with probability p, else 1 / (1 - p): one draw for each different id of a row.

    ids  [B, T] int64

    Source: Gal and Ghahramani 2016, section 4 (word types are dropped, not places).
    """
    first = (ids[:, :, None] == ids[:, None, :]).int().argmax(2)  # [B, T]: where the id stands first in its row
    draws = row_uniform(ids.shape[0], ids.shape[1], ids.device).gather(1, first)
    return (draws >= p).float() / (1 - p)
