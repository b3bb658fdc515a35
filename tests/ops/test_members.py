"""Members' answers as one batch."""

import torch
import torch.nn.functional as F

from deepen.ops.members import flat_members


def test_the_sum_over_the_batch_divided_by_members_is_their_mean_loss():
    outputs, targets = torch.randn(5, 3, 7), torch.randint(0, 7, (5,))
    flat, repeated, members = flat_members(outputs, targets)
    expected = sum(F.cross_entropy(outputs[:, m], targets, reduction="sum") for m in range(3)) / 3
    assert torch.allclose(F.cross_entropy(flat, repeated, reduction="sum") / members, expected)


def test_a_network_without_members_passes_through():
    outputs, targets = torch.randn(5, 7), torch.randint(0, 7, (5,))
    assert flat_members(outputs, targets) == (outputs, targets, 1)
