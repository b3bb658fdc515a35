"""Multilayer perceptron: linear maps with ReLU between (Rumelhart, Hinton, Williams 1986; Nair and Hinton 2010).

    h[0] = x,    h[i + 1] = dropout(f(W[i] h[i] + b[i])),    logits = W[n] h[n] + b[n],    f = relu, sigmoid or tanh

On images x is the flattened image, on table rows the numbers followed by the categories (see nn/table.py). Any size
fits. Its hidden layers are a stack that `--pretrain` can train one by one.

With `--network.experts N` it is a mixture of N such perceptrons and a gate that chooses among them by x; of a top-1 or
top-2 gate only the chosen ones are computed (nn/experts.py). Such a network is no stack.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from deepen.core.errors import OptionError
from deepen.nn.dropout import Dropout, dropped
from deepen.nn.experts import BALANCE, BALANCING, GATE, TOP, Balancing, Experts, Gate
from deepen.nn.init import start, start_linears
from deepen.nn.shapes import ImageShape, Paper, TableShape
from deepen.nn.stack import Activation, LayerStack
from deepen.nn.staged import State, through
from deepen.nn.table import TableFeatures

CONTRACTS = ("image classifier", "table classifier", "table regressor")
PARTS = 3  # of a hidden layer: the linear map, the nonlinearity, dropout


@dataclass(frozen=True)
class Size:
    """The widths of the hidden layers where the options name none."""

    hidden: tuple[int, ...]


SIZES = {"mlp": Size(hidden=(256, 128))}

# 784 * 256 + 256  +  256 * 128 + 128  +  128 * 10 + 10; the first term of each is also its multiply-adds
PAPER = {"mlp": Paper(inputs=(1, 28, 28), outputs=10, parameters=235_146, multiply_adds=234_752)}

RECIPE = {
    "epochs": 20,
    "batch_size": 128,
    "optimizer.kind": "adamw",
    "optimizer.learning_rate": 0.001,
    "optimizer.weight_decay": 0.01,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.05,
    "schedule.final": 0.01,
}


@dataclass(frozen=True)
class Options:
    """Options of the perceptron."""

    hidden: tuple[int, ...] = field(
        default=(),
        metadata={
            "help": "widths of the hidden layers, in order; none named means 256 128",
            "search": "64;256;128,64;256,128;512,256;512,256,128",
        },
    )
    activation: Literal["relu", "sigmoid", "tanh"] = field(
        default="relu", metadata={"help": "the nonlinearity of the hidden layers"}
    )
    dropout: float = field(
        default=0.1,
        metadata=dropped("each hidden layer"),
    )
    embedding: int = field(
        default=16,
        metadata={
            "help": "width of the embedding of columns with more than 16 categories; 0: all one-hot",
            "least": 0,
        },
    )
    experts: int = field(
        default=0, metadata={"help": "perceptrons among which a gate chooses; 0: no mixture", "least": 0, "most": 256}
    )
    gate: Gate = field(default="top1", metadata=GATE)
    balance: float = field(default=0.01, metadata=BALANCE)
    balancing: Balancing = field(default="switch", metadata=BALANCING)


def build(name: str, inputs: ImageShape | TableShape, outputs: int, options: Options = Options()) -> nn.Module:
    """The perceptron for these inputs. Raises OptionError for a hidden width below 1."""
    hidden = options.hidden or SIZES[name].hidden
    if min(hidden) < 1:
        raise OptionError(
            f"hidden must be widths of at least 1, but is {hidden!r}; name one width for each hidden layer."
        )
    if options.experts:
        mixture = TableMixture if isinstance(inputs, TableShape) else ImageMixture
        return mixture(inputs, hidden, outputs, options)  # type: ignore[arg-type]
    if isinstance(inputs, TableShape):
        return TablePerceptron(inputs, hidden, outputs, options)
    return ImagePerceptron(inputs, hidden, outputs, options)


class Perceptron(nn.Module):
    """Hidden layers, each a stage, and one for the outputs: x [B, D] -> [B, K]"""

    layers: nn.Sequential
    activation: Activation

    def stack(self) -> LayerStack:
        """The hidden layers."""
        return LayerStack(_hidden_layers(self.layers), self.activation)

    @property
    def num_stages(self) -> int:
        return len(self.layers) // PARTS

    def stage(self, number: int, x: Tensor) -> State:
        for layer in list(self.layers)[PARTS * number : PARTS * (number + 1)]:
            x = layer(x)
        return (x,)

    def summary(self, x: Tensor) -> Tensor:
        return x

    def finish(self, x: Tensor) -> Tensor:
        return self.layers[-1](x)


class ImagePerceptron(Perceptron):
    """images [B, C, H, W] -> logits [B, K]"""

    def __init__(self, inputs: ImageShape, hidden: tuple[int, ...], outputs: int, options: Options) -> None:
        super().__init__()
        self.layers = _layers((inputs.num_values, *hidden), outputs, options)
        self.activation = options.activation

    def forward(self, images: Tensor) -> Tensor:
        return through(self, images)

    def begin(self, images: Tensor) -> State:
        return (torch.flatten(images, 1),)


class TablePerceptron(Perceptron):
    """numbers [B, F], categories [B, G] -> outputs [B, K]"""

    def __init__(self, inputs: TableShape, hidden: tuple[int, ...], outputs: int, options: Options) -> None:
        super().__init__()
        self.features = TableFeatures(inputs, embedding=options.embedding)
        self.layers = _layers((self.features.width, *hidden), outputs, options)
        self.activation = options.activation

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        return through(self, numbers, categories)

    def begin(self, numbers: Tensor, categories: Tensor) -> State:
        return (self.features(numbers, categories),)


class ImageMixture(nn.Module):
    """images [B, C, H, W] -> logits [B, K]"""

    def __init__(self, inputs: ImageShape, hidden: tuple[int, ...], outputs: int, options: Options) -> None:
        super().__init__()
        self.mixture = _mixture((inputs.num_values, *hidden, outputs), options)

    def forward(self, images: Tensor) -> Tensor:
        return self.mixture(torch.flatten(images, 1))


class TableMixture(nn.Module):
    """numbers [B, F], categories [B, G] -> outputs [B, K]"""

    def __init__(self, inputs: TableShape, hidden: tuple[int, ...], outputs: int, options: Options) -> None:
        super().__init__()
        self.features = TableFeatures(inputs, embedding=options.embedding)
        self.mixture = _mixture((self.features.width, *hidden, outputs), options)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        return self.mixture(self.features(numbers, categories))


def _mixture(widths: tuple[int, ...], options: Options) -> Experts:
    return Experts(
        widths,
        options.experts,
        top=TOP[options.gate],
        activation=options.activation,
        dropout=options.dropout,
        balance=options.balance,
        balancing=options.balancing,
    )


def _layers(widths: tuple[int, ...], outputs: int, options: Options) -> nn.Sequential:
    """Linear layers with the nonlinearity after each but the last; He's start for ReLU, Glorot and Bengio's else."""
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(widths):
        layers += [nn.Linear(width_in, width_out), _nonlinearity(options.activation), Dropout(options.dropout)]
    stack = nn.Sequential(*layers, nn.Linear(widths[-1], outputs))
    if options.activation == "relu":
        start_linears(stack)
    else:
        start(stack, "xavier-uniform")
    return stack


def _nonlinearity(activation: str) -> nn.Module:
    return {"relu": nn.ReLU(inplace=True), "sigmoid": nn.Sigmoid(), "tanh": nn.Tanh()}[activation]


def _hidden_layers(layers: nn.Sequential) -> tuple[nn.Linear, ...]:
    return tuple(layer for layer in layers if isinstance(layer, nn.Linear))[:-1]
