"""Kernel regression against the loop, by hand, and as the attention that it is."""

from __future__ import annotations

import math

import pytest
import torch

from deepen.ops.attend import masked_softmax
from deepen.ops.kernel_regression import KERNELS, kernel_regression, kernel_weights, leave_one_out_error

Q, N, D, V = 5, 11, 3, 2
SHAPES = {
    "gaussian": lambda u: math.exp(-u * u / 2),
    "epanechnikov": lambda u: max(0.0, 1 - u * u),
    "boxcar": lambda u: float(u < 1),
}


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("kernel", KERNELS)
def test_it_is_the_loop(kernel):
    queries, keys, values = drawn(Q, D), drawn(N, D, seed=1), drawn(N, V, seed=2)
    weights = kernel_weights(queries, keys, 2.5, kernel)
    for q in range(Q):
        own = [SHAPES[kernel](float((queries[q] - keys[n]).norm()) / 2.5) for n in range(N)]
        assert weights[q].tolist() == pytest.approx([each / sum(own) for each in own])
    assert torch.allclose(kernel_regression(queries, keys, values, 2.5, kernel), weights @ values)


def test_by_hand():
    x, y = torch.tensor([0.0, 2.0]), torch.tensor([1.0, 5.0])
    assert kernel_regression(torch.tensor([1.0, 0.0]), x, y, 1.0).tolist() == pytest.approx(
        [3, (1 + 5 * math.exp(-2)) / (1 + math.exp(-2))]
    )
    assert float(leave_one_out_error(x, y, 1.0)) == 16  # each is answered by the other


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_query_that_is_far_from_everything(kernel):
    weights = kernel_weights(torch.tensor([1e9]), torch.tensor([0.0, 1.0]), 1e-3, kernel)
    assert torch.isfinite(weights).all() and float(weights.sum()) in (0.0, 1.0)
    alone = kernel_weights(torch.tensor([1.0]), torch.tensor([1.0]), 1.0, kernel, leave_one_out=True)
    assert alone.tolist() == [[0.0]]


def test_the_gaussian_is_attention_with_distances_for_scores():
    queries, keys, h = drawn(Q), drawn(N, seed=1), 0.7
    scores = -((queries[:, None] - keys) ** 2) / (2 * h * h)
    assert torch.allclose(kernel_weights(queries, keys, h), masked_softmax(scores))


def test_a_width_is_learned_where_the_error_is_least():
    x = torch.linspace(0, 6, 71, dtype=torch.float64)
    y = torch.sin(2 * x) + 0.3 * drawn(71, seed=3)
    log_width = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([log_width], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        leave_one_out_error(x, y, log_width.exp()).backward()
        optimizer.step()
    grid = torch.linspace(0.02, 1.5, 300, dtype=torch.float64)
    best = grid[torch.stack([leave_one_out_error(x, y, h) for h in grid]).argmin()]
    assert float(log_width.detach().exp()) == pytest.approx(float(best), abs=0.01)
