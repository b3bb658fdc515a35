"""TextCNN: convolutions over word vectors and the largest answer of each filter over the text (Kim 2014).

    c[i] = relu(w . x[i : i + h] + b)        for each filter of width h and each window i
    z    = max over i of c[i],    logits = W dropout(z) + b

Windows of 3, 4 and 5 words, 100 filters each. A text is padded by h - 1 zeros on both sides, so every window that
touches it counts, and one shorter than the windows has windows too; no window beyond counts, so a text's answer does
not depend on the texts beside it. A text without words has z = 0.

Variants of the paper: rand is this; static is `--embeddings FILE --freeze embedding`; non-static `--embeddings FILE`;
multichannel has two tables (`--network.multichannel`), of which one is fixed, and each filter gives the sum of its
answers on both. The limit of 3 on the norm of each unit's weights is the engine's `--max-norm`, in the recipe.

Source: Kim 2014, Convolutional Neural Networks for Sentence Classification, section 2; padding as in its code.
Differences: the norm limit holds for filters too, which seldom reach it, and the update is AdamW's, not Adadelta's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.core.errors import OptionError
from deepen.nn.dropout import Dropout, dropped
from deepen.nn.shapes import Paper, TextShape

CONTRACTS = ("text classifier",)


@dataclass(frozen=True)
class Size:
    """The width of word vectors, and how many filters each window has."""

    width: int
    filters: int


SIZES = {"textcnn": Size(width=300, filters=100)}

# With 1,000 words and 7 classes: 1,000 * 300  +  (3 + 4 + 5) * 300 * 100 + 3 * 100  +  300 * 7 + 7
PAPER = {"textcnn": Paper(inputs=(1000,), outputs=7, parameters=662_407)}

# Accuracies on held-out parts of training data. TREC (two fifths of train_5500.label, each from another partition): 10
# epochs 86.9 %; 7 epochs with an average of weights (ema 0.99) 85.7 %, that with word dropout 0.1 84.6 %. rt_polarity
# (validation part of the first of ten folds, 960 texts, so +- 1.3): 10 epochs 77.5 %, at a rate of 0.0005 78.4 %; 5
# epochs with ema 78.6 %, with smoothed labels 78.1 %, with 128 wide vectors 75.9 %, with embedding dropout 0.2 77.7 %;
# 15 epochs with word dropout 0.1 77.2 %. There the loss on validation is lowest after two or three epochs, on TREC it
# falls for five to ten: so 10 epochs, and patience stops what no longer learns.
RECIPE = {
    "epochs": 10,
    "patience": 2,
    "batch_size": 50,
    "optimizer.kind": "adamw",
    "optimizer.learning_rate": 0.001,
    "optimizer.weight_decay": 0.01,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.05,
    "max_norm": 3.0,
}


@dataclass(frozen=True)
class Options:
    """Options of TextCNN."""

    width: int | None = field(
        default=None, metadata={"help": "width of word vectors; default: 300", "least": 1, "search": "64..300"}
    )
    windows: tuple[int, ...] = field(default=(3, 4, 5), metadata={"help": "how many words a filter sees", "least": 1})
    filters: int | None = field(
        default=None, metadata={"help": "filters of each window; default: 100", "least": 1, "search": "50..200"}
    )
    multichannel: bool = field(
        default=False, metadata={"help": "two tables of word vectors, one of them fixed; for --embeddings"}
    )
    dropout: float = field(
        default=0.5,
        metadata=dropped("the filters' answers", search="0..0.7"),
    )
    embedding_dropout: float = field(
        default=0.0,
        metadata=dropped("the word vectors"),
    )


def build(name: str, shape: TextShape, outputs: int, options: Options | None = None) -> nn.Module:
    """The network for texts over this vocabulary. Raises OptionError where no window is named."""
    options = options or Options()
    if not options.windows:
        raise OptionError(f"windows must name a width for each kind of filter, but is {options.windows!r}; try 3 4 5.")
    return TextCNN(SIZES[name], shape, outputs, options)


class TextCNN(nn.Module):
    """ids [B, T] int64, mask [B, T] bool -> logits [B, K]"""

    def __init__(self, size: Size, shape: TextShape, outputs: int, options: Options) -> None:
        super().__init__()
        width, filters = options.width or size.width, options.filters or size.filters
        self.embedding = nn.Embedding(shape.vocabulary, width)
        self.fixed_embedding = nn.Embedding(shape.vocabulary, width) if options.multichannel else None
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, filters, window, padding=window - 1) for window in options.windows
        )
        self.embedding_dropout = Dropout(options.embedding_dropout)
        self.dropout = Dropout(options.dropout)
        self.linear = nn.Linear(filters * len(options.windows), outputs)
        nn.init.uniform_(self.embedding.weight, -0.25, 0.25)  # the paper's range for words without vectors
        if self.fixed_embedding is not None:
            self.fixed_embedding.weight.requires_grad_(False).copy_(self.embedding.weight.detach())

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = self.embedding(ids)  # [B, T, D]
        if self.fixed_embedding is not None:
            x = x + self.fixed_embedding(ids)  # the sum of a filter's answers on both is its answer on their sum
        x = (self.embedding_dropout(x) * mask[:, :, None]).transpose(1, 2)  # [B, D, T]
        largest = [largest_answer(F.relu(convolution(x)), mask) for convolution in self.convolutions]
        # stacked, not joined: OpenVINO 2026 rounds what a graph quantizes behind joined maxima to whole numbers
        return self.linear(self.dropout(torch.stack(largest, 1).flatten(1)))


def largest_answer(answers: Tensor, mask: Tensor) -> Tensor:
    """The largest answer of each filter over the windows that touch the text; 0 where there is none.

    answers  [B, F, T + h - 1], not below 0: window i ends at word i
    mask     [B, T] bool, true up to the end of each text
    returns  [B, F]
    """
    beyond = answers.shape[2] - mask.shape[1]  # h - 1: as many windows begin within a text and end behind it
    length = mask.sum(1)[:, None]  # [B, 1]
    places = torch.arange(answers.shape[2], device=answers.device)
    touches = (places < length + beyond) & (length > 0)  # [B, T + h - 1]
    return (answers * touches[:, None]).amax(2)
