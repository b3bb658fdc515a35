"""Sums and maxima over paths, against all paths one by one and against a derivative traced through the recursion."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch

from deepen.ops.chain import best_path, log_partition, marginals, path_score

LENGTHS = (5, 0, 1, 3)
B, T, K = len(LENGTHS), 5, 3
MASK = torch.arange(T) < torch.tensor(LENGTHS)[:, None]


def drawn(seed=0, spread=1.0):
    draw = torch.Generator().manual_seed(seed)
    shapes = ((B, T, K), (K, K), (K,), (K,))
    return [spread * torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes]


def scored(emissions, path, transitions, start, end):
    """One row's path, term by term."""
    if not path:
        return torch.zeros((), dtype=torch.float64)
    total = start[path[0]] + end[path[-1]] + sum(emissions[t, y] for t, y in enumerate(path))
    return total + sum(transitions[i, j] for i, j in pairwise(path))


@pytest.mark.parametrize("seed", range(3))
def test_all_paths_one_by_one(seed):
    emissions, *scores = drawn(seed, spread=3.0)
    log_z, found = log_partition(emissions, MASK, *scores), marginals(emissions, MASK, *scores)
    paths, best = best_path(emissions, MASK, *scores)
    for b, length in enumerate(LENGTHS):
        every = list(product(range(K), repeat=length))
        values = torch.stack([scored(emissions[b], path, *scores) for path in every])
        assert torch.allclose(log_z[b], values.logsumexp(0))
        assert torch.allclose(best[b], values.max())
        assert paths[b].tolist() == [*every[int(values.argmax())], *[0] * (T - length)]
        shares = values.softmax(0)
        for t in range(length):
            expected = [sum(shares[n] for n, path in enumerate(every) if path[t] == k) for k in range(K)]
            assert found[b, t].tolist() == pytest.approx([float(each) for each in expected], abs=1e-12)
        assert not found[b, length:].any()
        for path, value in zip(every[:7], values[:7], strict=True):
            wide = torch.tensor([*path, *[99] * (T - length)])[None]
            assert torch.allclose(path_score(emissions[b : b + 1], MASK[b : b + 1], wide, *scores), value)


def test_what_stands_behind_the_end_of_a_path_is_not_read():
    emissions, *scores = drawn()
    path = torch.randint(0, K, (B, T))
    assert torch.equal(
        path_score(emissions, MASK, path.masked_fill(~MASK, -100), *scores), path_score(emissions, MASK, path, *scores)
    )


def test_the_gradient_is_that_of_the_recursion():
    """Against autograd through the same sum, and against finite differences."""
    given = [each.requires_grad_() for each in drawn(4)]
    weights = torch.tensor([0.7, 1.1, -2.0, 0.3], dtype=torch.float64)
    (log_partition(given[0], MASK, *given[1:]) * weights).sum().backward()
    ours = [each.grad.clone() for each in given]
    for each in given:
        each.grad = None
    emissions, transitions, start, end = given
    total = torch.zeros((), dtype=torch.float64)
    for b, length in enumerate(LENGTHS):
        if length:
            alpha = start + emissions[b, 0]
            for t in range(1, length):
                alpha = (alpha[:, None] + transitions).logsumexp(0) + emissions[b, t]
            total = total + weights[b] * (alpha + end).logsumexp(0)
    total.backward()
    for one, each in zip(ours, given, strict=True):
        assert torch.allclose(one, each.grad, atol=1e-12)
    assert torch.autograd.gradcheck(lambda *x: log_partition(x[0], MASK, *x[1:]), given)


def test_an_emission_s_gradient_is_its_marginal():
    emissions, *scores = drawn(5)
    emissions.requires_grad_()
    log_partition(emissions, MASK, *scores).sum().backward()
    assert torch.allclose(emissions.grad, marginals(emissions.detach(), MASK, *scores))


def test_large_scores_do_not_overflow():
    emissions, *scores = (each.float() for each in drawn(6, spread=1000.0))
    found = log_partition(emissions, MASK, *scores)
    assert torch.isfinite(found).all() and torch.allclose(found, best_path(emissions, MASK, *scores)[1])


def test_no_place_at_all():
    emissions, mask = torch.zeros(2, 0, K, requires_grad=True), torch.zeros(2, 0, dtype=torch.bool)
    scores = [torch.zeros(shape, requires_grad=True) for shape in ((K, K), (K,), (K,))]
    log_z = log_partition(emissions, mask, *scores)
    log_z.sum().backward()
    assert log_z.tolist() == [0, 0] and not scores[0].grad.any()
    assert best_path(emissions, mask, *scores)[0].shape == (2, 0)
    assert path_score(emissions, mask, torch.zeros(2, 0, dtype=torch.int64), *scores).tolist() == [0, 0]
