"""Label smoothing against a loop over targets and classes."""

from __future__ import annotations

import math

import pytest
import torch

from deepen.ops.losses import IGNORED, cross_entropies, cross_entropy_sum, likelihood_sum, spread_over

B, K, T = 5, 7, 3


def naive(logits, target, smoothing):
    """Of one target: the cross-entropy with 1 - e + e / K for its own class and e / K for each other one."""
    if target == IGNORED:
        return 0.0
    total = sum(math.exp(score) for score in logits)
    wanted = [smoothing / len(logits) + (1 - smoothing) * (k == target) for k in range(len(logits))]
    return -sum(share * math.log(math.exp(score) / total) for share, score in zip(wanted, logits, strict=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_targets_are_spread_over_all_classes(smoothing):
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(B, K, T, generator=draw)
    targets = torch.randint(0, K, (B, T), generator=draw)
    targets[1, 2] = targets[4, 0] = IGNORED
    wanted = torch.tensor([[naive(logits[b, :, t].tolist(), int(targets[b, t]), smoothing) for t in range(T)]
                           for b in range(B)])  # fmt: skip
    assert torch.allclose(cross_entropies(logits, targets, label_smoothing=smoothing), wanted, atol=1e-6)
    flat, y = logits.mT.flatten(0, 1), targets.flatten()
    weights = torch.rand(B * T, generator=draw)
    for found, value in (
        (cross_entropy_sum(flat, y, label_smoothing=smoothing), wanted.sum()),
        (cross_entropy_sum(flat, y, label_smoothing=smoothing, weights=weights), (wanted.flatten() * weights).sum()),
        (likelihood_sum(flat.log_softmax(1), y, label_smoothing=smoothing), wanted.sum()),
    ):
        assert found.item() == pytest.approx(value.item(), rel=1e-6)


def test_the_option_says_over_what():
    found = spread_over("tags", "; of some", search=None)
    assert found["help"] == "share of the target spread over all tags; of some" and "search" not in found
    assert spread_over("classes")["search"] == "0..0.2"
