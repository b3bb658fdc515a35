"""Losses of layers: where they go, and that training adds them up over micro-batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from deepen.nn.extra_loss import add_loss, collecting, is_collecting


def test_they_are_collected_within_and_dropped_without():
    add_loss(torch.tensor(3.0))
    assert not is_collecting()
    with collecting() as outer:
        add_loss(torch.tensor(5.0))
        with collecting() as inner:
            add_loss(torch.tensor(7.0))
        assert is_collecting()
        add_loss(torch.tensor(11.0))
    assert [float(each) for each in outer] == [5.0, 11.0] and [float(each) for each in inner] == [7.0]
    assert not is_collecting()


class Shy(nn.Module):
    """Wants to be small, row by row."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, x):
        add_loss(0.5 * (x @ self.linear.weight[0]).square().mean())
        return self.linear(x)


@dataclass
class Sum:
    """A task whose loss is the sum of the outputs."""

    rows: torch.Tensor

    def batch(self, encoded, rows, draws):
        from deepen.prepare.encoded import Batch

        return Batch(encoded.take(rows), len(rows), rows)

    def build(self):
        return Shy()

    def loss(self, model, batch):
        from deepen.ops.losses import Loss

        return Loss(model(batch["x"]).sum())


@pytest.mark.parametrize("accumulate", [1, 4])
def test_training_adds_them_for_each_target(accumulate):
    import pyarrow as pa

    from deepen.engine.options import FitOptions, OptimizerOptions
    from deepen.engine.training import Training
    from deepen.parallel.ranks import Alone
    from deepen.prepare.encoded import Encoded

    torch.manual_seed(0)
    x = torch.randn(8, 3)
    encoded = Encoded({"x": x}, pa.table({"source": [f"row {row}" for row in range(8)]}))
    optimizer = OptimizerOptions(kind="sgd", learning_rate=0.1)
    options = FitOptions(epochs=1, batch_size=8, accumulate=accumulate, optimizer=optimizer)
    training = Training(Sum(x), encoded, options, device=torch.device("cpu"), ranks=Alone())  # type: ignore[arg-type]
    linear = training.model.linear
    weight, bias = linear.weight.detach().clone(), linear.bias.detach().clone()
    training.update(np.arange(8))
    training.close()
    z = x @ weight[0]
    assert float(training.loss_sum) == pytest.approx(float((z + bias).sum() + 0.5 * z.square().sum()), rel=1e-5)
    by_hand = (x + x * z[:, None]).mean(0)
    assert torch.allclose(linear.weight.grad[0], by_hand, atol=1e-6)
