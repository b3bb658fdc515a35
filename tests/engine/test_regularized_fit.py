"""What is random or remembered among the regularizers: resumed bit for bit, and the same in parts and on two ranks."""

from __future__ import annotations

import dataclasses
from functools import partial

import pytest
import torch
from small_task import SmallTask, StopAt, points

from deepen.bundle import checkpoint
from deepen.engine.evaluate import evaluate
from deepen.engine.fit import fit
from deepen.engine.options import FitOptions, OptimizerOptions
from deepen.engine.training import Training
from deepen.parallel import launch
from deepen.parallel.ranks import Alone

TRAIN, VAL = points(211, 0), points(53, 1)
OPTIONS = FitOptions(epochs=5, batch_size=31, optimizer=OptimizerOptions(kind="sgd", learning_rate=0.05))
CASES = {
    "penalties": {"l1": 1e-3, "l2": 1e-2},
    "max-norm": {"max_norm": 0.5},
    "weight noise": {"weight_noise": 0.1},
    "uniform average": {"swa": 0.5},
    "both averages": {"swa": 0.3, "ema": 0.9},
    "initialization": {"initialization": "orthogonal"},
    "all": {"l1": 1e-3, "l2": 1e-2, "max_norm": 1.0, "weight_noise": 0.1, "swa": 0.5, "initialization": "he-normal"},
}


def options_of(case):
    return dataclasses.replace(OPTIONS, **CASES[case])


def weights(fitted):
    return torch.cat([p.detach().reshape(-1) for p in fitted.model.parameters()])


@pytest.mark.parametrize("step", [9, 14, 26, 34])
@pytest.mark.parametrize("case", CASES)
def test_killed_and_resumed_is_never_killed(tmp_path, case, step):
    options = dataclasses.replace(options_of(case), checkpoint_every="1ms")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    undisturbed = fit(SmallTask(batch_norm=True), TRAIN, VAL, options, folder=whole)
    with pytest.raises(StopAt.Killed):
        fit(SmallTask(batch_norm=True), TRAIN, VAL, options, folder=cut, events=StopAt(step))
    resumed = fit(SmallTask(batch_norm=True), TRAIN, VAL, options, folder=cut, resume=True)
    assert torch.equal(weights(undisturbed), weights(resumed))
    for name, buffer in undisturbed.model.named_buffers():
        assert torch.equal(buffer, dict(resumed.model.named_buffers())[name]), name
    assert (whole / "metrics.jsonl").read_bytes() == (cut / "metrics.jsonl").read_bytes()
    ours, theirs = (checkpoint.load_checkpoint(folder)[0] for folder in (whole, cut))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("accumulate", [2, 7])
@pytest.mark.parametrize("case", CASES)
def test_micro_batches_take_the_same_step(case, accumulate):
    """Only the order of additions differs: 2e-6 of the largest weight after 35 steps, as without regularizers."""
    once = weights(fit(SmallTask(), TRAIN, VAL, options_of(case)))
    parts = weights(fit(SmallTask(), TRAIN, VAL, dataclasses.replace(options_of(case), accumulate=accumulate)))
    assert (once - parts).abs().max() <= 2e-6 * once.abs().max()


def trained(ranks, case):
    torch.set_num_threads(1)
    return fit(SmallTask(), points(211, 0), points(53, 1), options_of(case), ranks=ranks)


@pytest.mark.parametrize("case", ["all", "both averages"])
def test_two_ranks_take_the_same_steps_as_one(case):
    one = trained(Alone(), case)
    with launch.group(2, "cpu", trained, case) as ranks:
        two = trained(ranks, case)
    assert (weights(one) - weights(two)).abs().max() <= 2e-6 * weights(one).abs().max()


NORMED = FitOptions(epochs=6, batch_size=23, ema=0.9, seed=5, optimizer=OptimizerOptions(learning_rate=0.05))


def normed(ranks, where):
    """A training with batch norm in a folder, killed after some updates and gone on with, or never where they are 0."""
    folder, step = where
    torch.set_num_threads(1)
    fitting = partial(fit, SmallTask(batch_norm=True), points(211, 0), points(53, 1), ranks=ranks)
    if step:
        with pytest.raises(StopAt.Killed):
            fitting(dataclasses.replace(NORMED, checkpoint_every="1ms"), folder=folder, events=StopAt(step))
    return fitting(NORMED, folder=folder, resume=step > 0)


def test_two_ranks_score_and_keep_one_network_resumed_or_not(tmp_path):
    """Their batch norms see other rows, so that each has statistics of its own, which are brought together."""
    found = []
    for step in (0, 31):
        folder = tmp_path / str(step)
        folder.mkdir()
        with launch.group(2, "cpu", normed, (folder, step)) as ranks:
            found.append(normed(ranks, (folder, step)))
    never, killed = found
    assert killed.history == never.history
    assert all(torch.equal(a, b) for a, b in zip(killed.model.buffers(), never.model.buffers(), strict=True))
    best = max(never.history, key=lambda record: (record["val_accuracy"], record["step"]))
    said = evaluate(SmallTask(), never.model, VAL, device=torch.device("cpu"), ranks=Alone()).result()
    assert said["cross_entropy"] == pytest.approx(best["val_cross_entropy"], rel=1e-5)


def test_the_mean_of_the_last_part_is_what_is_evaluated_and_kept():
    """35 updates, of which the last 14 are averaged: by hand from the weights after each of them."""
    options = dataclasses.replace(OPTIONS, swa=0.4)
    training = Training(SmallTask(), TRAIN, options, device=torch.device("cpu"), ranks=Alone())
    seen = []
    for _ in range(5):
        for rows in training.order():
            training.update(rows)
            seen.append(torch.cat([p.detach().reshape(-1).double() for p in training.model.parameters()]))
            assert (training.evaluated is training.model) == (len(seen) <= 21)
    expected = torch.stack(seen[21:]).mean(0)
    fitted = fit(SmallTask(), TRAIN, None, options)
    assert torch.allclose(weights(fitted).double(), expected, atol=1e-6)


def test_the_moving_average_is_evaluated_until_the_uniform_one_begins():
    options = dataclasses.replace(OPTIONS, swa=0.4, ema=0.9)
    training = Training(SmallTask(), TRAIN, options, device=torch.device("cpu"), ranks=Alone())
    assert training.evaluated is training.average.model
    for _ in range(5):
        for rows in training.order():
            training.update(rows)
    assert training.evaluated is training.uniform_average.model


def test_statistics_of_the_average_are_those_of_training_batches():
    """Kept without a validation split, too: the mean that a batch norm sees is that of its inputs over the training."""
    fitted = fit(SmallTask(batch_norm=True, noise=0.0), TRAIN, None, dataclasses.replace(OPTIONS, swa=0.4))
    linear, norm = fitted.model[0], fitted.model[1]
    inputs = linear(TRAIN.tensors["points"]).detach()
    assert torch.allclose(norm.running_mean, inputs.mean(0), atol=0.02)
    assert torch.allclose(norm.running_var, inputs.var(0), rtol=0.15)
