"""The loop: what it learns, that nothing is lost, and that cutting a batch up changes nothing."""

from __future__ import annotations

import dataclasses
import math
import os
import signal

import pytest
import torch
from small_task import SmallTask, StopAt, points

from deepen.bundle import checkpoint
from deepen.core.errors import OptionError, TrainingError
from deepen.engine import fit as fitting
from deepen.engine.events import Silent
from deepen.engine.fit import fit
from deepen.engine.options import FitOptions, OptimizerOptions, ScheduleOptions
from deepen.engine.signals import Interrupted
from deepen.prepare.encoded import Encoded

TRAIN, VAL = points(211, 0), points(53, 1)
OPTIONS = FitOptions(epochs=5, batch_size=31, ema=0.9, optimizer=OptimizerOptions(learning_rate=0.02))


def weights(fitted):
    return torch.cat([p.detach().reshape(-1) for p in fitted.model.parameters()])


def test_it_learns():
    fitted = fit(SmallTask(dropout=0.0), TRAIN, VAL, dataclasses.replace(OPTIONS, epochs=30))
    assert fitted.history[-1]["val_accuracy"] > 0.9
    assert fitted.history[-1]["train_loss"] < fitted.history[0]["train_loss"] / 2
    assert fitted.step == 30 * math.ceil(211 / 31)


def test_one_seed_repeats_and_two_differ():
    first, again = (weights(fit(SmallTask(), TRAIN, VAL, OPTIONS)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, weights(fit(SmallTask(), TRAIN, VAL, dataclasses.replace(OPTIONS, seed=1))))


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("step", [1, 9, 14, 15, 34])
def test_killed_and_resumed_is_never_killed(tmp_path, kind, step):
    options = dataclasses.replace(
        OPTIONS, optimizer=OptimizerOptions(kind=kind, learning_rate=0.02), checkpoint_every="1ms"
    )
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    undisturbed = fit(SmallTask(batch_norm=True), TRAIN, VAL, options, folder=whole)
    with pytest.raises(StopAt.Killed):
        fit(SmallTask(batch_norm=True), TRAIN, VAL, options, folder=cut, events=StopAt(step))
    resume = checkpoint.has_checkpoint(cut)
    resumed = fit(SmallTask(batch_norm=True), TRAIN, VAL, options, folder=cut, resume=resume)
    assert torch.equal(weights(undisturbed), weights(resumed))
    assert (whole / "metrics.jsonl").read_bytes() == (cut / "metrics.jsonl").read_bytes()
    ours, theirs = (checkpoint.load_checkpoint(folder)[0] for folder in (whole, cut))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("accumulate", [2, 4, 7])
def test_micro_batches_take_the_same_step(accumulate):
    """8x1 = 2x4: only the order of additions differs, so 1e-6 of the largest weight is allowed, over 35 steps."""
    options = dataclasses.replace(OPTIONS, optimizer=OptimizerOptions(kind="sgd", learning_rate=0.05))
    once = weights(fit(SmallTask(), TRAIN, VAL, options))
    parts = weights(fit(SmallTask(), TRAIN, VAL, dataclasses.replace(options, accumulate=accumulate)))
    assert (once - parts).abs().max() <= 2e-6 * once.abs().max()


def test_every_sample_is_seen_once_an_epoch():
    from deepen.engine.training import Training
    from deepen.parallel.ranks import Alone

    training = Training(SmallTask(), TRAIN, OPTIONS, device=torch.device("cpu"), ranks=Alone())
    batches = training.order()
    assert sorted(row for rows in batches for row in rows) == list(range(211))
    assert {len(rows) for rows in batches} == {30, 31}


def _with_bad_row(value: float) -> Encoded:
    x = TRAIN.tensors["points"].clone()
    x[100] = value
    return Encoded({**TRAIN.tensors, "points": x}, TRAIN.table)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e38])
def test_a_bad_number_stops_before_the_update_and_is_named(tmp_path, value):
    options = dataclasses.replace(OPTIONS, epochs=1, batch_size=1, ema=0.0, checkpoint_every="1ms")
    task = SmallTask(noise=0.0, dropout=0.0)
    with pytest.raises(TrainingError, match=r"points\.csv, row 102.*lower --optimizer\.lr"):
        fit(task, _with_bad_row(value), None, options, folder=tmp_path)
    tensors, _, _ = checkpoint.load_checkpoint(tmp_path)
    assert all(torch.isfinite(t).all() for t in tensors.values())


def test_normalization_buffers_are_as_before_the_bad_batch():
    from deepen.engine.training import Training
    from deepen.parallel.ranks import Alone

    data = _with_bad_row(math.nan)
    training = Training(SmallTask(batch_norm=True), data, OPTIONS, device=torch.device("cpu"), ranks=Alone())
    before = {name: t.clone() for name, t in training.model.named_buffers() if t.is_floating_point()}
    with pytest.raises(TrainingError, match="step 1: expected a finite loss"):
        import numpy as np

        training.update(np.arange(90, 110))
    for name, tensor in before.items():
        assert torch.equal(tensor, dict(training.model.named_buffers())[name]), name


def test_patience_stops_and_the_best_weights_are_kept():
    options = dataclasses.replace(
        OPTIONS,
        epochs=40,
        patience=3,
        ema=0.0,
        optimizer=OptimizerOptions(kind="sgd", learning_rate=3.0),
        schedule=ScheduleOptions(kind="constant", warm_up=0.0),
    )
    fitted = fit(SmallTask(), TRAIN, VAL, options)
    accuracies = [record["val_accuracy"] for record in fitted.history]
    assert len(accuracies) < 40
    best = max(accuracies)
    assert max(index for index, value in enumerate(accuracies) if value == best) == len(accuracies) - 4


@pytest.mark.parametrize("step", [None, 60])
def test_without_validation_patience_follows_the_training_loss_and_the_last_weights_are_kept(tmp_path, step):
    """At this rate it soon moves up and down: the run ends three evaluations behind its lowest, resumed or not."""
    options = dataclasses.replace(
        OPTIONS,
        epochs=40,
        patience=3,
        ema=0.0,
        checkpoint_every="1ms",
        optimizer=OptimizerOptions(kind="sgd", learning_rate=3.0),
        schedule=ScheduleOptions(kind="constant", warm_up=0.0),
    )
    if step is not None:
        with pytest.raises(StopAt.Killed):
            fit(SmallTask(), TRAIN, None, options, folder=tmp_path, events=StopAt(step))
    fitted = fit(SmallTask(), TRAIN, None, options, folder=tmp_path, resume=step is not None)
    losses = [record["train_loss"] for record in fitted.history]
    assert 4 <= len(losses) < 40
    assert max(index for index, value in enumerate(losses) if value == min(losses)) == len(losses) - 4
    last = checkpoint.load_checkpoint(tmp_path)[0]
    for name, tensor in fitted.model.state_dict().items():
        assert torch.equal(tensor, last[f"model.{name}"]), name


def test_a_time_budget_is_kept_and_the_schedule_reaches_its_end():
    fitted = fit(SmallTask(), TRAIN, VAL, dataclasses.replace(OPTIONS, epochs=None, time="1.5s"))
    assert 1.2 < fitted.seconds < 2.5
    assert fitted.history[-1]["learning_rate"] < 1e-6


def test_a_time_budget_resumes_with_the_time_that_is_left(tmp_path):
    options = dataclasses.replace(OPTIONS, epochs=None, time="1.5s", checkpoint_every="1ms")
    with pytest.raises(StopAt.Killed):
        fit(SmallTask(), TRAIN, VAL, options, folder=tmp_path, events=StopAt(20))
    resumed = fit(SmallTask(), TRAIN, VAL, options, folder=tmp_path, resume=True)
    assert 1.2 < resumed.seconds < 2.5


def test_two_budgets_contradict():
    with pytest.raises(OptionError, match="--epochs and --steps both state how long"):
        fit(SmallTask(), TRAIN, VAL, dataclasses.replace(OPTIONS, steps=7))


class _SignalAt(StopAt):
    def step(self, step, progress, seconds_left):
        if step == self.at:
            os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_finishes_the_step_saves_and_resumes_to_the_same(tmp_path):
    with pytest.raises(Interrupted) as caught:
        fit(SmallTask(), TRAIN, VAL, OPTIONS, folder=tmp_path, events=_SignalAt(10))
    assert caught.value.signal == signal.SIGTERM
    resumed = fit(SmallTask(), TRAIN, VAL, OPTIONS, folder=tmp_path, resume=True)
    assert torch.equal(weights(resumed), weights(fit(SmallTask(), TRAIN, VAL, OPTIONS)))


def test_fp16_on_a_cpu_is_refused():
    with pytest.raises(OptionError, match="--precision fp16: expected a GPU"):
        fit(SmallTask(), TRAIN, VAL, dataclasses.replace(OPTIONS, precision="fp16"))


def test_bf16_learns_too():
    fitted = fit(SmallTask(dropout=0.0), TRAIN, VAL, dataclasses.replace(OPTIONS, epochs=20, precision="bf16"))
    assert fitted.history[-1]["val_accuracy"] > 0.8


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("multiplies", [False, True])
def test_a_processor_without_bfloat16_is_told_of(monkeypatch, precision, multiplies):
    class Hearing(Silent):
        def message(self, text):
            heard.append(text)

    heard = []
    monkeypatch.setattr(fitting, "multiplies_bfloat16", lambda: multiplies)
    fit(SmallTask(), points(31, 0), None, FitOptions(epochs=1, precision=precision), events=Hearing())
    assert heard == ([fitting.SLOW_BFLOAT16] if precision == "bf16" and not multiplies else [])


def test_the_sum_of_targets_over_zero_ranks_is_the_mean_gradient():
    """clip_norm: the norm of what is applied is never above it."""
    from deepen.engine.training import Training
    from deepen.parallel.ranks import Alone

    options = dataclasses.replace(OPTIONS, clip_norm=0.01)
    training = Training(SmallTask(), TRAIN, options, device=torch.device("cpu"), ranks=Alone())
    training.update(training.order()[0])
    gradients = [p.grad for p in training.model.parameters()]
    assert float(training.grad_norm) > 0.01
    assert float(torch.nn.utils.get_total_norm(gradients)) == pytest.approx(0.01, rel=1e-4)
