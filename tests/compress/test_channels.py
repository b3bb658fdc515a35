"""Channels really removed: the answers are those of the network whose removed channels nobody reads any more."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.compress import channels, resize
from deepen.core.errors import OptionError


class Knot(nn.Module):
    """A shortcut, batch norms, a depthwise and a grouped convolution, a concatenation, and maps to a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(12)
        self.inner = nn.Conv2d(12, 10, 3, padding=1)
        self.back = nn.Conv2d(10, 12, 3, padding=1)
        self.depthwise = nn.Conv2d(12, 24, 3, padding=1, groups=12)
        self.grouped = nn.Conv2d(24, 14, 1, groups=2)
        self.side = nn.Conv2d(12, 6, 1)
        self.hidden = nn.Linear(20 * 4, 11)
        self.head = nn.Linear(11, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)), inplace=True)
        x = F.relu(x + self.back(F.relu(self.inner(x))))
        both = torch.cat([self.grouped(self.depthwise(x)), self.side(x)], 1)
        return self.head(F.relu(self.hidden(F.adaptive_avg_pool2d(both, 2).flatten(1))))


class WithHelper(nn.Module):
    """A layer that stands for learning alone reads the same channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head, self.helper = nn.Linear(7, 10), nn.Linear(10, 3), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.first(x))
        return self.head(h) + self.helper(h) if self.training else self.head(h)


class Attending(nn.Module):
    """Heads: what is split in a way that is written down must stay; what feeds a hidden layer need not."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.out = nn.Linear(8, 8), nn.Linear(8, 8)
        self.wide, self.narrow = nn.Linear(8, 13), nn.Linear(13, 8)

    def forward(self, x: Tensor) -> Tensor:
        q = self.query(x).view(*x.shape[:2], 2, 4).transpose(1, 2)
        a = (torch.softmax(q @ q.mT, -1) @ q).transpose(1, 2).flatten(2)
        x = x + self.out(a)
        return x + self.narrow(F.gelu(self.wide(x)))


def answer(x: Tensor):
    return lambda network: network(x)


def without_readers(network: nn.Module, part: float, call, criterion="l1") -> nn.Module:
    """The network at its full size, whose removed channels meet zeros wherever they are read."""
    twin = copy.deepcopy(network)
    state = twin.state_dict()
    for each in channels.sets_of(network, call)[0]:
        for channel in channels._least(network, each, part, criterion):
            for name, dimension, places in channel:
                if dimension > 0:
                    state[name].index_fill_(dimension, torch.tensor(places), 0.0)
    return twin


@pytest.fixture
def knot() -> nn.Module:
    torch.manual_seed(3)
    network = Knot().eval()
    nn.init.uniform_(network.norm.weight, 0.5, 1.5)
    nn.init.normal_(network.norm.bias)
    return network


@pytest.mark.parametrize("criterion", ["l1", "norm"])
@pytest.mark.parametrize("part", [0.25, 0.5, 0.8])
def test_answers_are_those_without_what_reads_the_removed(knot, part, criterion):
    call = answer(torch.randn(2, 3, 8, 8))
    right = call(without_readers(knot, part, call, criterion))
    before = sum(each.numel() for each in knot.parameters())
    change = channels.prune(knot, part, answer=call, criterion=criterion)
    assert torch.allclose(call(knot), right, atol=1e-6)
    assert sum(each.numel() for each in knot.parameters()) < before * (1 - part / 2)
    fresh = Knot()
    resize.rebuild(fresh, change)
    fresh.load_state_dict(knot.state_dict())
    assert torch.equal(call(fresh.eval()), call(knot))


def test_the_sizes_by_hand(knot):
    channels.prune(knot, 0.5, answer=answer(torch.randn(2, 3, 8, 8)))
    assert knot.stem.weight.shape == (6, 3, 3, 3) and knot.norm.num_features == 6
    assert knot.inner.weight.shape == (5, 6, 3, 3) and knot.back.weight.shape == (6, 5, 3, 3)
    assert knot.depthwise.weight.shape == (12, 1, 3, 3) and knot.depthwise.groups == 6
    assert knot.grouped.groups == 2 and knot.grouped.weight.shape[1] * 2 == 12
    assert knot.hidden.weight.shape == (6, knot.grouped.out_channels * 4 + knot.side.out_channels * 4)
    assert knot.head.weight.shape == (5, 6)


def test_the_least_go_first():
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([3.0, 1.0, 4.0, 2.0])[:, None].expand(4, 3))
    kept = network[0].weight[[0, 2]].clone()
    channels.prune(network, 0.5, answer=answer(torch.randn(2, 3)))
    assert torch.equal(network[0].weight, kept)


def test_layers_that_stand_for_learning_lose_the_same_channels():
    network, x = WithHelper().eval(), torch.randn(2, 7)
    channels.prune(network, 0.5, answer=answer(x), learn=lambda each: each(x).sum())
    assert network.helper.weight.shape == (3, 5) and network.train()(x).shape == (2, 3)


def test_heads_stay_and_hidden_layers_shrink():
    torch.manual_seed(5)
    network, call = Attending().eval(), answer(torch.randn(2, 5, 8))
    right = call(without_readers(network, 0.5, call))
    channels.prune(network, 0.5, answer=call)
    assert network.query.weight.shape == (8, 8) and network.wide.weight.shape == (7, 8)
    assert torch.allclose(call(network), right, atol=1e-6)


def test_a_network_without_inner_channels_is_refused():
    with pytest.raises(OptionError, match=r"--channels 0\.5: nothing of this network can be removed"):
        channels.prune(nn.Linear(3, 5).eval(), 0.5, answer=answer(torch.randn(2, 3)))


def test_a_shape_that_is_no_cut_is_refused():
    with pytest.raises(ValueError, match=r"weight of \(5, 3\) cannot be cut to \(7, 3\)"):
        resize.rebuild(nn.Linear(3, 5), {"shapes": {"weight": [7, 3]}, "groups": {}})
