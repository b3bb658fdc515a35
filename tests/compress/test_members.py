"""Networks of several members: their hidden units are removed from all members at once."""

from __future__ import annotations

import torch

from deepen.compress import channels
from deepen.models import tabm
from deepen.nn.shapes import TableShape


def test_hidden_units_of_all_members_go_together():
    torch.manual_seed(0)
    network = tabm.build("tabm", TableShape(3, (5,), rows=31), 2, tabm.Options(members=3, width=14)).eval()
    numbers, categories = torch.randn(7, 3), torch.randint(0, 5, (7, 1))
    before = {name: tuple(each.shape) for name, each in network.named_parameters()}
    channels.prune(network, 0.5, answer=lambda each: each(numbers, categories))
    cut = {name for name, each in network.named_parameters() if tuple(each.shape) != before[name]}
    assert cut and all(7 in dict(network.named_parameters())[name].shape for name in cut)
    assert network(numbers, categories).shape == (7, 2)
