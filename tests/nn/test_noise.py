"""Gaussian noise: its moments, that it depends on rows or steps alone, and that weights come back to the last bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from deepen.nn.dropout import drawing_for
from deepen.nn.noise import noisy, noisy_weights, row_normal

CPU = torch.device("cpu")


def test_draws_are_standard_normal():
    with drawing_for(7, 0, np.arange(1_009), CPU):
        z = row_normal(1_009, 211, CPU).double().flatten()
    error = 4 / math.sqrt(len(z))  # four standard errors of the mean
    assert abs(float(z.mean())) < error
    assert float(z.var()) == pytest.approx(1, abs=4 * math.sqrt(2 / len(z)))
    assert float((z.abs() < 1).double().mean()) == pytest.approx(0.6827, abs=error)
    assert float((z**4).mean()) == pytest.approx(3, abs=4 * math.sqrt(96 / len(z)))
    assert float(z.abs().max()) < 5.5


def test_a_row_gets_the_same_noise_in_any_batch():
    x = torch.zeros(11, 3, 5)
    rows = np.arange(40, 51)

    def run(picked, epoch=2):
        with drawing_for(3, epoch, rows[picked], CPU):
            return noisy(x[picked], 0.5)

    whole = run(np.arange(11))
    assert torch.equal(whole[[4, 9]], run(np.array([4, 9])))
    assert not torch.equal(whole[4], whole[9])
    assert not torch.equal(whole, run(np.arange(11), epoch=3))


def test_deviation_scales_and_zero_changes_nothing():
    x = torch.randn(13, 7)
    with drawing_for(0, 0, np.arange(13), CPU):
        once = noisy(x, 1.0) - x
    with drawing_for(0, 0, np.arange(13), CPU):
        thrice = noisy(x, 3.0) - x
    assert torch.allclose(thrice, 3 * once, atol=1e-5)
    assert noisy(x, 0.0) is x
    assert noisy(x[:, :0], 1.0).shape == (13, 0)


def test_noise_only_where_it_is_wanted():
    x = torch.zeros(5, 3)
    found = noisy(x, 1.0, where=torch.tensor([True, False, True]))
    assert not found[:, 1].any() and found[:, 0].all() and found[:, 2].all()


def disturbed(model, **where):
    parameters = dict(model.named_parameters())
    with noisy_weights(parameters, 0.3, **where):
        return {name: p.detach().clone() for name, p in parameters.items()}


def test_weights_are_disturbed_by_the_deviation_and_come_back_to_the_last_bit():
    torch.manual_seed(0)
    model = nn.Linear(211, 307)
    before = model.weight.detach().clone()
    found = disturbed(model, seed=1, step=5)["weight"] - before
    assert float(found.std()) == pytest.approx(0.3, rel=0.02)
    assert abs(float(found.mean())) < 4 * 0.3 / math.sqrt(found.numel())
    assert torch.equal(model.weight, before)


def test_noise_on_weights_depends_on_seed_step_and_name_alone():
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
    first = disturbed(model, seed=1, step=5)
    assert all(torch.equal(first[name], value) for name, value in disturbed(model, seed=1, step=5).items())
    for other in (disturbed(model, seed=2, step=5), disturbed(model, seed=1, step=6)):
        assert all(not torch.equal(first[name], value) for name, value in other.items())
    alone = dict(model.named_parameters())
    del alone["0.weight"]
    with noisy_weights(alone, 0.3, seed=1, step=5):
        assert torch.equal(model[1].weight, first["1.weight"])


def test_weights_come_back_when_something_fails():
    model = nn.Linear(3, 2)
    before = model.weight.detach().clone()
    with pytest.raises(MemoryError), noisy_weights(dict(model.named_parameters()), 1.0, seed=0, step=0):
        raise MemoryError
    assert torch.equal(model.weight, before)


def test_the_layout_of_memory_changes_no_draw():
    conv = nn.Conv2d(3, 5, 3)
    plain = disturbed(conv, seed=0, step=0)["weight"]
    last = conv.to(memory_format=torch.channels_last)
    assert torch.equal(disturbed(last, seed=0, step=0)["weight"], plain)
