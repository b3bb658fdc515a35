"""The field against all sequences one by one, also where some are forbidden."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch

from deepen.core.errors import ShapeError
from deepen.nn.crf import LinearChainCRF

LENGTHS = (5, 0, 1, 3)
B, T, K = len(LENGTHS), 5, 3
MASK = torch.arange(T) < torch.tensor(LENGTHS)[:, None]
ALLOWED = torch.ones(K + 2, K + 2, dtype=torch.bool)
ALLOWED[1, 2] = ALLOWED[2, 0] = ALLOWED[K, 1] = ALLOWED[2, K + 1] = False


def field(allowed=None, seed=0):
    torch.manual_seed(seed)
    crf = LinearChainCRF(K, allowed).double()
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    return crf, torch.randn(B, T, K, dtype=torch.float64)


def probabilities(crf, emissions, length):
    """Each sequence's, [K ^ length], from its own score; -inf where it is forbidden."""
    allowed = torch.ones(K + 2, K + 2, dtype=torch.bool) if crf.allowed is None else crf.allowed
    sequences, scores = list(product(range(K), repeat=length)), []
    for y in sequences:
        steps = list(zip((K, *y), (*y, K + 1), strict=True)) if y else []
        score = sum(float(emissions[t, tag]) for t, tag in enumerate(y))
        score += sum(float(crf.transitions[i, j]) for i, j in steps[1:-1])
        score += float(crf.start[y[0]] + crf.end[y[-1]]) if y else 0.0
        scores.append(score if all(allowed[i, j] for i, j in steps) else -math.inf)
    return sequences, torch.tensor(scores, dtype=torch.float64).softmax(0)


@torch.no_grad()
@pytest.mark.parametrize("allowed", [None, ALLOWED])
def test_all_sequences_one_by_one(allowed):
    crf, emissions = field(allowed)
    decoded, marginals = crf.decode(emissions, MASK), crf.marginals(emissions, MASK)
    for b, length in enumerate(LENGTHS):
        sequences, shares = probabilities(crf, emissions[b], length)
        assert decoded[b].tolist() == [*sequences[int(shares.argmax())], *[0] * (T - length)]
        for y, share in zip(sequences, shares, strict=True):
            if share > 0:
                tags = torch.tensor([*y, *[-100] * (T - length)])[None]
                found = crf.probability(emissions[b : b + 1], tags, MASK[b : b + 1])
                assert float(found) == pytest.approx(float(share), rel=1e-9)
        for t in range(length):
            expected = [float(sum(shares[n] for n, y in enumerate(sequences) if y[t] == k)) for k in range(K)]
            assert marginals[b, t].tolist() == pytest.approx(expected, abs=1e-12)
    assert float(crf.loss(emissions, torch.zeros(B, T, dtype=torch.int64), MASK)[1]) == 0


@pytest.mark.parametrize("allowed", [None, ALLOWED])
def test_every_gradient_is_finite_and_forbidden_transitions_have_none(allowed):
    crf, emissions = field(allowed)
    emissions = emissions.float().requires_grad_()
    tags = crf.float().decode(emissions, MASK)
    crf.loss(emissions, tags, MASK).sum().backward()
    assert all(torch.isfinite(each.grad).all() and each.grad.any() for each in (*crf.parameters(), emissions))
    assert not emissions.grad[~MASK].any()
    if allowed is not None:
        assert crf.transitions.grad[1, 2] == crf.transitions.grad[2, 0] == crf.start.grad[1] == crf.end.grad[2] == 0


def test_forbidden_tags_cost_much_and_not_infinitely_much():
    crf, emissions = field(ALLOWED)
    emissions.requires_grad_()
    tags = torch.zeros(B, T, dtype=torch.int64)
    tags[0, :2] = torch.tensor([1, 2])  # not from the start, and not one after the other; then 2 to 0
    loss = crf.loss(emissions, tags, MASK)
    loss.sum().backward()
    loss = loss.detach()
    assert 2.9e4 < float(loss[0]) < 3.1e4 and float(loss[3]) < 100 and torch.isfinite(emissions.grad).all()


def test_nothing_allowed_at_all_still_decodes():
    crf, emissions = field(torch.zeros(K + 2, K + 2, dtype=torch.bool))
    assert crf.decode(emissions, MASK).shape == (B, T)
    assert torch.allclose(crf.marginals(emissions, MASK).sum(2), MASK.double())


def test_at_the_start_it_says_the_same_as_tag_by_tag():
    crf, emissions = LinearChainCRF(K), torch.randn(B, T, K)
    tags = torch.randint(0, K, (B, T))
    expected = torch.nn.functional.cross_entropy(emissions.mT, tags, reduction="none").masked_fill(~MASK, 0).sum(1)
    assert torch.allclose(crf(emissions, tags, MASK), expected, atol=1e-5)
    assert torch.equal(crf.decode(emissions, MASK), emissions.argmax(2).masked_fill(~MASK, 0))


def test_a_row_does_not_depend_on_its_neighbours_or_on_padding():
    crf, emissions = field(ALLOWED)
    tags = crf.decode(emissions, MASK)
    whole = crf.loss(emissions, tags, MASK)
    for b, length in enumerate(LENGTHS):
        for size in {max(length, 1), T}:
            alone = emissions[b : b + 1, :size], MASK[b : b + 1, :size]
            assert torch.allclose(crf.loss(alone[0], tags[b : b + 1, :size], alone[1]), whole[b], atol=1e-12)
    wild = emissions.masked_fill(~MASK[..., None], math.nan)
    assert torch.equal(crf.loss(wild, tags.masked_fill(~MASK, -100), MASK), whole)


def test_half_precision_emissions_are_summed_in_single():
    crf, emissions = field()
    loss = crf.float().loss(emissions.bfloat16(), torch.zeros(B, T, dtype=torch.int64), MASK)
    assert loss.dtype == torch.float32


def test_constraints_are_no_part_of_the_weights():
    assert set(LinearChainCRF(K, ALLOWED).state_dict()) == {"transitions", "start", "end"}


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match=r"torch.bool \(3, 3\) instead of torch.bool \(5, 5\)"):
        LinearChainCRF(K, torch.ones(K, K, dtype=torch.bool))
    with pytest.raises(ShapeError, match=r"\(4, 5, 7\)"):
        LinearChainCRF(K).decode(torch.zeros(B, T, 7), MASK)
