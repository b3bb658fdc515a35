"""Layer by layer without labels: it is what a simpler loop learns, and a run begins with it, bit for bit."""

from __future__ import annotations

import dataclasses
import signal

import numpy as np
import pyarrow as pa
import pytest
import stacked_task
import torch
from small_task import SmallTask, StopAt, points
from stacked_task import StackedTask

from deepen.bundle import checkpoint
from deepen.core import rng
from deepen.core.errors import OptionError, TrainingError
from deepen.engine.events import Silent
from deepen.engine.fit import fit
from deepen.engine.layer_learners import Scaling
from deepen.engine.options import FitOptions, OptimizerOptions
from deepen.engine.pretraining import _Inputs, _Samples, pretrained
from deepen.engine.signals import Interrupted
from deepen.engine.training import fresh
from deepen.nn.dropout import drawing_for
from deepen.nn.layer_autoencoder import LayerAutoencoder
from deepen.parallel import launch
from deepen.parallel.ranks import Alone
from deepen.prepare.encoded import Batch, Encoded

TRAIN, VAL = points(211, 0), points(53, 1)
OPTIONS = FitOptions(
    epochs=2,
    batch_size=31,
    pretrain="denoising",
    pretrain_epochs=3,
    pretrain_batch_size=23,
    optimizer=OptimizerOptions(learning_rate=0.02),
)


def clustered():
    """Points around three places: a machine without weights could be no model of them, as of one round cloud."""
    draw = torch.Generator().manual_seed(2)
    places = 2 * torch.randn(3, 5, generator=draw)
    x = places[TRAIN.tensors["labels"]] + 0.3 * torch.randn(211, 5, generator=draw)
    return Encoded({**TRAIN.tensors, "points": x}, TRAIN.table)


CLUSTERED = clustered()
KINDS = ["autoencoder", "denoising", "rbm"]


def chosen(**changes):
    if changes.get("pretrain") == "rbm":
        changes = {"pretrain_tied": None, "pretrain_corruption": None, **changes}
    return dataclasses.replace(OPTIONS, **changes)


def without_labels(encoded):
    return Encoded({"points": encoded.tensors["points"]}, encoded.table)


class PointsAlone(StackedTask):
    """A batch without labels, as of data to answer for."""

    def batch(self, encoded, rows, draws):
        if "labels" in encoded.tensors:
            return super().batch(encoded, rows, draws)
        return Batch({"points": encoded.tensors["points"][torch.from_numpy(rows)]}, 0, rows)


def test_the_first_layer_is_what_a_plain_loop_over_the_formula_learns():
    options = chosen(pretrain_learning_rate=0.01)
    found = pretrained(StackedTask(), [TRAIN], options).start.tensors
    x = TRAIN.tensors["points"]
    mean, scale = x.mean(0), 1 / x.var(0, unbiased=False).mean().sqrt()
    z = (x - mean) * scale
    net = LayerAutoencoder(fresh(StackedTask(), options).first, "sigmoid", corruption=0.25)
    with torch.no_grad():
        net.weight.mul_((5 / 17) ** 0.5)  # drawn for the larger fan
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for epoch in range(3):
        order = rng.permutation(rng.key(0, "pretraining order", 0), epoch, 211)
        for rows in np.array_split(order, 10):
            optimizer.zero_grad()
            with drawing_for(rng.key(0, "pretraining", 0) % 2**63, epoch, rows, torch.device("cpu")):
                net.loss(z[torch.from_numpy(rows)]).mean().backward()
            optimizer.step()
    with torch.no_grad():
        ours = torch.sigmoid(x @ found["first.weight"].T + found["first.bias"])
        assert torch.allclose(ours, net.encode(z), atol=1e-5)
    assert not torch.allclose(found["first.weight"], net.weight)  # they are of x, not of z


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_every_layer_learns_to_reconstruct(kind, activation):
    rate = 0.03 if kind != "rbm" else 0.01 if activation == "relu" else 0.1
    options = chosen(pretrain=kind, pretrain_epochs=60, pretrain_learning_rate=rate)
    found = pretrained(StackedTask(activation=activation), [CLUSTERED], options)
    assert [(each["layer"], each["inputs"], each["units"]) for each in found.course] == [
        ("first", 5, 17),
        ("second", 17, 11),
    ]
    for each in found.course:
        assert len(each["errors"]) == 60
        assert each["errors"][-1] < 0.7 * each["errors"][0]


def test_the_second_layer_sees_what_the_first_has_learned_and_no_dropout():
    task = StackedTask(dropout=0.9)
    network = task.build().eval()
    samples = _Samples(task, [TRAIN, VAL], network, torch.device("cpu"))
    rows = np.array([210, 3, 211, 263, 0])
    x = torch.cat([TRAIN.tensors["points"], VAL.tensors["points"]])[torch.from_numpy(rows)]
    assert torch.equal(samples.come_to(network.first, rows), x)
    assert torch.allclose(samples.come_to(network.second, rows), torch.sigmoid(network.first(x)), atol=1e-6)


def test_the_inputs_are_brought_to_one_scale_and_the_weights_back():
    task = StackedTask()
    network = task.build().eval()
    samples = _Samples(task, [TRAIN], network, torch.device("cpu"))
    x = TRAIN.tensors["points"]
    real = _Inputs(samples, network.first, "gaussian", known=None)
    z = real.take(np.arange(211))
    assert torch.allclose(z.mean(0), torch.zeros(5), atol=1e-6)
    assert z.var(0, unbiased=False).mean().item() == pytest.approx(1, abs=1e-5) == real.scaling.variance
    chances = _Inputs(samples, network.first, "binary", known=None)
    z = chances.take(np.arange(211))
    assert (z.min().item(), z.max().item()) == pytest.approx((0, 1), abs=1e-6)
    assert torch.allclose(z.mean(0), chances.scaling.mean, atol=1e-6)
    weight, bias = torch.randn(17, 5), torch.randn(17)
    for inputs in (real, chances):
        folded = inputs.scaling.folded(weight, bias)
        assert torch.allclose(x @ folded[0].T + folded[1], inputs.scaling(x) @ weight.T + bias, atol=1e-4)


def test_inputs_that_do_not_fit_into_memory_are_made_anew_and_are_the_same(monkeypatch):
    held = pretrained(StackedTask(), [TRAIN], OPTIONS)
    monkeypatch.setattr("deepen.engine.pretraining.HELD_BYTES", 0)
    anew = pretrained(StackedTask(), [TRAIN], OPTIONS)
    for name, tensor in held.start.tensors.items():
        assert torch.allclose(tensor, anew.start.tensors[name], atol=1e-5), name


def test_constant_inputs_are_no_reason_to_stop():
    still = Encoded({**TRAIN.tensors, "points": torch.ones(211, 5)}, TRAIN.table)
    for inputs in ("gaussian", "binary"):
        found = pretrained(StackedTask(), [still], chosen(pretrain_inputs=inputs)).start.tensors
        assert all(tensor.isfinite().all() for tensor in found.values())


def test_units_of_minus_one_and_one_are_the_same_machine():
    """tanh(a / 2) = 2 sigmoid(a) - 1: what such a network gives is the other's, brought from 0..1 to -1..1."""
    layers = {}
    for activation, f in (("sigmoid", torch.sigmoid), ("tanh", torch.tanh)):
        options = chosen(pretrain="rbm", pretrain_epochs=60, pretrain_learning_rate=0.1)
        t = pretrained(StackedTask(activation=activation), [CLUSTERED], options).start.tensors
        first = f(CLUSTERED.tensors["points"] @ t["first.weight"].T + t["first.bias"])
        layers[activation] = first, f(first @ t["second.weight"].T + t["second.bias"])
    for chances, signed in zip(layers["sigmoid"], layers["tanh"], strict=True):
        assert torch.allclose(signed, 2 * chances - 1, atol=1e-3)
    assert layers["sigmoid"][0].std(0).max() > 0.1


def test_samples_without_labels_count_as_those_with():
    joined = {name: torch.cat([TRAIN.tensors[name], VAL.tensors[name]]) for name in TRAIN.tensors}
    both = Encoded(joined, pa.concat_tables([TRAIN.table, VAL.table]))
    whole = pretrained(StackedTask(), [both], OPTIONS).start.tensors
    parts = pretrained(PointsAlone(), [TRAIN, without_labels(VAL)], OPTIONS).start.tensors
    alone = pretrained(StackedTask(), [TRAIN], OPTIONS).start.tensors
    for name, tensor in whole.items():
        assert torch.allclose(tensor, parts[name], atol=1e-6), name
        assert not torch.allclose(tensor, alone[name], atol=1e-3), name


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_function_of_the_seed(kind):
    first, again, other = (
        pretrained(StackedTask(), [TRAIN], chosen(pretrain=kind, seed=seed)).start.tensors for seed in (3, 3, 4)
    )
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert not any(torch.equal(tensor, other[name]) for name, tensor in first.items())


@pytest.mark.parametrize(
    "changes",
    [
        {"pretrain": "rbm", "pretrain_gibbs_steps": 7},
        {"pretrain": "rbm", "pretrain_persistent": True},
        {"pretrain": "rbm", "pretrain_inputs": "binary"},
        {"pretrain": "rbm", "pretrain_weight_decay": 1.0},
        {"pretrain": "rbm", "pretrain_learning_rate": 0.2},
        {"pretrain_corruption": 0.7},
        {"pretrain_tied": False},
        {"pretrain_weight_decay": 1.0},
        {"pretrain_batch_size": 7},
        {"pretrain_inputs": "binary"},
    ],
)
def test_each_option_changes_what_is_learned(changes):
    plain = pretrained(StackedTask(), [TRAIN], chosen(pretrain=changes.get("pretrain", "denoising")))
    found = pretrained(StackedTask(), [TRAIN], chosen(**changes))
    for name, tensor in plain.start.tensors.items():
        assert not torch.equal(tensor, found.start.tensors[name]), name


def test_the_network_begins_with_the_stack_and_the_rest_as_without():
    """At a rate of next to nothing, what comes out of the training is what it began with."""
    options = chosen(optimizer=OptimizerOptions(learning_rate=1e-12, weight_decay=0.0), epochs=1)
    fitted = fit(StackedTask(), TRAIN, None, options)
    found, plain = pretrained(StackedTask(), [TRAIN], options), fresh(StackedTask(), options).state_dict()
    state = fitted.model.state_dict()
    assert set(found.start.tensors) == found.start.loaded == {n for n in state if not n.startswith("last")}
    for name, tensor in state.items():
        assert torch.allclose(tensor, found.start.tensors.get(name, plain[name]), atol=1e-8), name
    assert fitted.pretraining == found.course


def test_the_trunk_s_rate_is_that_of_the_pretrained_layers():
    options = chosen(trunk_lr=1e-9, epochs=3)
    start = pretrained(StackedTask(), [TRAIN], options).start.tensors
    state = fit(StackedTask(), TRAIN, VAL, options).model.state_dict()
    assert all(torch.allclose(state[name], tensor, atol=1e-6) for name, tensor in start.items())
    plain = fresh(StackedTask(), options).state_dict()
    assert not torch.allclose(state["last.weight"], plain["last.weight"], atol=1e-3)


@pytest.mark.parametrize("at", [4, 33, 61, 69])  # 2 layers of 3 epochs of 10 batches, then 2 epochs of 7
def test_killed_and_resumed_is_never_killed(tmp_path, at):
    options = chosen(checkpoint_every="1ms", trunk_lr=0.5)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    undisturbed = fit(StackedTask(), TRAIN, VAL, options, folder=whole)

    class Kill(StopAt):
        count = 0

        def step(self, step, progress, seconds_left):
            self.count += 1
            if self.count == at:
                raise StopAt.Killed

    with pytest.raises(StopAt.Killed):
        fit(StackedTask(), TRAIN, VAL, options, folder=cut, events=Kill(at))
    assert checkpoint.has_checkpoint(cut) == (at > 60)
    resumed = fit(StackedTask(), TRAIN, VAL, options, folder=cut, resume=checkpoint.has_checkpoint(cut))
    for name, tensor in undisturbed.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    assert (whole / "metrics.jsonl").read_bytes() == (cut / "metrics.jsonl").read_bytes()
    assert resumed.pretraining == undisturbed.pretraining != []


def test_a_signal_ends_pretraining_at_once():
    class Signalled(Silent):
        said, ended = (), 0

        def message(self, text):
            self.said = (*self.said, text)

        def step(self, step, progress, seconds_left):
            assert step <= 5
            if step == 5:
                signal.raise_signal(signal.SIGTERM)

        def done(self):
            self.ended += 1

    events = Signalled()
    with pytest.raises(Interrupted):
        fit(StackedTask(), TRAIN, VAL, OPTIONS, events=events)
    assert events.ended == 1 and "begins anew" in events.said[-1]


@pytest.mark.parametrize("kind", ["denoising", "rbm"])
def test_two_ranks_are_one(kind):
    options = chosen(pretrain=kind)
    one = stacked_task.train(Alone(), options)
    with launch.group(2, "cpu", stacked_task.train, options) as ranks:
        two = stacked_task.train(ranks, options)
    assert one.pretraining == two.pretraining
    for name, tensor in one.model.state_dict().items():
        assert torch.allclose(tensor, two.model.state_dict()[name], rtol=1e-3, atol=1e-5), name


def test_progress_is_told():
    class Heard(Silent):
        parts, said = (), ()

        def step(self, step, progress, seconds_left):
            self.parts = (*self.parts, progress)

        def message(self, text):
            self.said = (*self.said, text)

    heard = Heard()
    pretrained(StackedTask(), [TRAIN], OPTIONS, events=heard)
    assert heard.parts == pytest.approx([i / 60 for i in range(1, 61)])
    assert heard.said[0] == "pretraining 2 layers on 211 samples (denoising)"
    assert [text[:38] for text in heard.said[1:]] == [
        "pretraining: layer 1 of 2 (5 to 17) le",
        "pretraining: layer 2 of 2 (17 to 11) l",
    ]


def test_what_grows_without_bound_is_told_with_its_layer_and_epoch():
    with pytest.raises(TrainingError, match=r"pretraining, layer 1, epoch 1: expected finite .*--pretrain-lr"):
        pretrained(StackedTask(activation="relu"), [TRAIN], chosen(pretrain="rbm", pretrain_learning_rate=1e4))


def test_a_network_without_a_stack_is_refused():
    with pytest.raises(OptionError, match=r"--pretrain denoising: expected .* a stack .* Sequential has none"):
        pretrained(SmallTask(), [TRAIN], OPTIONS)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"pretrain_epochs": 3}, "--pretrain-epochs 3: expected --pretrain beside it"),
        ({"pretrain_on": "more.npz"}, "--pretrain-on more.npz: expected --pretrain beside it"),
        ({"pretrain": "rbm", "pretrain_corruption": 0.5}, "--pretrain-corruption 0.5: only --pretrain denoising reads"),
        (
            {"pretrain": "rbm", "pretrain_tied": False},
            "--pretrain-tied False: only --pretrain autoencoder or",
        ),
        ({"pretrain": "denoising", "pretrain_gibbs_steps": 5}, "--pretrain-gibbs-steps 5: only --pretrain rbm reads"),
        ({"pretrain": "rbm", "weights": "a.pth"}, "--pretrain rbm: expected one start, but --weights a.pth is another"),
    ],
)
def test_options_that_say_nothing_are_refused(given, words):
    with pytest.raises(OptionError, match=words):
        FitOptions(**given)


def test_scaling_is_undone_for_any_numbers():
    torch.manual_seed(0)
    scaling = Scaling("gaussian", torch.randn(7), 0.37, torch.zeros(7), 1.0)
    weight, bias, x = torch.randn(3, 7), torch.randn(3), torch.randn(11, 7)
    folded = scaling.folded(weight, bias)
    assert torch.allclose(x @ folded[0].T + folded[1], scaling(x) @ weight.T + bias, atol=1e-5)
