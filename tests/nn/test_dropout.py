"""Draws by row: rates, and independence from batch, rank and time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.core import rng
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


@pytest.mark.parametrize("p", [0.2, 0.7])
def test_stochastic_depth_drops_a_whole_branch_with_its_chance(p):
    """A sample's branch is 0 or 1 / (1 - p) times itself, gradient too; n = 2,003, four deviations of the share."""
    branch = torch.randn(2003, 3, 2, generator=torch.Generator().manual_seed(1), requires_grad=True)
    with drawing_for(5, 1, np.arange(2003), CPU):
        y = StochasticDepth(p)(branch)
    y.sum().backward()
    assert branch.grad is not None
    dropped = 0
    for came, went, back in zip(branch.detach(), y.detach(), branch.grad, strict=True):
        factor = 0.0 if not went.any() else 1 / (1 - p)
        torch.testing.assert_close(went, came * factor, rtol=1e-6, atol=0)
        torch.testing.assert_close(back, torch.full_like(came, factor), rtol=1e-6, atol=0)
        dropped += factor == 0
    assert dropped / 2003 == pytest.approx(p, abs=4 * (p * (1 - p) / 2003) ** 0.5)


def test_identity_in_evaluation():
    x = torch.randn(3, 5)
    assert torch.equal(Dropout(0.9).eval()(x), x)
    assert torch.equal(StochasticDepth(0.9).eval()(x), x)


def test_every_layer_of_a_deep_network_draws_by_the_same_formula():
    """SplitMix64 in Python's own whole numbers, modulo 2 ** 64, for eleven layers of one pass."""
    mask, rows = 2**64 - 1, np.array([3, 1, 4])
    keys = [int(key) for key in rng.row_keys(7, 2, rows, "layers")]
    with drawing_for(7, 2, rows, torch.device("cpu")):
        drawn = [row_uniform(3, 5, torch.device("cpu")) for _ in range(11)]
    for layer, numbers in enumerate(drawn, start=1):
        for row, key in enumerate(keys):
            for place in range(5):
                x = (key + (place + 1) * 0x9E3779B97F4A7C15 + layer * 0x3C6EF372FE94F82A) & mask
                x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
                x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
                x ^= x >> 31
                assert float(numbers[row, place]) == ((x >> 40) & 0xFFFFFF) * 2.0**-24
