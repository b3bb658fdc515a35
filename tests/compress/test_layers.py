"""Folding, factors, grids, and layers of whole numbers, each against something slower or by hand."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.compress import changes, fold, low_rank, quantize
from deepen.compress.aware import aware_weight
from deepen.compress.measures import num_parameters
from deepen.compress.quantized_layers import WholeLinear, emptied, reference_path
from deepen.compress.rounding import Grid, affine_grid, fixed_point_grid, rounded, straight_through
from deepen.nn.output_adaptive import AdaptiveSoftmax
from deepen.nn.recurrent import Recurrent

SPEC = {
    "kind": "linear",
    "bits": 8,
    "input": [0.05, 128, 0, 255],
    "fast": False,
    "per_channel": True,
    "power_of_two": False,
}


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 7, 3, bias=False), nn.BatchNorm2d(7)
        self.other, self.second = nn.Conv2d(7, 5, 1), nn.BatchNorm2d(5)

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x)), inplace=True)
        y = self.other(x)
        return (self.second(y) + y).mean((2, 3))


def test_folding_keeps_the_answers_and_leaves_what_is_read_twice():
    torch.manual_seed(0)
    network, x = Normed().eval(), torch.randn(2, 3, 11, 11)
    for norm in (network.norm, network.second):
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    right = network(x)
    change = fold.fold(network, lambda each: each(x))
    assert change == {"step": "fold-batch-norms", "pairs": [["conv", "norm"]]}
    assert torch.allclose(network(x), right, atol=1e-5) and isinstance(network.norm, nn.Identity)
    fresh = Normed()
    changes.apply(fresh, [change])
    fresh.load_state_dict(network.state_dict())
    assert torch.equal(fresh.eval()(x), network(x))


def test_a_matrix_of_low_rank_is_found_exactly():
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(29, 23), nn.Conv2d(1, 1, 1))
    with torch.no_grad():
        network[0].weight.copy_(torch.randn(23, 3) @ torch.randn(3, 29))
    x = torch.randn(5, 29)
    right = network[0](x)
    assert low_rank.factorize(network, ["0", "1"], 0.99999999) == {"step": "low-rank", "ranks": {"0": 3}}
    assert torch.allclose(network[0](x), right, atol=1e-4)


def test_a_convolution_is_the_truncated_sum_of_its_singular_parts():
    torch.manual_seed(2)
    network, x = nn.Sequential(nn.Conv2d(11, 13, 3, stride=2, padding=1)), torch.randn(2, 11, 7, 7)
    u, s, v = torch.linalg.svd(network[0].weight.detach().flatten(1))
    (rank,) = low_rank.factorize(copy.deepcopy(network), ["0"], 0.7)["ranks"].values()
    weight = ((u[:, :rank] * s[:rank]) @ v[:rank]).view(13, 11, 3, 3)
    right = F.conv2d(x, weight, network[0].bias, 2, 1)
    low_rank.factorize(network, ["0"], 0.7)
    assert torch.allclose(network(x), right, atol=1e-5)


@pytest.mark.parametrize(("energy", "rank"), [(0.5, 1), (0.66, 1), (0.67, 2), (0.9, 3)])
def test_rank_by_hand(energy, rank):
    assert low_rank.rank_of(torch.tensor([2.0, 1.0, 1.0]), energy) == rank  # 4/6, 5/6, 6/6


def test_rounding_by_hand():
    grid = Grid(0.5, 2, 0, 7)
    x = torch.tensor([-9.0, -0.3, 0.2, 0.3, 1.1, 9.0], requires_grad=True)
    assert rounded(x, grid).tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0, 2.5]
    straight_through(x, grid).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 1.0, 0.0]


def test_grids_hold_zero_and_what_was_seen():
    grid = affine_grid(torch.tensor([0.5, 3.0]), 8, low=0.5, high=3.0, search=False)
    assert (grid.zero, grid.low, grid.high) == (0, 0, 255) and grid.scale == pytest.approx(3 / 255)
    assert fixed_point_grid(torch.tensor([3.0, -0.01]), 8, largest=3.0).scale == 2.0**-5  # 3 needs 2 bits, 1 the sign
    with pytest.raises(ValueError, match="is no grid"):
        Grid.of_list([0.0, 0, 0, 255])


def test_clipping_is_taken_only_where_the_error_gets_smaller():
    values = torch.cat([torch.linspace(-1, 1, 4001), torch.tensor([20.0])])
    clipped = affine_grid(values, 4, low=-1.0, high=20.0, search=True)
    plain = affine_grid(values, 4, low=-1.0, high=20.0, search=False)
    error = [float((rounded(values, grid) - values).square().mean()) for grid in (clipped, plain)]
    assert error[0] < error[1]


def whole(layer: nn.Module, **more) -> nn.Module:
    return quantize.filled(layer, {**SPEC, **more})


@pytest.mark.parametrize("shape", [(5, 31), (2, 3, 31)])
def test_a_linear_layer_is_the_rounded_product(shape):
    torch.manual_seed(4)
    layer, x = nn.Linear(31, 17), torch.randn(shape)
    made = whole(layer)
    scale = layer.weight.abs().amax(1) / 127
    right = F.linear(
        rounded(x, Grid.of_list(SPEC["input"])), (layer.weight / scale[:, None]).round() * scale[:, None], layer.bias
    )
    assert torch.allclose(made(x), right, atol=1e-5)
    fast = whole(layer, fast=True)
    if fast.takes_fast_path(x):
        assert torch.allclose(fast(x), right, atol=1e-4)
        with reference_path():
            assert torch.equal(fast(x), made(x))


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize("groups", [1, 3, 6])
def test_a_convolution_is_the_rounded_one_on_both_paths(groups, dimensions):
    torch.manual_seed(groups)
    kind, call = ((nn.Conv1d, F.conv1d), (nn.Conv2d, F.conv2d))[dimensions - 1]
    layer, x = kind(6, 12, 3, stride=2, padding=1, dilation=2, groups=groups), torch.randn(3, 6, *[13] * dimensions)
    made, fast = (whole(layer, kind="convolution", fast=each) for each in (False, True))
    right = call(rounded(x, Grid.of_list(SPEC["input"])), made.weight, layer.bias, 2, 1, 2, groups)
    assert torch.allclose(made(x), right, atol=1e-5)
    assert (made.weight - layer.weight).abs().max() <= made.scales.max() / 2 + 1e-7
    if fast.takes_fast_path(x):
        assert torch.allclose(fast(x), right, atol=1e-3)


@pytest.mark.parametrize("is_fast", [False, True])
def test_an_answer_does_not_depend_on_its_neighbours(is_fast):
    layer = whole(nn.Linear(19, 7), fast=is_fast)
    x = torch.randn(5, 19) * torch.tensor([1.0, 50.0, 1.0, 9.0, 0.1])[:, None]
    assert torch.allclose(torch.cat([layer(row[None]) for row in x]), layer(x), atol=1e-6)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_a_recurrent_layer_is_that_of_the_rounded_weights(kind):
    torch.manual_seed(6)
    network, x = Recurrent(kind, 11, 13), torch.randn(3, 7, 11)
    lengths = torch.tensor([7, 2, 0])
    spec = {**SPEC, "kind": "recurrent", "input": None}
    made = copy.deepcopy(network)
    quantize.quantize(made.eval(), {"ahead.0": spec}, {})
    with torch.no_grad():
        for name in ("weight_ih_l0", "weight_hh_l0"):
            getattr(network.ahead[0], name).copy_(getattr(made.ahead[0], name))
    for given in (lengths, None):
        own, right = made(x, given), network.eval()(x, given)
        assert torch.allclose(own[0], right[0], atol=1e-6)
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(own[1], right[1], strict=True))


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_step_by_step_in_whole_numbers_is_near_the_floats(kind):
    torch.manual_seed(7)
    network, x = Recurrent(kind, 11, 13).eval(), torch.randn(3, 7, 11)
    grid = affine_grid(x.flatten(), 8, low=float(x.min()), high=float(x.max()), search=False).as_list()
    made = copy.deepcopy(network)
    made.ahead[0] = quantize.filled(network.ahead[0], {**SPEC, "kind": "recurrent", "input": grid})
    for lengths in (None, torch.tensor([7, 2, 0])):
        own, right = made(x, lengths), network(x, lengths)
        assert (own[0] - right[0]).abs().max() < 0.03
        assert all((a - b).abs().max() < 0.03 for a, b in zip(own[1], right[1], strict=True))


def test_an_embedding_gives_the_rounded_rows():
    layer, ids = nn.Embedding(23, 5), torch.tensor([[0, 22], [7, 7]])
    made = whole(layer, kind="embedding")
    assert torch.allclose(made(ids), F.embedding(ids, made.weight)) and made.weight.shape == (23, 5)
    assert (made(ids) - layer(ids)).abs().max() <= made.scales.max() / 2 + 1e-7


def test_the_state_goes_through_a_fresh_network():
    network = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    x = torch.randn(11, 7)
    kinds = quantize.layers_of(network, lambda each: each(x), ["2"])
    assert kinds == {"0": "linear"}
    seen = quantize.calibrated(network, kinds, [lambda each: each(x)])
    assert (seen["0"].low, seen["0"].high) == (float(x.min()), float(x.max()))
    change = quantize.quantize(network, quantize.specs(kinds, seen, "int8"), seen)
    fresh = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3))
    changes.apply(fresh, [change])
    fresh.load_state_dict(network.state_dict())
    assert torch.equal(fresh(x), network(x)) and isinstance(copy.deepcopy(fresh)[0], WholeLinear)


@pytest.mark.parametrize("scheme", ["int8", "int8-weights", "fixed-point"])
def test_words_that_share_their_vectors_with_the_output_share_whole_numbers_too(scheme):
    """An embedding tied to an adaptive softmax over 307 words, whose rows are read in parts."""

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(307, 7)
            counts = (5e3 / np.arange(1, 308)).astype(int)
            self.output = AdaptiveSoftmax(7, counts, cutoffs=(11, 101), tied=self.embedding.weight)

        def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
            return self.output.target_log_probabilities(torch.tanh(self.embedding(ids)), targets)

    torch.manual_seed(0)
    network, ids, targets = Network().eval(), torch.randint(307, (43,)), torch.randint(307, (43,))
    before = network(ids, targets).detach()

    def call(each: nn.Module) -> object:
        return each(ids, targets)

    kinds = quantize.layers_of(network, call)
    assert kinds == {"embedding": "embedding", "output.linear": "linear", "output.clusters": "linear"}
    seen = quantize.calibrated(network, kinds, [call], (call, call))
    change = quantize.quantize(network, quantize.specs(kinds, seen, scheme), seen)
    fresh = Network().eval()
    changes.apply(fresh, [change])
    fresh.load_state_dict(network.state_dict())
    for each in (network, fresh):
        shared = each.output.linear.quantized is each.embedding.quantized
        assert shared == (scheme != "fixed-point")  # which has one step for a layer, but for each row of a table
        assert num_parameters(each) == (307 * 7) * (1 if shared else 2) + 307 + 2 * 7 + 2
    with torch.no_grad():
        after = network(ids, targets)
        assert (after - before).abs().max() < 0.1 and not torch.equal(after, before)
        assert torch.allclose(after, fresh(ids, targets), atol=1e-6)
        logs = network.output(torch.tanh(network.embedding(ids)))
        assert torch.allclose(logs.gather(1, targets[:, None])[:, 0], after, atol=1e-5)
        assert network.output.target_log_probabilities(torch.zeros(0, 7), targets[:0]).shape == (0,)


def test_a_spec_of_another_layer_is_refused():
    with pytest.raises(ValueError, match="Linear is not convolution of 8 bits"):
        emptied(nn.Linear(3, 5), {**SPEC, "kind": "convolution"})


def test_learning_with_rounding_sees_what_will_answer():
    layer = nn.Linear(7, 5)
    spec = {**SPEC, "input": None}
    network = nn.Sequential(copy.deepcopy(layer))
    changes.apply(network, [{"step": "aware", "layers": {"0": spec}}])
    x = torch.randn(3, 7)
    assert torch.allclose(network(x), whole(layer, input=None)(x), atol=1e-5)
    network(x).square().sum().backward()
    assert network[0].weight.grad is not None and network[0].weight.grad.abs().min() > 0
    assert torch.allclose(aware_weight(layer.weight, spec), whole(layer).weight, atol=1e-6)


def test_a_traced_layer_quantizes_and_dequantizes():
    layer, x = nn.Sequential(whole(nn.Conv2d(3, 5, 3), kind="convolution")), torch.randn(2, 3, 7, 7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(layer, (x,))
    names = {str(node.target) for node in program.graph.nodes}
    assert any("quantize_per_tensor" in name for name in names) and any(
        "dequantize_per_channel" in name for name in names
    )
    assert torch.allclose(program.module()(x), layer(x), atol=1e-4)
