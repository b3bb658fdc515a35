"""Draws by row: rates, and independence from batch, rank and time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.nn.dropout import Dropout, StochasticDepth, drawing_for, row_uniform

CPU = torch.device("cpu")


def test_a_row_draws_the_same_in_any_batch():
    layers = [Dropout(0.3), Dropout(0.5), StochasticDepth(0.4)]
    x = torch.ones(11, 5, 7)
    rows = np.arange(100, 111)

    def run(picked):
        with drawing_for(3, 2, rows[picked], CPU):
            y = x[picked]
            for layer in layers:
                y = layer(y)
        return y

    whole = run(np.arange(11))
    assert torch.equal(whole[[4, 9]], run(np.array([4, 9])))
    assert not torch.equal(whole[4], whole[9])


def test_epochs_seeds_and_layers_draw_anew():
    def draw(seed, epoch):
        with drawing_for(seed, epoch, np.arange(7), CPU):
            return row_uniform(7, 13, CPU), row_uniform(7, 13, CPU)

    first = draw(0, 0)
    assert not torch.equal(*first)
    assert not torch.equal(first[0], draw(0, 1)[0])
    assert not torch.equal(first[0], draw(1, 0)[0])
    assert torch.equal(first[0], draw(0, 0)[0])


def test_draws_are_uniform_and_uncorrelated():
    """Kolmogorov's distance of 10^5 draws is below 1.95 / sqrt(n) with probability 0.999; no correlation."""
    with drawing_for(0, 0, np.arange(1009), CPU):
        u = row_uniform(1009, 101, CPU).double()
    ordered = u.reshape(-1).sort().values
    grid = torch.arange(1, len(ordered) + 1).double() / len(ordered)
    assert float((ordered - grid).abs().max()) < 1.95 / len(ordered) ** 0.5
    for a, b in ((u[:, :-1], u[:, 1:]), (u[:-1], u[1:])):
        correlation = torch.corrcoef(torch.stack([a.reshape(-1), b.reshape(-1)]))[0, 1]
        assert abs(float(correlation)) < 0.012


@pytest.mark.parametrize("p", [0.0, 0.2, 0.7])
def test_expectation_is_kept(p):
    layer = Dropout(p)
    with drawing_for(0, 0, np.arange(503), CPU):
        y = layer(torch.ones(503, 211))
    assert float((y == 0).double().mean()) == pytest.approx(p, abs=0.01)
    assert float(y.double().mean()) == pytest.approx(1.0, abs=0.02)


def test_identity_in_evaluation():
    x = torch.randn(3, 5)
    assert torch.equal(Dropout(0.9).eval()(x), x)
    assert torch.equal(StochasticDepth(0.9).eval()(x), x)
