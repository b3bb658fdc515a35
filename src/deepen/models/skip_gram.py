"""Word vectors from windows of text: skip-gram and CBOW (Mikolov et al. 2013), with subwords (Bojanowski et al. 2017).

    skip-gram          a word's vector tells each word around it
    cbow               the mean vector of the words around it tells a word
    ...-subword        a word's vector is the mean of its own row and those of its character n-grams, so that a word
                       that was never seen has one too (fastText)

What they are trained on, window by window, stands in `ops/word2vec.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from torch import Tensor, nn

from deepen.core import rng
from deepen.core.errors import OptionError
from deepen.nn.lane_tables import padded, put_back
from deepen.nn.shapes import Paper, TextShape
from deepen.nn.word_vectors import SubwordVectors, WordVectors
from deepen.ops import word2vec
from deepen.prepare.corpus_stream import CorpusStream
from deepen.prepare.subword_pieces import PieceOptions
from deepen.prepare.word_queries import Lexicon

CONTRACTS = ("word vectors",)


@dataclass(frozen=True)
class Size:
    """What is predicted from what, and whether words have pieces."""

    predicts: Literal["context", "word"]
    has_pieces: bool


SIZES = {
    "skip-gram": Size(predicts="context", has_pieces=False),
    "cbow": Size(predicts="word", has_pieces=False),
    "skip-gram-subword": Size(predicts="context", has_pieces=True),
    "cbow-subword": Size(predicts="word", has_pieces=True),
}

# two tables of 10,000 words by 100 numbers; pieces have no rows until words are known
PAPER = {name: Paper(inputs=(10_000,), outputs=100, parameters=2_000_000) for name in SIZES}

RECIPE = {
    "epochs": 5,
    "batch_size": 1,
    "optimizer.kind": "sgd",
    "optimizer.learning_rate": 0.025,
    "optimizer.momentum": 0.0,
    "optimizer.weight_decay": 0.0,
    "schedule.kind": "polynomial",
    "schedule.power": 1.0,
    "schedule.warm_up": 0.0,
    "schedule.final": 0.004,
}


@dataclass(frozen=True)
class Options:
    """Options of skip-gram and CBOW."""

    window: int = field(
        default=5, metadata={"help": "the largest distance of a neighbour; each window's is drawn up to it", "least": 1}
    )
    output: Literal["negative-sampling", "huffman"] = field(
        default="negative-sampling",
        metadata={"help": "against what a word is told: words of noise, or the inner nodes of a Huffman tree"},
    )
    negative: int = field(default=5, metadata={"help": "words of noise by word (negative-sampling)", "least": 1})
    sample: float = field(
        default=1e-3,
        metadata={
            "help": "words that make up more of the text than this are left out now and then; 0: never",
            "least": 0.0,
        },
    )
    shortest: int | None = field(
        default=None, metadata={"help": "letters of the shortest n-gram (models with subwords); default: 3", "least": 1}
    )
    longest: int | None = field(
        default=None, metadata={"help": "letters of the longest n-gram (models with subwords); default: 6", "least": 1}
    )
    buckets: int | None = field(
        default=None,
        metadata={"help": "values of the n-grams' hash (models with subwords); default: 2,000,000", "least": 1},
    )


def piece_options(name: str, options: Options) -> PieceOptions | None:
    """The n-grams of a model with subwords, None for the others. Raises OptionError where they are stated in vain."""
    given = {key: value for key in ("shortest", "longest", "buckets") if (value := getattr(options, key)) is not None}
    if SIZES[name].has_pieces:
        return PieceOptions(**given)
    if given:
        key = next(iter(given))
        raise OptionError(f"--network.{key} {given[key]}: only models with subwords read it, not {name}; leave it out.")
    return None


def build(name: str, shape: TextShape, outputs: int, options: Options | None = None) -> nn.Module:
    """Tables of `outputs` numbers for each word; `shape.characters` is the number of n-grams' rows beside them."""
    piece_options(name, options or Options())
    if SIZES[name].has_pieces:
        return SubwordVectors(shape.vocabulary, outputs, shape.characters)
    return WordVectors(shape.vocabulary, outputs)


def work(name: str, network: nn.Module, options: Options, lexicon: Lexicon, stream: CorpusStream, seed: int) -> Windows:
    """Training of the network: a block of text is a block of work."""
    assert isinstance(network, WordVectors | SubwordVectors)
    return Windows(network, Trainer(name, options, lexicon), stream, seed)


def measure(
    name: str, network: nn.Module, options: Options, lexicon: Lexicon
) -> Callable[[np.ndarray, np.ndarray, int], tuple[float, int]]:
    """(ids, starts, key) -> the summed loss of a block of text, with the draws of that key, and of how many."""
    assert isinstance(network, WordVectors | SubwordVectors)
    train = Trainer(name, options, lexicon)
    rows, contexts = padded(network.rows()), padded(network.contexts)
    return lambda ids, starts, key: train(ids, starts, rows, contexts, rates=(0.0, 0.0), key=key, loss_every=1)


class Trainer:
    """What trains two tables on a block by the way of a model."""

    def __init__(self, name: str, options: Options, lexicon: Lexicon) -> None:
        negative = options.negative if options.output == "negative-sampling" else 0
        self._how = word2vec.sampling(lexicon.counts, window=options.window, negative=negative, sample=options.sample)
        self._predicts, pieces = SIZES[name].predicts, lexicon.pieces
        self._is_plain = self._predicts == "context" and pieces is None
        whole = word2vec.Pieces.whole(len(lexicon.counts))
        self._pieces = whole if pieces is None else word2vec.Pieces(pieces.rows, pieces.starts)

    def __call__(
        self,
        ids: np.ndarray,
        starts: np.ndarray,
        rows: np.ndarray,
        contexts: np.ndarray,
        *,
        rates: tuple[float, float],
        key: int,
        loss_every: int = word2vec.LOSS_EVERY,
    ) -> tuple[float, int]:
        given = {"rates": rates, "key": key, "loss_every": loss_every}
        if self._is_plain:
            return word2vec.skip_gram_block(ids, starts, rows, contexts, self._how, **given)
        train = word2vec.skip_gram_subword_block if self._predicts == "context" else word2vec.cbow_block
        return train(ids, starts, rows, contexts, self._pieces, self._how, **given)


class Windows:
    """Skip-gram and CBOW as work in blocks (see `engine/asynchronous.BlockWork`)."""

    def __init__(self, network: WordVectors | SubwordVectors, train: Trainer, stream: CorpusStream, seed: int) -> None:
        self.network, self.num_blocks = network, stream.num_blocks
        self._train, self._stream, self._seed = train, stream, seed
        self._load()

    def train(self, epoch: int, block: int, rates: tuple[float, float]) -> tuple[float, int]:
        """One block of text; its draws follow from (seed, epoch, block)."""
        ids, starts = self._stream.block(block)
        key = rng.key(self._seed, "windows", epoch, block)
        return self._train(ids, starts, self._rows, self._contexts, rates=rates, key=key)

    def settle(self) -> None:
        """Puts the arrays into the network."""
        put_back(self._rows, self.network.rows())
        put_back(self._contexts, self.network.contexts)
        self.network.settle()

    def tensors(self) -> dict[str, Tensor]:
        """The network's."""
        return dict(self.network.state_dict())

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Puts the network's back."""
        self.network.load_state_dict(tensors)
        self._load()

    def _load(self) -> None:
        self._rows, self._contexts = padded(self.network.rows()), padded(self.network.contexts)
