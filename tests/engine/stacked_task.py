"""A task whose network has a stack of hidden layers, so that it can be pretrained layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from small_task import CLASSES, SmallTask, points
from torch import nn

from deepen.engine.fit import fit
from deepen.nn.dropout import Dropout
from deepen.nn.stack import LayerStack

WIDTHS = (5, 17, 11)


class Stacked(nn.Module):
    """points [B, 5] -> logits [B, 3] through two hidden layers"""

    def __init__(self, activation, dropout):
        super().__init__()
        f = {"relu": nn.ReLU(inplace=True), "sigmoid": nn.Sigmoid(), "tanh": nn.Tanh()}[activation]
        self.first, self.second = nn.Linear(5, 17), nn.Linear(17, 11)
        self.below, self.above = nn.Sequential(f, Dropout(dropout)), nn.Sequential(f, Dropout(dropout))
        self.last = nn.Linear(11, CLASSES)
        self.activation = activation

    def forward(self, x):
        return self.last(self.above(self.second(self.below(self.first(x)))))

    def stack(self):
        return LayerStack((self.first, self.second), self.activation)


@dataclass
class StackedTask(SmallTask):
    activation: str = "sigmoid"

    def build(self):
        return Stacked(self.activation, self.dropout)

    def answer(self, model, batch, sources):
        return model(batch["points"]).argmax(1).tolist()


def train(ranks, options):
    """What every rank does."""
    torch.set_num_threads(1)
    task, more = StackedTask(dropout=0.0, noise=0.0), [points(37, 5)]
    return fit(task, points(211, 0), points(53, 1), options, unlabelled=more, ranks=ranks)
