"""The smallest task that exercises the whole engine: a line of classes in a plane, with dropout and noise by row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from deepen.core import rng
from deepen.metrics.classify import Classification
from deepen.nn.dropout import Dropout
from deepen.ops.losses import Loss, cross_entropy_sum
from deepen.prepare.encoded import Batch, Encoded

CLASSES = 3


@dataclass
class SmallTask:
    """Points in 5 dimensions, 3 classes."""

    dropout: float = 0.3
    noise: float = 0.1
    batch_norm: bool = False
    objective: tuple[str, str] = ("accuracy", "max")

    def encode(self, table, split, faults):
        # part of the protocol; no test of the engine has a table, and one that calls it by mistake shall fail
        raise NotImplementedError("the tests encode by themselves")

    def batch(self, encoded, rows, draws):
        points = encoded.tensors["points"][torch.from_numpy(rows)]
        if draws is not None:
            noise = rng.uniform(draws.seed, draws.epoch, rows, points.shape[1], "noise")
            points = points + self.noise * (torch.from_numpy(noise) - 0.5)
        return Batch({"points": points, "labels": encoded.tensors["labels"][torch.from_numpy(rows)]}, len(rows), rows)

    def build(self):
        layers = [nn.Linear(5, 17), nn.ReLU(), Dropout(self.dropout), nn.Linear(17, CLASSES)]
        if self.batch_norm:
            layers.insert(1, nn.BatchNorm1d(17))
        return nn.Sequential(*layers)

    def loss(self, model, batch):
        return Loss(cross_entropy_sum(model(batch["points"]), batch["labels"]))

    def metrics(self):
        return Classification(CLASSES)

    def score(self, model, batch, metrics):
        metrics.add(model(batch["points"]), batch["labels"], batch.rows)

    def answer(self, model, batch, sources):
        return []

    def figures(self, metrics, encoded):
        return []


def points(num_rows: int, seed: int) -> Encoded:
    """Points whose class is the largest of three linear functions."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(num_rows, 5, generator=draw)
    labels = (x[:, :CLASSES] * 2 + x[:, 2:5]).argmax(1)
    table = pa.table({"source": [f"points.csv, row {i + 2}" for i in range(num_rows)]})
    return Encoded({"points": x, "labels": labels}, table)


class StopAt:
    """Events that raise at a step, as a kill would end the process there."""

    class Killed(BaseException):
        pass

    def __init__(self, step: int) -> None:
        self.at = step

    def message(self, text):
        pass

    def started(self, plan):
        pass

    def step(self, step, progress, seconds_left):
        if step == self.at:
            raise StopAt.Killed

    def evaluated(self, record):
        pass

    def done(self):
        pass


def rows_of(arrays: list[np.ndarray]) -> list[int]:
    return [int(row) for array in arrays for row in array]
