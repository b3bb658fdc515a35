import math

import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from deepen.core import rng
from deepen.ops.variational import (
    bernoulli_log_likelihood,
    divergence_from_normal,
    gaussian_log_likelihood,
    normal_from_uniform,
)


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_divergence_is_that_of_torch_distributions():
    mean, log_variance = draws(7, 5), draws(7, 5, seed=1)
    q, p = Normal(mean, torch.exp(0.5 * log_variance)), Normal(torch.zeros(7, 5).double(), 1.0)
    expected = kl_divergence(q, p).sum(dim=1)
    assert torch.allclose(divergence_from_normal(mean, log_variance), expected, atol=1e-12)


def test_the_divergence_by_hand():
    """mu = 1, sigma^2 = e: (1 + e - 1 - 1) / 2; and 0 for the prior itself."""
    found = divergence_from_normal(torch.tensor([[1.0], [0.0]]), torch.tensor([[1.0], [0.0]]))
    assert found.tolist() == pytest.approx([(math.e - 1) / 2, 0.0])


def test_the_likelihoods_are_those_of_torch_distributions():
    logits, bits = draws(3, 2, 5), (draws(3, 2, 5, seed=1) > 0).double()
    expected = Bernoulli(logits=logits).log_prob(bits).flatten(1).sum(dim=1)
    assert torch.allclose(bernoulli_log_likelihood(logits, bits), expected, atol=1e-12)
    means, values = draws(3, 2, 5), draws(3, 2, 5, seed=2)
    expected = Normal(means, math.exp(-0.7)).log_prob(values).flatten(1).sum(dim=1)
    assert torch.allclose(gaussian_log_likelihood(means, values, -0.7), expected, atol=1e-12)


def test_normal_draws_have_the_moments_of_a_normal():
    uniform = torch.from_numpy(rng.uniform(0, 0, torch.arange(1009).numpy(), 211, "test"))
    found = normal_from_uniform(uniform).double()
    assert torch.isfinite(found).all()
    count = found.numel()
    assert float(found.mean()) == pytest.approx(0, abs=5 / count**0.5)
    assert float(found.square().mean()) == pytest.approx(1, abs=5 * (2 / count) ** 0.5)
    assert float(found.pow(4).mean()) == pytest.approx(3, abs=5 * (96 / count) ** 0.5)


def test_the_ends_of_the_uniform_draws_are_finite_and_mirror_each_other():
    ends = normal_from_uniform(torch.tensor([0.0, 1 - 2.0**-24, 0.5 - 2.0**-25]))
    assert float(ends[0]) == pytest.approx(-float(ends[1]), rel=1e-6)
    assert 5 < abs(float(ends[0])) < 5.5
    assert float(ends[2]) == pytest.approx(0, abs=1e-6)
