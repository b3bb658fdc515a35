"""Losses against loops over their formulas, row by row and class by class."""

from __future__ import annotations

import math

import pytest
import torch

from deepen.ops.losses import (
    IGNORED,
    cross_entropies,
    cross_entropy_sum,
    huber_sum,
    likelihood_sum,
    spread_over,
    squared_error_sum,
)

B, K, T = 11, 5, 3
WEIGHTS = [0.5, 2.0, 0.0, 1.5, 3.0, 1.0, 0.25, 1.0, 0.75, 4.0, 1.25]


def classes():
    draw = torch.Generator().manual_seed(7)
    logits = 3 * torch.randn(B, K, generator=draw, dtype=torch.float64)
    targets = torch.randint(0, K, (B,), generator=draw)
    targets[[1, 6]] = IGNORED
    return logits, targets


def smoothed_by_hand(logits, targets, e, weights):
    """sum over b of w (-(1 - e) log p[y] - (e / K) sum_k log p[k]), and its gradient w (p - target)."""
    total, gradient = 0.0, []
    for row, y, w in zip(logits.tolist(), targets.tolist(), weights, strict=True):
        if y == IGNORED:
            gradient.append([0.0] * K)
            continue
        normalizer = sum(math.exp(each) for each in row)
        log_p = [each - math.log(normalizer) for each in row]
        total += w * (-(1 - e) * log_p[y] - e / K * sum(log_p))
        target = [(1 - e) * (k == y) + e / K for k in range(K)]
        gradient.append([w * (math.exp(a) - b) for a, b in zip(log_p, target, strict=True)])
    return total, gradient


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("e", [0.0, 0.1, 0.7])
def test_smoothed_cross_entropy_is_the_loop_over_its_formula(e, weights):
    logits, targets = classes()
    logits.requires_grad_()
    given = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    found = cross_entropy_sum(logits, targets, label_smoothing=e, weights=given)
    total, gradient = smoothed_by_hand(logits.detach(), targets, e, weights or [1.0] * B)
    assert float(found.detach()) == pytest.approx(total, rel=1e-12)
    found.backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.tensor(gradient, dtype=torch.float64), rtol=1e-10, atol=1e-12)


def test_smoothing_by_hand():
    """Of three classes with chances 1/2, 1/4 and 1/4, the first being true: ln 2 without, and with e = 0.3

    0.7 ln 2 + 0.1 (ln 2 + ln 4 + ln 4) = 1.2 ln 2.
    """
    logits, first = torch.tensor([[2.0, 1.0, 1.0]]).log(), torch.tensor([0])
    assert float(cross_entropy_sum(logits, first)) == pytest.approx(math.log(2), rel=1e-6)
    assert float(cross_entropy_sum(logits, first, label_smoothing=0.3)) == pytest.approx(1.2 * math.log(2), rel=1e-6)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_losses_of_numbers_are_loops_over_their_formulas(weights):
    draw = torch.Generator().manual_seed(3)
    a, b = (2 * torch.randn(B, generator=draw, dtype=torch.float64) for _ in range(2))
    given = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    squares = huber = 0.0
    for x, y, w in zip(a.tolist(), b.tolist(), weights or [1.0] * B, strict=True):
        e = abs(x - y)
        squares += w * e * e
        huber += w * (e * e / 2 if e <= 0.7 else 0.7 * (e - 0.35))
    assert float(squared_error_sum(a, b, weights=given)) == pytest.approx(squares, rel=1e-12)
    assert float(huber_sum(a, b, delta=0.7, weights=given)) == pytest.approx(huber, rel=1e-12)


@pytest.mark.parametrize("e", [0.0, 0.3])
def test_losses_of_places_and_of_known_likelihoods_are_the_same_loop(e):
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(B, K, T, generator=draw, dtype=torch.float64)
    targets = torch.randint(0, K, (B, T), generator=draw)
    targets[1, 2] = targets[4, 0] = IGNORED
    rows = [
        [smoothed_by_hand(logits[b, :, t][None], targets[b, t][None], e, [1.0])[0] for t in range(T)] for b in range(B)
    ]
    wanted = torch.tensor(rows, dtype=torch.float64)
    torch.testing.assert_close(cross_entropies(logits, targets, label_smoothing=e), wanted)
    log_p = logits.mT.flatten(0, 1).log_softmax(1)
    assert float(likelihood_sum(log_p, targets.flatten(), label_smoothing=e)) == pytest.approx(float(wanted.sum()))


def test_the_option_says_over_what():
    found = spread_over("tags", "; of some", search=None)
    assert found["help"] == "share of the target spread over all tags; of some" and "search" not in found
    assert spread_over("classes")["search"] == "0..0.2"
