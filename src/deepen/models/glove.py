"""GloVe: word vectors whose products are the logarithms of how often words stand near each other (Pennington 2014).

How pairs are counted and trained on stands in `ops/glove.py`. A word's vector is the sum of its two, as in the paper.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from deepen.core import rng
from deepen.nn.lane_tables import padded, put_back
from deepen.nn.shapes import Paper, TextShape
from deepen.nn.word_vectors import PairVectors
from deepen.ops import glove
from deepen.prepare.corpus_stream import CorpusStream
from deepen.prepare.word_queries import Lexicon

CONTRACTS = ("word vectors",)
PAIRS_PER_BLOCK = 1 << 16
FEWEST_BLOCKS = 8
_SQUARES = "squares."  # what their sums are called in a checkpoint
_TABLES = {  # of PairVectors, in the words of `glove.Tables`: values, and sums of squares
    "centres": ("vectors", "vector_squares"),
    "contexts": ("contexts", "context_squares"),
    "centre_biases": ("vector_biases", "vector_bias_squares"),
    "context_biases": ("context_biases", "context_bias_squares"),
}


@dataclass(frozen=True)
class Size:
    """There is only one."""


SIZES = {"glove": Size()}

# two tables of 10,000 words by 100 numbers, and a bias for each row
PAPER = {"glove": Paper(inputs=(10_000,), outputs=100, parameters=2_020_000)}

RECIPE = {
    "epochs": 25,
    "batch_size": 1,
    "optimizer.kind": "adagrad",
    "optimizer.learning_rate": 0.05,
    "optimizer.weight_decay": 0.0,
    "schedule.kind": "constant",
    "schedule.warm_up": 0.0,
}


@dataclass(frozen=True)
class Options:
    """Options of GloVe."""

    window: int = field(default=10, metadata={"help": "the largest distance at which words are near", "least": 1})
    most: float = field(
        default=100.0, metadata={"help": "the count from which on a pair counts in full (x_max)", "above": 0.0}
    )
    power: float = field(
        default=0.75, metadata={"help": "of the weight of rarer pairs, (count / most)^power", "least": 0.0}
    )


def piece_options(name: str, options: Options) -> None:
    """GloVe's words have no pieces."""


def build(name: str, shape: TextShape, outputs: int, options: Options | None = None) -> nn.Module:
    """Tables of `outputs` numbers for each word."""
    return PairVectors(shape.vocabulary, outputs)


def work(name: str, network: nn.Module, options: Options, lexicon: Lexicon, stream: CorpusStream, seed: int) -> Pairs:
    """Training of the network: all text is counted first, and some of the pairs are a block of work."""
    assert isinstance(network, PairVectors)
    return Pairs(network, options, _counted(stream, len(lexicon.counts), options.window), seed)


def measure(
    name: str, network: nn.Module, options: Options, lexicon: Lexicon
) -> Callable[[np.ndarray, np.ndarray, int], tuple[float, int]]:
    """(ids, starts, key) -> the summed loss of the pairs of a block of text, counted by itself, and of how many."""
    assert isinstance(network, PairVectors)
    tables = _tables(network, None)

    def loss(ids: np.ndarray, starts: np.ndarray, key: int) -> tuple[float, int]:
        counting = glove.Counting(len(lexicon.counts), options.window)
        counting.add(ids, starts)
        pairs = counting.result()
        return _train(options, pairs, slice(None), tables, (0.0, 0.0)), len(pairs)

    return loss


class Pairs:
    """GloVe as work in blocks (see `engine/asynchronous.BlockWork`): pairs in a random order, the same each epoch."""

    def __init__(self, network: PairVectors, options: Options, pairs: glove.Cooccurrence, seed: int) -> None:
        self.network, self._options = network, options
        order = rng.generator(seed, "pairs").permutation(len(pairs))
        self._pairs = glove.Cooccurrence(pairs.rows[order], pairs.columns[order], pairs.weights[order])
        self._size = max(1, min(PAIRS_PER_BLOCK, -(-len(pairs) // FEWEST_BLOCKS)))
        self.num_blocks = max(1, -(-len(pairs) // self._size))
        self._squares = {name: torch.ones_like(p) for name, p in network.named_parameters()}
        self._load()

    def train(self, epoch: int, block: int, rates: tuple[float, float]) -> tuple[float, int]:
        """The pairs of one block in their order; there is nothing to draw."""
        part = slice(block * self._size, (block + 1) * self._size)
        loss = _train(self._options, self._pairs, part, self._arrays, rates)
        return loss, len(self._pairs.weights[part])

    def settle(self) -> None:
        """Puts the arrays into the network."""
        arrays = vars(self._arrays)
        for name, parameter in self.network.named_parameters():
            put_back(arrays[_TABLES[name][0]], parameter)
            put_back(arrays[_TABLES[name][1]], self._squares[name])
        self.network.settle()

    def tensors(self) -> dict[str, Tensor]:
        """The network's, and AdaGrad's sums."""
        return {**self.network.state_dict(), **{f"{_SQUARES}{name}": each for name, each in self._squares.items()}}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Puts both back."""
        self.network.load_state_dict({n: each for n, each in tensors.items() if not n.startswith(_SQUARES)})
        self._squares = {name: tensors[f"{_SQUARES}{name}"].clone() for name in self._squares}
        self._load()

    def _load(self) -> None:
        self._arrays = _tables(self.network, self._squares)


def _counted(stream: CorpusStream, num_words: int, window: int) -> glove.Cooccurrence:
    counting = glove.Counting(num_words, window)
    for block in range(stream.num_blocks):
        counting.add(*stream.block(block))
    return counting.result()


def _train(
    options: Options, pairs: glove.Cooccurrence, part: slice, tables: glove.Tables, rates: tuple[float, float]
) -> float:
    cut = pairs.rows[part], pairs.columns[part], pairs.weights[part]
    return glove.train_pairs(*cut, tables, rates=rates, most=options.most, power=options.power)


def _tables(network: PairVectors, squares: dict[str, Tensor] | None) -> glove.Tables:
    """The network's tables as arrays; without sums of squares for measuring alone, which reads none."""
    made = {}
    for name, parameter in network.named_parameters():
        values, sums = _TABLES[name]
        made[values] = padded(parameter)
        made[sums] = made[values] if squares is None else padded(squares[name], fill=1.0)
    return glove.Tables(**made)
