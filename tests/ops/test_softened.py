"""The divergence of softened distributions: by hand, and where a probability is 0."""

from __future__ import annotations

import math

import pytest
import torch

from deepen.ops.softened import softened_divergence


def test_by_hand():
    wanted = torch.tensor([[0.0, math.log(3.0)]])  # q = 1/4, 3/4
    found = torch.tensor([[0.0, 0.0]])
    by_hand = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert softened_divergence(wanted, found, 1.0).item() == pytest.approx(by_hand, rel=1e-6)
    assert softened_divergence(2 * wanted + 7, found - 3, 2.0).item() == pytest.approx(4 * by_hand, rel=1e-5)


def test_it_is_torch_s_where_that_has_numbers():
    torch.manual_seed(0)
    wanted, found = torch.randn(5, 3, 11), torch.randn(5, 3, 11)
    log_q, log_p = (torch.log_softmax(each / 3, -1) for each in (wanted, found))
    right = 9 * torch.nn.functional.kl_div(log_p, log_q, reduction="none", log_target=True).sum(-1)
    assert torch.allclose(softened_divergence(wanted, found, 3.0), right, atol=1e-5)


def test_what_the_teacher_says_never_comes_asks_nothing():
    wanted = torch.tensor([0.3, -math.inf, 1.1])
    found = torch.tensor([0.1, 0.5, -0.2], requires_grad=True)
    apart = softened_divergence(wanted, found, 1.0)
    apart.backward()
    assert math.isfinite(apart.item()) and found.grad is not None
    p, q = torch.softmax(found.detach(), 0), torch.softmax(wanted, 0)
    assert torch.allclose(found.grad, p - q, atol=1e-6)  # the gradient of a divergence by scores
