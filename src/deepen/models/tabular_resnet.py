"""Residual perceptron with embeddings for table rows (Gorishniy, Rubachev, Khrulkov and Babenko 2021, section 3.2).

    x = W[0] features + b[0]
    x = x + dropout(B[i] dropout(relu(A[i] norm(x))))         for each block i
    output = W[n] relu(norm(x)) + b[n]

`norm` is batch normalization. The features are the numbers, and the categories one-hot or, where a column has many,
embedded (see nn/table.py). Any number of columns fits.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn.dropout import Dropout, StochasticDepth, dropped, skip_chances, skipped
from deepen.nn.init import start_linears
from deepen.nn.shapes import Paper, TableShape
from deepen.nn.staged import State, through
from deepen.nn.table import TableFeatures

CONTRACTS = ("table classifier", "table regressor")


@dataclass(frozen=True)
class Size:
    """Width of the residual stream, how many times wider a block is inside, and how many blocks there are."""

    width: int
    widening: int
    blocks: int


SIZES = {"tabular-resnet": Size(width=128, widening=2, blocks=3)}

# With 7 numbers and 3 outputs:  7*128 + 128  +  3 * (2*128 + 128*256 + 256 + 256*128 + 128)  +  2*128  +  128*3 + 3;
# multiply-adds:  7*128 + 3 * 2*128*256 + 128*3
PAPER = {"tabular-resnet": Paper(inputs=(7,), outputs=3, parameters=200_195, multiply_adds=197_888)}

RECIPE = {
    "epochs": 20,
    "batch_size": 256,
    "optimizer.kind": "adamw",
    "optimizer.learning_rate": 0.001,
    "optimizer.weight_decay": 0.02,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.05,
    "ema": 0.99,
}


@dataclass(frozen=True)
class Options:
    """Options of the residual perceptron."""

    dropout: float = field(
        default=0.2,
        metadata=dropped("a block's hidden units"),
    )
    residual_dropout: float = field(
        default=0.0,
        metadata=dropped("what a block adds", search="0..0.3"),
    )
    stochastic_depth: float = field(default=0.0, metadata=skipped())
    embedding: int = field(
        default=16,
        metadata={"help": "width of the embedding of columns with more than 16 categories; 0: all one-hot", "least": 0},
    )


def build(name: str, inputs: TableShape, outputs: int, options: Options = Options()) -> nn.Module:
    """The residual perceptron for rows of this shape."""
    return TabularResNet(SIZES[name], inputs, outputs, options)


class TabularResNet(nn.Module):
    """numbers [B, F], categories [B, G] -> outputs [B, K]"""

    def __init__(self, size: Size, inputs: TableShape, outputs: int, options: Options) -> None:
        super().__init__()
        self.features = TableFeatures(inputs, embedding=options.embedding)
        self.first = nn.Linear(self.features.width, size.width)
        chances = skip_chances(options.stochastic_depth, size.blocks)
        self.blocks = nn.Sequential(*(Block(size, options, chance) for chance in chances))
        self.norm = nn.BatchNorm1d(size.width)
        self.head = nn.Linear(size.width, outputs)
        start_linears(self)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        return through(self, numbers, categories)

    @property
    def num_stages(self) -> int:
        return len(self.blocks)

    def begin(self, numbers: Tensor, categories: Tensor) -> State:
        return (self.first(self.features(numbers, categories)),)  # [B, width]

    def stage(self, number: int, x: Tensor) -> State:
        return (self.blocks[number](x),)

    def summary(self, x: Tensor) -> Tensor:
        return x

    def finish(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.norm(x)))


class Block(nn.Module):
    """x [B, width] -> [B, width]"""

    def __init__(self, size: Size, options: Options, skip: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(size.width)
        self.wide = nn.Linear(size.width, size.width * size.widening)
        self.narrow = nn.Linear(size.width * size.widening, size.width)
        self.dropout = Dropout(options.dropout)
        self.residual_dropout = Dropout(options.residual_dropout)
        self.skip = StochasticDepth(skip)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.dropout(F.relu(self.wide(self.norm(x))))
        return x + self.skip(self.residual_dropout(self.narrow(hidden)))
