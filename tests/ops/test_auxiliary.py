import pytest
import torch
from torch import tensor
from torch.nn import functional as F

from deepen.ops.auxiliary import Auxiliary, with_auxiliary


def test_side_branches_count_by_their_weight():
    output = Auxiliary(tensor(1.0), (tensor(2.0), tensor(4.0)), weight=0.5)
    assert with_auxiliary(output, lambda logits: 10 * logits) == 10 * (1 + 0.5 * (2 + 4))


def test_without_weight_it_is_the_papers():
    assert float(with_auxiliary(Auxiliary(tensor(1.0), (tensor(2.0),)), lambda x: x)) == pytest.approx(1.6)


def test_plain_logits_are_the_loss_alone():
    torch.manual_seed(0)
    logits, targets = torch.randn(3, 5), tensor([4, 0, 2])
    expected = F.cross_entropy(logits, targets)
    assert torch.equal(with_auxiliary(logits, lambda each: F.cross_entropy(each, targets)), expected)
    assert torch.equal(with_auxiliary(Auxiliary(logits, ()), lambda each: F.cross_entropy(each, targets)), expected)
