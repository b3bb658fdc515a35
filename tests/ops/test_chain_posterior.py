"""Posteriors of a chain: against a sum over all paths, against the recursion without gradient, and their gradient."""

from __future__ import annotations

import itertools

import torch

from deepen.ops import chain
from deepen.ops.chain_posterior import log_posterior

K = 3


def drawn(num_rows: int, num_places: int, dtype=torch.float64):
    generator = torch.Generator().manual_seed(num_rows + num_places)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=dtype)  # noqa: E731
    return draw(num_rows, num_places, K), draw(K, K), draw(K), draw(K)


def mask_of(lengths: list[int], num_places: int) -> torch.Tensor:
    return torch.arange(num_places) < torch.tensor(lengths)[:, None]


def test_against_all_paths():
    emissions, transitions, start, end = drawn(1, 4)
    total = torch.zeros(4, K, dtype=torch.float64)
    for path in itertools.product(range(K), repeat=4):
        score = start[path[0]] + end[path[-1]] + sum(emissions[0, t, k] for t, k in enumerate(path))
        score = score + sum(transitions[a, b] for a, b in itertools.pairwise(path))
        for t, k in enumerate(path):
            total[t, k] += score.exp()
    found = log_posterior(emissions, mask_of([4], 4), transitions, start, end)[0]
    assert torch.allclose(found, (total / total.sum(1, keepdim=True)).log())


def test_it_is_the_marginals_and_does_not_see_what_is_behind_the_end():
    lengths = [7, 1, 4, 0, 5]
    emissions, *scores = drawn(5, 7)
    mask = mask_of(lengths, 7)
    found = log_posterior(emissions, mask, *scores)
    assert torch.allclose(found.exp()[mask], chain.marginals(emissions, mask, *scores)[mask])
    for row, length in enumerate(lengths[:3]):
        alone = log_posterior(emissions[row : row + 1, :length], mask[row : row + 1, :length], *scores)
        assert torch.allclose(found[row, :length], alone[0])
    assert bool(found.isfinite().all())


def test_the_gradient():
    emissions, *scores = drawn(2, 5)
    mask = mask_of([5, 3], 5)

    def summed(*inputs: torch.Tensor) -> torch.Tensor:
        return log_posterior(inputs[0], mask, *inputs[1:])[mask]

    inputs = [each.clone().requires_grad_() for each in (emissions, *scores)]
    assert torch.autograd.gradcheck(summed, inputs)


def test_no_places():
    assert log_posterior(torch.zeros(2, 0, K), torch.zeros(2, 0, dtype=torch.bool), *drawn(1, 1)[1:]).shape == (2, 0, K)
