"""fastText's classifier: the mean of word vectors and hashed n-gram vectors, then one linear layer (Joulin 2017).

    h = (sum over words of e[w] + sum over n-grams of g[hash(n-gram) mod buckets]) / (number of words and n-grams)
    logits = W h + b

An n-gram is 2 to `--network.ngrams` consecutive ids. Its number is computed from the ids within the network,

    k = ids[t],    k = k * 116049371 + ids[t + j]  (mod 2^63)  for j = 1 .. n - 1,    scrambled (see `bucket_of`)

so that inputs and vocabulary are those of every other text classifier. Two n-grams may share a bucket; with as many
buckets as n-grams about a third share one with another. A text without ids has h = 0.

Source: Joulin, Grave, Bojanowski and Mikolov 2017, Bag of Tricks for Efficient Text Classification, section 2.
Differences: ids stand for the words' own hashes, buckets are as many as the vocabulary suggests (`Options.buckets`),
all classes are scored by one softmax (no tree), and the network is trained in batches by the engine's optimizers.
These take dense gradients: with 131,072 buckets of 16 numbers a step is 5.5 ms on one core, with sparse ones 2.6 ms.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn.dropout import Dropout, dropped
from deepen.nn.shapes import Paper, TextShape

CONTRACTS = ("text classifier",)
MULTIPLIER = 116_049_371
FIRST_MIXER = -4658895280553007687  # 0xBF58476D1CE4E5B9 as a signed 64-bit number
SECOND_MIXER = -7723592293110705685  # 0x94D049BB133111EB
BUCKETS_PER_WORD = 4
LEAST_BUCKETS = 1 << 12
MOST_BUCKETS = 1 << 18


@dataclass(frozen=True)
class Size:
    """The width of a word's vector."""

    width: int


SIZES = {"fasttext": Size(width=16)}

# With 1,000 words and 7 classes: 1,000 * 16 word vectors  +  4,096 * 16 of the buckets  +  16 * 7 + 7
PAPER = {"fasttext": Paper(inputs=(1000,), outputs=7, parameters=81_655)}

# Accuracies on validation. rt_polarity (first of ten folds, 960 texts, so +- 1.4): dropout 0.3 and word dropout 0.2 at
# a rate of 0.005 76.9 %, dropout alone 76.4 %, neither 75.3 %. THUCNews titles by characters: width 16 and bigrams
# 84.1 %, width 64 83.4 %, trigrams 81.3 %. As it stands here, TREC has 83.6 %, AG News 85.8 % (86.7 % in lower case);
# this rate and this share of dropped words were not compared with others there.
RECIPE = {
    "epochs": 12,
    "batch_size": 64,
    "word_dropout": 0.1,
    "optimizer.kind": "adamw",
    "optimizer.learning_rate": 0.01,
    "optimizer.weight_decay": 0.0,
    "schedule.kind": "polynomial",
    "schedule.power": 1.0,
    "schedule.warm_up": 0.0,
}


@dataclass(frozen=True)
class Options:
    """Options of fastText's classifier."""

    width: int | None = field(
        default=None, metadata={"help": "width of the vectors; default: 16", "least": 1, "search": "10..100"}
    )
    ngrams: int = field(
        default=2,
        metadata={"help": "longest n-gram that has a vector; 1: words alone", "least": 1, "most": 8, "search": "1..3"},
    )
    buckets: int | None = field(
        default=None,
        metadata={
            "help": "vectors that all n-grams share; default: 4 a word as a power of two, 4,096 to 262,144",
            "least": 1,
        },
    )
    dropout: float = field(
        default=0.3,
        metadata=dropped("the mean vector"),
    )


def build(name: str, shape: TextShape, outputs: int, options: Options | None = None) -> nn.Module:
    """The classifier for texts over this vocabulary."""
    return FastText(SIZES[name], shape, outputs, options or Options())


class FastText(nn.Module):
    """ids [B, T] int64, mask [B, T] bool -> logits [B, K]"""

    def __init__(self, size: Size, shape: TextShape, outputs: int, options: Options) -> None:
        super().__init__()
        width = options.width or size.width
        self.num_ngrams = options.ngrams
        self.embedding = nn.Embedding(shape.vocabulary, width)
        self.ngrams = nn.Embedding(num_buckets(shape, options), width) if options.ngrams > 1 else None
        self.dropout = Dropout(options.dropout)
        self.linear = nn.Linear(width, outputs)
        for table in (self.embedding, self.ngrams):
            if table is not None:
                nn.init.uniform_(table.weight, -1 / width, 1 / width)  # as fastText does, and zeros for the layer
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        total = torch.einsum("btd,bt->bd", self.embedding(ids), mask.to(self.embedding.weight.dtype))
        count = mask.sum(1)
        if self.ngrams is not None and ids.shape[1] > 1:
            numbers, inside = ngram_buckets(ids, mask, self.num_ngrams, self.ngrams.num_embeddings)
            weights = inside.to(self.ngrams.weight.dtype)  # which autocast leaves alone, as it does not `total`
            total = total + F.embedding_bag(numbers, self.ngrams.weight, mode="sum", per_sample_weights=weights)
            count = count + inside.sum(1)
        return self.linear(self.dropout(total / count.clamp(min=1)[:, None]))


def num_buckets(shape: TextShape, options: Options) -> int:
    """The buckets asked for, else a power of two that grows with the vocabulary."""
    if options.buckets is not None:
        return options.buckets
    wanted = 1 << max(1, BUCKETS_PER_WORD * shape.vocabulary - 1).bit_length()
    return min(MOST_BUCKETS, max(LEAST_BUCKETS, wanted))


def ngram_buckets(ids: Tensor, mask: Tensor, longest: int, buckets: int) -> tuple[Tensor, Tensor]:
    """The buckets of all n-grams of 2 to `longest` ids, and which of them lie within their text: both [B, M]."""
    key, inside = ids, mask
    numbers, places = [], []
    for step in range(1, min(longest, ids.shape[1])):
        key = key[:, :-1] * MULTIPLIER + ids[:, step:]  # wraps at 64 bits
        inside = inside[:, :-1] & mask[:, step:]
        numbers.append(bucket_of(key, buckets))
        places.append(inside)
    return torch.cat(numbers, 1), torch.cat(places, 1)


def bucket_of(keys: Tensor, buckets: int) -> Tensor:
    """Each key's bucket, in [0, buckets), the keys mixed so that near ids spread evenly (SplitMix64's finalizer)."""
    mixed = (keys ^ ((keys >> 30) & 0x3FFFFFFFF)) * FIRST_MIXER
    mixed = (mixed ^ ((mixed >> 27) & 0x1FFFFFFFFF)) * SECOND_MIXER
    return ((mixed >> 31) & 0x1FFFFFFFF) % buckets
