"""Shapley values against their definition over all subsets."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from deepen.ops.shapley import shapley_values

GROUPS = [(0, 3), (1,), (2,), (4,)]


def function(x):
    """Something in which inputs need each other."""
    return torch.sin(x[:, 0]) * x[:, 1] + (x[:, 2] > 0) * x[:, 3] ** 2 - x[:, 4] * x[:, 0]


def exactly(row, references):
    """The weighted sum over all subsets S without g of f(S and g) - f(S), each f a mean over the references."""
    count = len(GROUPS)

    def worth(known):
        x = references.clone()
        for g in known:
            x[:, list(GROUPS[g])] = row[list(GROUPS[g])]
        return function(x).mean().item()

    values = []
    for g in range(count):
        others = [k for k in range(count) if k != g]
        value = 0.0
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for known in itertools.combinations(others, size):
                value += weight * (worth({*known, g}) - worth(known))
        values.append(value)
    return values


@pytest.fixture
def data():
    draw = torch.Generator().manual_seed(2)
    return torch.randn(5, dtype=torch.float64, generator=draw), torch.randn(7, 5, dtype=torch.float64, generator=draw)


def test_all_orders_with_all_references_give_the_definition(data):
    row, references = data
    orders = torch.tensor(list(itertools.permutations(range(4)))).repeat_interleave(len(references), 0)
    found = shapley_values(function, row, references, GROUPS, orders)
    torch.testing.assert_close(found.values, torch.tensor(exactly(row, references), dtype=torch.float64))
    assert found.answer == pytest.approx(function(row[None]).item())
    assert found.reference == pytest.approx(function(references).mean().item())


def test_any_sample_of_orders_adds_up_and_comes_near(data):
    row, references = data
    draw = torch.Generator().manual_seed(4)
    orders = torch.stack([torch.randperm(4, generator=draw) for _ in range(7 * 150)])
    found = shapley_values(function, row, references, GROUPS, orders)
    assert found.values.sum().item() == pytest.approx(found.answer - found.reference, abs=1e-12)
    away = (found.values - torch.tensor(exactly(row, references), dtype=torch.float64)).abs()
    assert (away < 4 * found.standard_error).all() and found.standard_error.max() < 0.1


def test_a_sum_of_columns_is_shared_exactly_by_a_single_order(data):
    """f = 3 x0 - 2 x1 + x4: each value is its term's distance from its mean, whatever the orders."""
    row, references = data
    weights = torch.tensor([3.0, -2.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    orders = torch.tensor([[2, 0, 3, 1]]).repeat(7, 1)
    found = shapley_values(lambda x: x @ weights, row, references, GROUPS, orders)
    terms = weights * (row - references.mean(0))
    torch.testing.assert_close(found.values, torch.stack([terms[0], terms[1], terms[2], terms[4]]))
