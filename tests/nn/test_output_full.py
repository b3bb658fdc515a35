import pytest
import torch

from deepen.nn.output_full import FullSoftmax, positions_at_once


def test_it_is_cross_entropy_over_a_linear_map():
    torch.manual_seed(0)
    layer = FullSoftmax(3, 7)
    hidden, targets = torch.randn(5, 3), torch.tensor([6, 0, -100, 2, 2])
    logits = hidden @ layer.linear.weight.T + layer.linear.bias
    wanted = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    assert layer.loss_sum(hidden, targets, torch.arange(5)).item() == pytest.approx(wanted.item(), rel=1e-6)
    assert torch.allclose(layer.log_probabilities(hidden), logits.log_softmax(1), atol=1e-6)


def test_the_scores_held_at_once_are_bounded():
    assert positions_at_once(33_278) * 33_278 <= 2**24 < (positions_at_once(33_278) + 1) * 33_278
    assert positions_at_once(2**30) == 1
