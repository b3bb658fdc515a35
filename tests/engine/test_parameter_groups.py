"""Which parameters learn, and how fast: groups partition them, what is frozen stays bit for bit, nothing is lost."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from small_task import SmallTask, StopAt, points
from torch import nn

from deepen.bundle import checkpoint
from deepen.core.errors import OptionError
from deepen.engine import optim
from deepen.engine.fit import fit
from deepen.engine.options import FitOptions, OptimizerOptions, ScheduleOptions
from deepen.engine.parameter_groups import (
    RATE_SCALE,
    Start,
    begin,
    freeze,
    frozen_norms,
    groups,
    head_names,
    names_to_freeze,
    scale_rate,
)
from deepen.parallel import launch

TRAIN, VAL = points(211, 0), points(53, 1)
OPTIONS = FitOptions(epochs=3, batch_size=31, ema=0.9, optimizer=OptimizerOptions(learning_rate=0.02))
TUNED = dataclasses.replace(OPTIONS, weights="some.pth", freeze=("loaded",))


def network():
    torch.manual_seed(5)
    return SmallTask(batch_norm=True).build()  # 0 linear, 1 batch norm, 4 linear


def loaded_start(seed=3, *, of=("0", "1")):
    """Weights from elsewhere for these layers of the network."""
    torch.manual_seed(seed)
    state = SmallTask(batch_norm=True).build().state_dict()
    state["1.running_mean"] = torch.randn(17)
    state["1.running_var"] = torch.rand(17) + 0.5
    tensors = {name: tensor for name, tensor in state.items() if name.split(".")[0] in of}
    return Start(tensors, frozenset(tensors))


def test_the_groups_hold_each_trained_parameter_once_by_dimension_and_scale():
    net = network()
    freeze(net, ["0.bias"])
    scale_rate(net, ["0.weight", "1.weight"], 0.25)
    found = groups(net, OptimizerOptions(weight_decay=0.3))
    named = {id(p): name for name, p in net.named_parameters()}
    assert [([named[id(p)] for p in g["params"]], g["weight_decay"], g[RATE_SCALE]) for g in found] == [
        (["4.weight"], 0.3, 1.0),
        (["1.bias", "4.bias"], 0.0, 1.0),
        (["0.weight"], 0.3, 0.25),
        (["1.weight"], 0.0, 0.25),
    ]


def test_a_scaled_rate_makes_steps_of_that_scale():
    """One step of plain SGD from the same gradients: w - s r g."""
    moved = {}
    for scale in (1.0, 0.125):
        net = network()
        scale_rate(net, ["0.weight"], scale)
        before = {name: p.detach().clone() for name, p in net.named_parameters()}
        options = OptimizerOptions(kind="sgd", learning_rate=0.5, momentum=0.0, nesterov=False, weight_decay=0.0)
        optimizer = optim.build(options, net)
        optim.set_rate(optimizer, 0.5)
        net.eval()(TRAIN.tensors["points"]).square().sum().backward()
        optimizer.step()
        moved[scale] = {name: p.detach() - before[name] for name, p in net.named_parameters()}
    assert torch.allclose(moved[0.125]["0.weight"], moved[1.0]["0.weight"] / 8, rtol=1e-3, atol=1e-6)
    assert torch.equal(moved[0.125]["4.weight"], moved[1.0]["4.weight"])


def test_the_head_is_the_last_layer_with_parameters_and_is_not_frozen_with_what_was_loaded():
    net = network()
    everything = frozenset(net.state_dict())
    assert head_names(net) == {"4.weight", "4.bias"}
    assert names_to_freeze(net, everything, ("loaded",)) == {"0.weight", "0.bias", "1.weight", "1.bias"}
    assert names_to_freeze(net, frozenset(), ("1", "4.bias")) == {"1.weight", "1.bias", "4.bias"}


def test_a_name_ends_at_a_dot():
    net = nn.ModuleDict({"layer1": nn.Linear(2, 3), "layer10": nn.Linear(3, 5)})
    assert names_to_freeze(net, frozenset(), ("layer1",)) == {"layer1.weight", "layer1.bias"}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (("layr1",), r"--freeze layr1: the network has no parameters there; did you mean layer1\?"),
        (("xyz",), r"--freeze xyz: .*; its parts are layer1, layer2\."),
        (("loaded",), "--freeze loaded: the network has no parameters there"),
        (("layer1", "layer2"), "--freeze layer1,layer2: nothing would be left to train"),
    ],
)
def test_what_cannot_be_frozen_is_refused(parts, words):
    net = nn.ModuleDict({"layer1": nn.Linear(2, 3), "layer2": nn.Linear(3, 5)})
    with pytest.raises(OptionError, match=words):
        names_to_freeze(net, frozenset(), parts)


@pytest.mark.parametrize(
    ("given", "words"), [({"trunk_lr": 0.1}, "--trunk-lr 0.1"), ({"freeze": ("loaded",)}, "loaded")]
)
def test_options_that_need_weights_are_refused_without(given, words):
    with pytest.raises(OptionError, match=f"{words}: expected --weights beside it"):
        FitOptions(**given)


def test_batch_norms_are_fixed_only_where_all_their_parameters_are():
    net = network()
    assert frozen_norms(net) == []
    freeze(net, ["1.weight"])
    assert frozen_norms(net) == []
    freeze(net, ["1.bias"])
    assert frozen_norms(net) == [net[1]]
    assert frozen_norms(nn.Sequential(nn.BatchNorm1d(3, affine=False))) == []


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_what_is_frozen_stays_bit_for_bit_and_the_rest_learns(ema):
    start = loaded_start()
    fitted = fit(SmallTask(batch_norm=True), TRAIN, VAL, dataclasses.replace(TUNED, ema=ema, epochs=20), start=start)
    state = fitted.model.state_dict()
    for name, tensor in start.tensors.items():
        assert torch.equal(state[name], tensor), name  # weights, and the running mean and variance too
    fresh = network().state_dict()
    assert not torch.equal(state["4.weight"], fresh["4.weight"])
    assert fitted.history[-1]["train_loss"] < fitted.history[0]["train_loss"]


def test_what_is_frozen_takes_no_gradient_and_no_memory_of_the_optimizer(tmp_path):
    fit(SmallTask(batch_norm=True), TRAIN, VAL, TUNED, start=loaded_start(), folder=tmp_path)
    tensors, _, _ = checkpoint.load_checkpoint(tmp_path)
    kept = sorted(name for name in tensors if name.startswith("optimizer.") and "exp_avg" in name)
    assert kept == ["optimizer.0.exp_avg", "optimizer.0.exp_avg_sq", "optimizer.1.exp_avg", "optimizer.1.exp_avg_sq"]


def test_the_network_begins_with_what_was_loaded_and_draws_the_rest_as_without():
    start, net, fresh = loaded_start(of=("0",)), network(), network()
    begin(net, start, OPTIONS)
    state = net.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in start.tensors.items())
    assert torch.equal(state["4.weight"], fresh.state_dict()["4.weight"])


def test_an_initialization_undoes_neither_what_was_loaded_nor_a_trunk_of_its_own():
    """0.weight is loaded, 4.weight is frozen and not loaded: it begins by the formula, as what learns does."""
    start = loaded_start(of=("0",))
    options = dataclasses.replace(
        OPTIONS, initialization="constant", initialization_value=0.125, weights="some.pth", freeze=("0", "4.weight")
    )
    state = fit(SmallTask(batch_norm=True), TRAIN, None, options, start=start).model.state_dict()
    for name, tensor in start.tensors.items():
        assert torch.equal(state[name], tensor), name
    assert (state["4.weight"] == 0.125).all() and state["4.bias"].any()


@pytest.mark.parametrize("options", [TUNED, dataclasses.replace(OPTIONS, weights="some.pth", trunk_lr=0.1)])
@pytest.mark.parametrize("step", [1, 9, 14])
def test_killed_and_resumed_without_the_weights_is_never_killed(tmp_path, options, step):
    options = dataclasses.replace(options, checkpoint_every="1ms")
    start = loaded_start()
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    undisturbed = fit(SmallTask(batch_norm=True), TRAIN, VAL, options, folder=whole, start=start)
    with pytest.raises(StopAt.Killed):
        fit(SmallTask(batch_norm=True), TRAIN, VAL, options, folder=cut, start=start, events=StopAt(step))
    assert checkpoint.has_checkpoint(cut)  # there is one before the first step
    names_alone = Start({}, start.loaded)
    resumed = fit(SmallTask(batch_norm=True), TRAIN, VAL, options, folder=cut, resume=True, start=names_alone)
    for name, tensor in undisturbed.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    assert (whole / "metrics.jsonl").read_bytes() == (cut / "metrics.jsonl").read_bytes()
    ours, theirs = (checkpoint.load_checkpoint(folder)[0] for folder in (whole, cut))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def _with_ranks(ranks):
    """With frozen batch norms there are no statistics of shares, so that two ranks take the same steps as one."""
    options = dataclasses.replace(TUNED, schedule=ScheduleOptions(kind="constant", warm_up=0.0))
    return fit(SmallTask(batch_norm=True), TRAIN, VAL, options, start=loaded_start(), ranks=ranks)


def _other(ranks, _):
    _with_ranks(ranks)


def test_two_ranks_take_the_same_steps_as_one():
    from deepen.parallel.ranks import Alone

    one = _with_ranks(Alone())
    with launch.group(2, "cpu", _other, None) as ranks:
        two = _with_ranks(ranks)
    for name, tensor in one.model.state_dict().items():
        assert torch.allclose(tensor.double(), two.model.state_dict()[name].double(), rtol=1e-4, atol=1e-6), name
