"""The moving average against its formula."""

from __future__ import annotations

import torch
from torch import nn

from deepen.engine.average import MovingAverage


def test_follows_the_formula():
    model = nn.Linear(3, 2, bias=False)
    average = MovingAverage(model, decay=0.8)
    expected = model.weight.detach().double().clone()
    for step in range(1, 14):
        with torch.no_grad():
            model.weight += step
        average.update(step)
        decay = min(0.8, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach().double()
    assert torch.allclose(average.model.weight.double(), expected, rtol=1e-5)


def test_counts_are_copied_and_statistics_follow():
    model = nn.BatchNorm1d(5)
    average = MovingAverage(model, decay=0.5)
    model.train()(torch.randn(7, 5))
    average.update(100)
    assert int(average.model.num_batches_tracked) == 1
    assert torch.allclose(average.model.running_mean, 0.5 * model.running_mean)
