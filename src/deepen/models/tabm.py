"""TabM: many small perceptrons trained side by side on table rows, whose answers are averaged (Gorishniy et al. 2024).

    x     = numbers, their piecewise-linear codes, and the categories one-hot
    h_m   = dropout(relu(W_m1 x + b_m1)),  then  dropout(relu(W_m2 h_m + b_m2)),  ...      m = 1 .. M
    y_m   = V_m h_m + c_m + U x + d

This is the paper's "packed" variant: the M members share no hidden layer. They do share a linear map U x + d, which the
paper lacks: it took the RMSE of the logarithm of housing prices from 0.127 to 0.120.
While training the network returns every member's answer, [B, M, K], so that each member has a loss of its own; when
answering it returns [B, K], the mean of the members' probabilities as logarithms, or of their numbers.

The codes (Gorishniy et al. 2022, On Embeddings for Numerical Features): a number is cut at T - 1 edges, and code t is
how far it has come through part t, from 0 to 1. The paper takes the edges from the quantiles of each column; numbers
here come as standard normals (prepare/scaling.py), so their quantiles are those of the normal, and the same for all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepen.core.errors import OptionError
from deepen.nn.dropout import Dropout, dropped
from deepen.nn.members import MemberLinear
from deepen.nn.shapes import Paper, TableShape

CONTRACTS = ("table classifier", "table regressor")
FURTHEST = 4.0  # numbers are no further from 0 than this


@dataclass(frozen=True)
class Size:
    """How many members, how wide, how deep."""

    members: int
    width: int
    depth: int


SIZES = {"tabm": Size(members=8, width=64, depth=2)}

# D = 3 numbers + 3 * 8 codes = 27;  8 * ((27 * 64 + 64) + (64 * 64 + 64) + (64 * 1 + 1)) + 27 + 1, without the biases
# for the multiply-adds
PAPER = {"tabm": Paper(inputs=(3,), outputs=1, parameters=48_164, multiply_adds=47_131)}

RECIPE = {
    "epochs": 20,
    "batch_size": 256,
    "optimizer.kind": "adamw",
    "optimizer.learning_rate": 0.002,
    "optimizer.weight_decay": 0.1,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.05,
    "schedule.final": 0.0,
    "clip_norm": 1.0,
}


@dataclass(frozen=True)
class Options:
    """Options of TabM."""

    members: int | None = field(default=None, metadata={"help": "how many perceptrons; none given means 8", "least": 1})
    width: int | None = field(
        default=None,
        metadata={"help": "of each hidden layer; none given means 64", "least": 1, "search": "32..256:powers"},
    )
    depth: int | None = field(
        default=None, metadata={"help": "hidden layers; none given means 2", "least": 1, "search": "1..4"}
    )
    parts: int | None = field(
        default=None,
        metadata={"help": "piecewise-linear codes of each number; none given means 8 to 64, by rows", "least": 0},
    )
    dropout: float = field(default=0.1, metadata=dropped("hidden units"))


def build(name: str, inputs: TableShape, outputs: int, options: Options | None = None) -> nn.Module:
    """The members for rows of this shape. Raises OptionError for a size below 1."""
    options = options or Options()
    size = SIZES[name]
    members, width, depth = (
        getattr(size, part) if getattr(options, part) is None else getattr(options, part)
        for part in ("members", "width", "depth")
    )
    if min(members, width, depth) < 1:
        raise OptionError(f"{name}: members, width and depth must be at least 1, but are {(members, width, depth)!r}.")
    return TabM(inputs, outputs, Size(members, width, depth), parts=_parts(options, inputs), dropout=options.dropout)


def _parts(options: Options, inputs: TableShape) -> int:
    """As many codes as asked for, else one for every 400 rows, from 8 to 64.

    Housing prices (2,100 rows) do best with 8 (RMSE of the logarithm 0.120; with 32: 0.127), census incomes (23,000)
    with 64 (cross-entropy 0.290; with 8: 0.300).
    """
    return min(max(inputs.rows // 400, 8), 64) if options.parts is None else options.parts


class TabM(nn.Module):
    """numbers [B, F], categories [B, G] -> [B, M, K] while training, [B, K] when answering"""

    def __init__(self, inputs: TableShape, outputs: int, size: Size, *, parts: int, dropout: float) -> None:
        super().__init__()
        self.inputs = RowVector(inputs, parts)
        widths = [self.inputs.width, *[size.width] * size.depth]
        self.hidden = nn.ModuleList(
            MemberLinear(size.members, before, after, gain=2.0) for before, after in pairwise(widths)
        )
        self.output = MemberLinear(size.members, size.width, outputs, gain=0.1)
        self.straight = nn.Linear(self.inputs.width, outputs)
        self.dropout = Dropout(dropout)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        x = self.inputs(numbers, categories)
        h = x.expand(len(self.output.weight), *x.shape)  # [M, B, D]
        for layer in self.hidden:
            h = self._dropped(torch.relu(layer(h)))
        members = self.output(h).transpose(0, 1) + self.straight(x)[:, None]  # [B, M, K]
        return members if self.training else averaged(members)

    def _dropped(self, h: Tensor) -> Tensor:
        """Dropout draws by row, so the rows come first for it."""
        return self.dropout(h.transpose(0, 1)).transpose(0, 1)


class RowVector(nn.Module):
    """numbers [B, F], categories [B, G] -> [B, D]: the numbers, their codes, and the categories one-hot."""

    edges: Tensor

    def __init__(self, inputs: TableShape, parts: int) -> None:
        super().__init__()
        self.counts = inputs.categories
        self.width = inputs.numbers * (1 + parts) + sum(inputs.categories)
        inner = torch.special.ndtri(torch.linspace(0, 1, parts + 1, dtype=torch.float64)[1:-1]).float()
        edges = torch.cat([torch.tensor([-FURTHEST]), inner, torch.tensor([FURTHEST])]) if parts else torch.empty(0)
        self.register_buffer("edges", edges, persistent=False)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        columns = [numbers]
        if len(self.edges):
            start, length = self.edges[:-1], self.edges[1:] - self.edges[:-1]
            codes = ((numbers[:, :, None] - start) / length).clamp(0, 1)  # [B, F, T]
            columns.append(codes.flatten(1))
        columns += [F.one_hot(categories[:, g], count).to(numbers.dtype) for g, count in enumerate(self.counts)]
        return torch.cat(columns, dim=1)


def averaged(members: Tensor) -> Tensor:
    """The members' joint answer: of classes the logarithm of the mean probability, of one number the mean.

    members  [B, M, K]
    returns  [B, K]
    """
    if members.shape[2] == 1:
        return members.mean(dim=1)
    return torch.logsumexp(torch.log_softmax(members, dim=2), dim=1) - math.log(members.shape[1])
