"""Stages and early exits: rows left out between stages change nothing for the others, and who answers what, by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from deepen.models import densenet, dpcnn, mlp, resnet, tabular_resnet, transformer_classifier, vgg, wren
from deepen.nn.exits import WithExits, confidence, whole
from deepen.nn.shapes import ImageShape, TableShape, TextShape
from deepen.nn.staged import Staged, grid_means, through

IMAGE, TABLE, TEXT = ImageShape(3, 23, 19), TableShape(5, (3, 29)), TextShape(31, longest=13)
NETWORKS = {
    "wren": lambda: wren.build("wren", IMAGE, 7),
    "resnet18": lambda: resnet.build("resnet18", IMAGE, 7),
    "resnet50": lambda: resnet.build("resnet50", IMAGE, 7),
    "vgg11": lambda: vgg.build("vgg11", IMAGE, 7),
    "vgg11-bn": lambda: vgg.build("vgg11-bn", IMAGE, 7),
    "densenet121": lambda: densenet.build("densenet121", IMAGE, 7),
    "mlp of images": lambda: mlp.build("mlp", IMAGE, 7, mlp.Options(hidden=(17, 13, 11))),
    "mlp of tables": lambda: mlp.build("mlp", TABLE, 7, mlp.Options(hidden=(17, 13, 11), activation="tanh")),
    "tabular-resnet": lambda: tabular_resnet.build("tabular-resnet", TABLE, 7),
    "transformer-encoder": lambda: transformer_classifier.build("transformer-encoder", TEXT, 7),
    "dpcnn": lambda: dpcnn.build("dpcnn", TEXT, 7),
}


def built(name: str):
    torch.manual_seed(3)
    return NETWORKS[name]().eval()


def inputs_of(name: str, count: int, seed: int = 5) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(seed)
    if name in ("transformer-encoder", "dpcnn"):
        lengths = torch.randint(0, 14, (count, 1), generator=draw)
        return torch.randint(2, 31, (count, 13), generator=draw), torch.arange(13) < lengths
    if name in ("mlp of tables", "tabular-resnet"):
        places = [torch.randint(0, size, (count, 1), generator=draw) for size in TABLE.categories]
        return torch.randn(count, 5, generator=draw), torch.cat(places, 1)
    return (torch.randn(count, 3, 23, 19, generator=draw),)


def with_exits(network, inputs, thresholds=()) -> WithExits:
    """An exit after each stage but the last."""
    assert isinstance(network, Staged)
    widths, state = [], network.begin(*inputs)
    for number in range(network.num_stages - 1):
        state = network.stage(number, *state)
        widths.append(network.summary(*state).shape[1])
    torch.manual_seed(7)
    return WithExits(network, 7, range(network.num_stages - 1), widths, thresholds).eval()


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_a_row_is_computed_alike_when_others_leave(name):
    network, inputs = built(name), inputs_of(name, 5)
    right, state = network(*inputs), network.begin(*inputs)
    assert torch.equal(through(network, *inputs), right)
    left = torch.arange(5)
    for number in range(network.num_stages):
        state = network.stage(number, *state)
        if number < 2:
            kept = torch.arange(len(left)) != 1
            state, left = tuple(each[kept] for each in state), left[kept]
    assert torch.allclose(network.finish(*state), right[left], atol=1e-4) and len(left) < 5


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_each_row_gets_the_logits_of_the_first_exit_that_is_sure(name):
    """Against asking every exit about every row."""
    network, inputs = built(name), inputs_of(name, 23)
    every = torch.stack(with_exits(network, inputs).every(*inputs))  # [E + 1, B, K]
    sure = torch.stack([confidence(each) for each in every])
    thresholds = sure[:-1].median(1).values.tolist()
    model = with_exits(network, inputs, thresholds)
    found, by = model.answered(*inputs)
    for row in range(23):
        first = next((e for e, t in enumerate(thresholds) if sure[e, row] > t + 1e-6), len(thresholds))
        near = any(abs(sure[e, row] - t) < 1e-6 for e, t in enumerate(thresholds))
        assert near or by[row] == first
        assert torch.allclose(found[row], every[by[row], row], atol=1e-4)
    assert 0 < (by == 0).sum() < 23 and torch.equal(model(*inputs), found)


@torch.no_grad()
def test_zero_is_the_first_exit_and_one_the_whole_network():
    network, inputs = built("wren"), inputs_of("wren", 7)
    plain = network(*inputs)
    assert torch.equal(with_exits(network, inputs)(*inputs), plain)
    first = with_exits(network, inputs, (0.0, 1.0))
    assert torch.equal(first(*inputs), first.only(0, *inputs)) and (first.answered(*inputs)[1] == 0).all()
    assert torch.equal(first.only(2, *inputs), plain)
    second = with_exits(network, inputs, (1.0, 0.0))
    assert torch.equal(second(*inputs), second.every(*inputs)[1])


@torch.no_grad()
def test_what_nobody_needs_is_not_computed():
    network, inputs = built("resnet18"), inputs_of("resnet18", 3)
    model = with_exits(network, inputs, (0.0, 1.0, 1.0))
    counts = []
    network.layer2.register_forward_hook(lambda module, given, output: counts.append(len(output)))
    model(*inputs)
    assert not counts
    with whole(model):
        assert torch.allclose(model(*inputs), torch.stack(model.every(*inputs)).sum(0))
    assert counts == [3, 3]
    model.thresholds = (float(confidence(model.only(0, *inputs)).median()), 1.0, 1.0)
    counts.clear()
    model(*inputs)
    assert counts == [2]


@torch.no_grad()
def test_what_is_not_a_number_is_sure_of_nothing():
    network, inputs = built("mlp of images"), inputs_of("mlp of images", 5)
    model = with_exits(network, inputs, (0.0, 0.0))
    model.exits[0].linear.bias[2] = torch.nan
    found, by = model.answered(*inputs)
    assert (by == 1).all() and torch.equal(found, model.only(1, *inputs))


def test_in_training_every_part_learns_and_the_network_answers_alone():
    network, inputs = built("wren"), inputs_of("wren", 5)
    model = with_exits(network, inputs, (0.0, 0.0)).train()
    network.train()
    again = copy.deepcopy(network)
    assert torch.equal(model(*inputs), again(*inputs))
    torch.stack(model.every(*inputs)).square().sum().backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]


def test_a_network_without_stages_has_no_exits():
    with pytest.raises(TypeError, match="Linear has no stages"):
        WithExits(nn.Linear(3, 2), 2, [0], [3])
    for places in ([1, 0], [0, 0], [3], [-1]):
        with pytest.raises(ValueError, match="no rising numbers of 3 stages"):
            WithExits(built("wren"), 7, places, [5] * len(places))
    with pytest.raises(ValueError, match="as many widths"):
        WithExits(built("wren"), 7, [0, 1], [5, 5], [0.5])


def test_the_grid_is_of_means_by_hand():
    maps = torch.arange(8.0).reshape(1, 1, 8, 1)
    assert grid_means(maps).tolist() == [[1.5, 5.5]]
    assert grid_means(maps[:, :, :1]).tolist() == [[0.0]]
