"""k-means: K centres, each sample belonging to the nearest, so that the squared distances are small.

    loss = 1/2 sum_n min_k |x_n - c_k|^2

The centres are the weights. Before the first step they are put where Lloyd's algorithm ends (Lloyd 1957, published
1982), at the best of several starts of k-means++ (Arthur and Vassilvitskii 2007); the recipe's learning rate is then 0,
and the pass over the data measures the loss. With `--network.start k-means++` or `random` and a learning rate above 0
the centres are learned by gradient steps on batches instead, which is online k-means (Bottou and Bengio 1995), for data
that Lloyd's passes are too slow for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from deepen.core import rng
from deepen.nn.shapes import Paper, TableShape
from deepen.ops.lloyd import best_partition, seeded_centres, squared_distances

CONTRACTS = ("vector clusterer",)


@dataclass(frozen=True)
class Size:
    """There is only one."""


SIZES = {"k-means": Size()}

PAPER = {"k-means": Paper(inputs=(64,), outputs=10, parameters=640)}  # ten centres among the digits of 8x8 pixels

RECIPE = {
    "epochs": 1,
    "batch_size": 500,
    "optimizer.kind": "sgd",
    "optimizer.learning_rate": 0.0,
    "optimizer.momentum": 0.0,
    "optimizer.weight_decay": 0.0,
    "schedule.kind": "constant",
    "schedule.warm_up": 0.0,
}


@dataclass(frozen=True)
class Options:
    """Options of k-means."""

    start: Literal["lloyd", "k-means++", "random"] = field(
        default="lloyd",
        metadata={
            "help": "where training finds the centres: where Lloyd's algorithm ends, or samples far apart, or any"
        },
    )
    starts: int = field(
        default=10, metadata={"help": "starts of Lloyd's algorithm, of which the best counts", "least": 1}
    )


def build(name: str, inputs: TableShape, outputs: int, options: Options = Options()) -> nn.Module:
    """`outputs` centres among vectors of `inputs.numbers`, before they have seen data."""
    return KMeans(inputs.numbers, outputs, options)


class KMeans(nn.Module):
    """vectors [B, D] -> squared distances [B, K]"""

    def __init__(self, width: int, num_clusters: int, options: Options) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(num_clusters, width))
        self.options = options

    @torch.no_grad()
    def start(self, batches: Iterable[Tensor], seed: int, weights: Tensor | None = None) -> None:
        """Takes the centres from all training vectors, each batch [B, D], as the options say.

        weights  [N] of the vectors, None for 1 each; centres at random are any vectors, whatever they weigh
        """
        vectors = torch.cat([batch.double().cpu() for batch in batches])
        weights = None if weights is None else weights.double().cpu()
        count, draw = len(self.centres), rng.generator(seed, "k-means")
        if self.options.start == "lloyd":
            centres = best_partition(vectors, count, draw, starts=self.options.starts, weights=weights).centres
        elif self.options.start == "k-means++":
            centres = seeded_centres(vectors, count, draw, weights)
        else:
            centres = vectors[torch.from_numpy(draw.permutation(len(vectors))[:count])]
        self.centres[: len(centres)].copy_(centres)

    def forward(self, vectors: Tensor) -> Tensor:
        return squared_distances(vectors, self.centres)

    def loss(self, vectors: Tensor) -> Tensor:
        """Half the squared distance to the nearest centre, [B]; its gradient moves that centre towards the vector."""
        with torch.no_grad():
            nearest = squared_distances(vectors, self.centres).argmin(dim=1)
        return 0.5 * (vectors - self.centres[nearest]).square().sum(dim=1)
