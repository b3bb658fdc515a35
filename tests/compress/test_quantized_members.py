"""Members in whole numbers: against their floats, and what is said of what stays in floats."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from deepen.compress import changes, quantize
from deepen.compress.quantized_layers import WholeMembers
from deepen.models import neural_tree, tabm
from deepen.nn.experts import Experts
from deepen.nn.members import MemberLinear, MemberNetworks
from deepen.nn.shapes import ImageShape, TableShape

SPEC = {"kind": "members", "bits": 8, "input": None, "fast": False, "per_channel": True, "power_of_two": False}


def test_each_output_of_each_member_has_its_own_step():
    torch.manual_seed(0)
    layer = MemberLinear(3, 7, 5, gain=1.0)
    with torch.no_grad():
        layer.weight[1] *= 100
        layer.weight[2, :, 4] = 0
        nn.init.normal_(layer.bias)
    made = quantize.filled(layer, SPEC)
    assert isinstance(made, WholeMembers)
    steps = layer.weight.detach().abs().amax(1, keepdim=True) / 127  # [3, 1, 5]
    expected = torch.round(layer.weight / steps.clamp(min=1e-12)) * steps
    assert torch.allclose(made.weight, expected, atol=1e-6, rtol=1e-5)
    assert ((made.weight - layer.weight).abs() <= 0.5001 * steps + 1e-12).all()
    x = torch.randn(3, 11, 7)
    assert torch.allclose(made(x), x @ expected + layer.bias, atol=1e-4, rtol=1e-4)
    assert made.quantized.dtype == torch.int8 and made.quantized.shape == (15, 7)


@pytest.mark.parametrize("scheme", ["int8-weights", "int8", "fixed-point"])
def test_chosen_members_are_those_of_all(scheme):
    """Both ways of MemberNetworks read the same whole numbers, and a fresh network takes them from a state."""
    torch.manual_seed(1)
    network = nn.Sequential(MemberNetworks(5, (7, 11, 3)))
    whole = copy.deepcopy(network).eval()
    x = torch.randn(13, 7)
    kinds = quantize.layers_of(whole, lambda each: each(x))
    assert kinds == {"0.layers.0": "members", "0.layers.1": "members"}
    seen = quantize.calibrated(whole, kinds, [lambda each: each(x)])
    step = quantize.quantize(whole, quantize.specs(kinds, seen, scheme), seen)
    which = torch.arange(13) % 5
    everything = whole(x)
    chosen = whole[0].chosen(x, which[:, None])[:, 0]
    assert torch.allclose(chosen, everything[torch.arange(13), which], atol=1e-6)
    assert torch.allclose(whole[0].chosen(x[:1], which[:1, None])[0, 0], everything[0, 0], atol=1e-6)
    scale = network(x).abs().max()
    assert 0 < (everything - network(x)).abs().max() < 0.05 * scale
    fresh = copy.deepcopy(network).eval()
    changes.apply(fresh, [step])
    fresh.load_state_dict(whole.state_dict())
    assert torch.equal(fresh(x), everything)


def test_a_traced_graph_keeps_whole_numbers():
    torch.manual_seed(2)
    network = nn.Sequential(MemberNetworks(3, (7, 5))).eval()
    x = torch.randn(11, 7)
    kinds = quantize.layers_of(network, lambda each: each(x))
    quantize.quantize(network, quantize.specs(kinds, {}, "int8-weights"), {})
    program = torch.export.export(network, (x,))
    assert torch.allclose(program.module()(x), network(x), atol=1e-6)
    assert any("dequantize_per_channel" in str(node.target) for node in program.graph.nodes)


def test_experts_leaves_and_tabm_are_a_quarter_of_their_size():
    torch.manual_seed(3)
    tree = neural_tree.build("neural-tree", ImageShape(1, 5, 5), 3, neural_tree.Options(depth=3, leaf_hidden=7)).eval()
    pictures = torch.rand(13, 1, 5, 5)
    rows = tabm.build("tabm", TableShape(3, (5,), rows=31), 2, tabm.Options(members=3, width=13)).eval()
    numbers, categories = torch.randn(11, 3), torch.randint(0, 5, (11, 1))
    mixture = nn.Sequential(Experts((7, 11, 3), 5, top=2)).eval()
    x = torch.randn(13, 7)
    for network, call in (
        (tree, lambda each: each(pictures)),
        (rows, lambda each: each(numbers, categories)),
        (mixture, lambda each: each(x)),
    ):
        before = call(network)
        kinds = quantize.layers_of(network, call)
        assert quantize.left_in_floats(network)[0] == 1 and not quantize.said(network)
        quantize.quantize(network, quantize.specs(kinds, {}, "int8-weights"), {})
        assert quantize.left_in_floats(network) == (0, []) and not quantize.said(network)
        assert 0 < (call(network) - before).abs().max() < 0.1 * before.abs().max()


def test_what_stays_in_floats_is_said_with_its_share():
    network = nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), MemberNetworks(2, (5, 7)))
    network.register_parameter("places", nn.Parameter(torch.zeros(5, 3)))
    x = torch.randn(11, 3)
    kinds = quantize.layers_of(network, lambda each: each(x), ["2"])
    seen = quantize.calibrated(network, kinds, [lambda each: each(x)])
    quantize.quantize(network, quantize.specs(kinds, seen, "int8"), seen)
    share, names = quantize.left_in_floats(network)  # whole: 15; in floats: members 70, places 15, biases uncounted
    assert share == pytest.approx(0.85) and names == ["2.layers.0.weight", "places"]
    assert quantize.said(network) == ["85.0% of the weights stay in float32: 2.layers.0.weight, places"]
    kinds = quantize.layers_of(network, lambda each: each(x))
    quantize.quantize(network, quantize.specs(kinds, {}, "int8-weights"), {})
    assert quantize.said(network) == [
        "15.0% of the weights stay in float32: places",
        "of 2.layers.0 the weights alone are whole numbers; their inputs stay in float32",
    ]


@pytest.mark.parametrize("has_kernels", [False, True])
def test_a_processor_that_cannot_use_whole_numbers_is_told_of(monkeypatch, has_kernels):
    monkeypatch.setattr(quantize, "has_kernels", lambda: has_kernels)
    network, x = nn.Sequential(nn.Linear(3, 5)), torch.randn(11, 3)
    assert not quantize.said_here(network)
    kinds = quantize.layers_of(network, lambda each: each(x))
    seen = quantize.calibrated(network, kinds, [lambda each: each(x)])
    quantize.quantize(network, quantize.specs(kinds, seen, "int8"), seen)
    found = quantize.said_here(network)
    assert not found if has_kernels else "no VNNI" in found[0]
    weights = nn.Sequential(nn.Linear(3, 5))
    quantize.quantize(weights, quantize.specs(kinds, {}, "int8-weights"), {})
    assert not quantize.said_here(weights)  # they are floats everywhere
