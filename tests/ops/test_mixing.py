"""Mixup and cutmix against loops over rows and pixels, and the distribution of their shares."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from deepen.ops.mixing import (
    IMAGE_DRAWS,
    beta_share,
    chosen,
    cutmix,
    mixed_cross_entropy_sum,
    mixed_images,
    mixed_rows,
    mixup,
    pair_weights,
    partner_rows,
)

B, C, H, W = 7, 3, 11, 13


def pair():
    draw = torch.Generator().manual_seed(1)
    return torch.randn(B, C, H, W, generator=draw), torch.randn(B, C, H, W, generator=draw)


def uniform(*shape, seed=2):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_partners_depend_on_seed_epoch_and_row_alone_and_reach_every_row():
    rows = np.arange(5_003)
    whole = partner_rows(3, 2, rows, 31)
    assert whole.dtype == np.int64 and set(whole.tolist()) == set(range(31))
    assert np.array_equal(partner_rows(3, 2, rows[[17, 4]], 31), whole[[17, 4]])
    assert not np.array_equal(partner_rows(3, 3, rows, 31), whole)
    assert not np.array_equal(partner_rows(4, 2, rows, 31), whole)
    counts = np.bincount(whole, minlength=31)
    assert ((counts - 5_003 / 31) ** 2 / (5_003 / 31)).sum() < 59.7  # chi-square of 30 degrees, 0.1 %


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_shares_have_the_moments_of_beta(alpha):
    u = (np.arange(100_003) + 0.5) / 100_003
    share = beta_share(u, alpha).astype(np.float64)
    assert share.mean() == pytest.approx(0.5, abs=1e-5)
    assert share.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=1e-3)
    if alpha == 1:
        assert np.abs(share - u).max() < 1e-6


@pytest.mark.parametrize("alpha", [1e-12, 1e-6, 1e6, 1e12])
def test_shares_stay_shares_at_extreme_alphas(alpha):
    share = beta_share(np.array([0.0, 1e-6, 0.3, 0.5, 0.7, 1 - 2.0**-24], np.float32), alpha)
    assert np.isfinite(share).all() and (share >= 0).all() and (share <= 1).all()
    assert (np.diff(share) >= 0).all()


def test_a_pair_that_is_weighed_by_both_stands_for_one_of_what_is_corrected_for():
    """A model of biases alone learns the shares of the classes, here those that the weights correct to."""
    old, new = torch.tensor([0.9, 0.1]), torch.tensor([0.1, 0.9])
    labels = (torch.arange(30) >= 27).long()  # all pairs of 30 rows, of which a tenth is of the second class
    first, second = labels.repeat_interleave(30), labels.repeat(30)
    weight = (new / old)[labels]
    pairs = pair_weights({"weight": weight.repeat_interleave(30)}, {"weight": weight.repeat(30)})["weight"]
    assert float(pairs.mean()) == pytest.approx(1)
    logits = torch.zeros(2, requires_grad=True)
    learner = torch.optim.LBFGS([logits], max_iter=50)

    def loss():
        learner.zero_grad()
        rows = logits.expand(900, 2)
        value = mixed_cross_entropy_sum(rows, first, second, torch.full((900,), 0.3), weights=pairs) / 900
        value.backward()
        return value

    learner.step(loss)
    assert torch.allclose(logits.detach().softmax(0), new, atol=1e-3)
    assert pair_weights({}, {}) == {}


def test_mixup_is_the_loop():
    a, b = pair()
    share = uniform(B)
    expected = torch.stack([float(s) * x + (1 - float(s)) * y for x, y, s in zip(a, b, share, strict=True)])
    assert torch.allclose(mixup(a, b, share), expected, atol=1e-6)
    assert torch.equal(mixup(a, b, torch.ones(B)), a) and torch.equal(mixup(a, b, torch.zeros(B)), b)


def test_cutmix_is_the_pixel_loop():
    a, b = pair()
    share, u = torch.tensor([0.0, 0.1, 0.5, 0.75, 0.9, 0.99, 1.0]), uniform(B, 2)
    out, found = cutmix(a, b, share, u)
    for i in range(B):
        expected = a[i].clone()
        side = math.sqrt(1 - float(share[i]))
        high, wide = math.floor(side * H), math.floor(side * W)
        top = math.floor(float(u[i, 0]) * H) - high // 2
        left = math.floor(float(u[i, 1]) * W) - wide // 2
        count = 0
        for y in range(max(0, top), min(H, top + high)):
            for x in range(max(0, left), min(W, left + wide)):
                expected[:, y, x] = b[i, :, y, x]
                count += 1
        assert torch.equal(out[i], expected), i
        assert float(found[i]) == pytest.approx(1 - count / (H * W), abs=1e-6)
    assert torch.equal(out[-1], a[-1]) and found[-1] == 1


def test_categories_are_mixed_by_chance():
    a, b = torch.zeros(20_011, 2, dtype=torch.int64), torch.ones(20_011, 2, dtype=torch.int64)
    found = chosen(a, b, torch.full((20_011,), 0.3), uniform(20_011, 2))
    assert float(found.double().mean()) == pytest.approx(0.7, abs=4 * math.sqrt(0.21 / 40_022))


def test_the_loss_is_that_of_the_mixed_target():
    logits, share = torch.randn(B, 5), uniform(B)
    y, z = torch.arange(B) % 5, (torch.arange(B) * 2) % 5
    soft = share[:, None] * F.one_hot(y, 5) + (1 - share[:, None]) * F.one_hot(z, 5)
    for smoothing in (0.0, 0.1):
        expected = F.cross_entropy(logits, soft, reduction="sum", label_smoothing=smoothing)
        found = mixed_cross_entropy_sum(logits, y, z, share, label_smoothing=smoothing)
        assert float(found) == pytest.approx(float(expected), rel=1e-5)
    assert float(mixed_cross_entropy_sum(logits[:0], y[:0], z[:0], share[:0])) == 0


def test_both_ways_take_turns_by_the_first_draw():
    a, b = pair()
    u = uniform(B, IMAGE_DRAWS).numpy()
    u[:, 0] = np.array([0.1, 0.9, 0.2, 0.8, 0.49, 0.5, 0.7])
    up, up_share = mixed_images(a, b, u, mixup_alpha=0.4, cutmix_alpha=0.0)
    cut, cut_share = mixed_images(a, b, u, mixup_alpha=0.0, cutmix_alpha=1.0)
    both, both_share = mixed_images(a, b, u, mixup_alpha=0.4, cutmix_alpha=1.0)
    for i, is_cut in enumerate((True, False, True, False, True, False, False)):
        assert torch.equal(both[i], cut[i] if is_cut else up[i])
        assert both_share[i] == (cut_share[i] if is_cut else up_share[i])
    assert torch.allclose(up, mixup(a, b, torch.from_numpy(beta_share(u[:, 1], 0.4))))


def test_rows_are_mixed_alone_as_in_their_batch():
    own = {"numbers": torch.randn(B, 3), "categories": torch.arange(B * 2).view(B, 2)}
    others = {"numbers": torch.randn(B, 3), "categories": -torch.arange(B * 2).view(B, 2) - 1}
    u = uniform(B, 3).numpy()
    mixed, share = mixed_rows(own, others, u, alpha=1.0)
    for i in range(B):
        s = float(share[i])
        assert s == pytest.approx(float(u[i, 0]), abs=1e-6)
        assert torch.allclose(mixed["numbers"][i], s * own["numbers"][i] + (1 - s) * others["numbers"][i], atol=1e-6)
        for g in range(2):
            assert mixed["categories"][i, g] == (own if u[i, 1 + g] < s else others)["categories"][i, g]
