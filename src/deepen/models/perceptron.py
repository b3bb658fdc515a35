"""The perceptron: one layer of threshold units and the rule that corrects it after each mistake (Rosenblatt 1958).

    z = W x + b,    the answer is the class k with the largest z[k]
    after a mistake, where k was answered and y is right:    W[y] += r x,  b[y] += r,  W[k] -= r x,  b[k] -= r

With two classes W[1] - W[0] learns by the original rule, w += r (t - o) x; with more this is the perceptron of Kesler's
construction. The units say all or nothing, so the output is CERTAIN at the class that is answered and 0 at the others,
and its derivative is taken to be 1 ("straight through"), because the rule too passes over the step. Then the gradient
of the cross-entropy by z is exactly

    d loss / d z  =  softmax(output) - onehot(y)  =  onehot(k) - onehot(y)

which is the rule, and zero where the answer is right. So the perceptron is trained here by the loss of the tasks and
plain gradient descent: the rate is r, a batch adds up the corrections of its mistakes and divides by its size, and
--batch-size 1 is Rosenblatt's own order. The training loss is CERTAIN times the share of mistakes, and every answer has
probability 1: a perceptron does not say how sure it is.

It finds a line between two classes where there is one, after at most (R / g)^2 mistakes (R the longest x, g the margin;
Novikoff 1962), and goes on for ever where there is none: docs/perceptron.md shows it on XOR. Any size fits.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.core.errors import OptionError
from deepen.nn.shapes import ImageShape, Paper, TableShape
from deepen.nn.table import TableFeatures

CONTRACTS = ("image classifier", "table classifier")

CERTAIN = 128.0  # exp(-128) is 0 in 32 bits, so the softmax of an output is one-hot without a rest


@dataclass(frozen=True)
class Size:
    """There is only one."""


SIZES = {"perceptron": Size()}

# 784 * 10 weights and 10 thresholds
PAPER = {"perceptron": Paper(inputs=(1, 28, 28), outputs=10, parameters=7_850, multiply_adds=7_840)}

RECIPE = {
    "epochs": 20,
    "batch_size": 16,
    "optimizer.kind": "sgd",
    "optimizer.learning_rate": 1.0,
    "optimizer.momentum": 0.0,
    "optimizer.nesterov": False,
    "optimizer.weight_decay": 0.0,
    "schedule.kind": "constant",
    "schedule.warm_up": 0.0,
}


@dataclass(frozen=True)
class Options:
    """Options of the perceptron."""

    embedding: int = field(
        default=0,
        metadata={
            "help": "width of the embedding of columns with many categories; 0: a weight per category",
            "least": 0,
        },
    )


def build(name: str, inputs: ImageShape | TableShape, outputs: int, options: Options = Options()) -> nn.Module:
    """The perceptron for these inputs, starting at zero. Raises OptionError for one output, which is no class."""
    if outputs < 2:
        raise OptionError(
            f"--model {name}: its answer is one of several classes, but {outputs} number is wanted; "
            "choose linear-regression or mlp."
        )
    if isinstance(inputs, TableShape):
        return TablePerceptron(inputs, outputs, options)
    return ImagePerceptron(inputs, outputs)


class ImagePerceptron(nn.Module):
    """images [B, C, H, W] -> outputs [B, K]"""

    def __init__(self, inputs: ImageShape, outputs: int) -> None:
        super().__init__()
        self.output = _zero_linear(inputs.num_values, outputs)

    def forward(self, images: Tensor) -> Tensor:
        return decided(self.output(torch.flatten(images, 1)))


class TablePerceptron(nn.Module):
    """numbers [B, F], categories [B, G] -> outputs [B, K]"""

    def __init__(self, inputs: TableShape, outputs: int, options: Options) -> None:
        super().__init__()
        self.features = TableFeatures(inputs, embedding=options.embedding)
        self.output = _zero_linear(self.features.width, outputs)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        return decided(self.output(self.features(numbers, categories)))


def decided(z: Tensor) -> Tensor:
    """CERTAIN at the largest z of each row, 0 elsewhere; the derivative is 1.   [B, K] -> [B, K]

    >>> decided(torch.tensor([[0.5, 3.0, -1.0]])).tolist()
    [[0.0, 128.0, 0.0]]
    """
    answer = CERTAIN * F.one_hot(z.detach().argmax(1), z.shape[1]).to(z.dtype)
    return answer + (z - z.detach()) if z.requires_grad else answer


def _zero_linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
