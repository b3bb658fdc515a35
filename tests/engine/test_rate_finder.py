"""The range test: what it trains equals a hand-written loop, and what it reads from losses is worked out by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from small_task import SmallTask, points

from deepen.core.errors import OptionError, TrainingError
from deepen.engine import rate_finder
from deepen.engine.options import FitOptions, OptimizerOptions
from deepen.engine.rate_finder import find_rate, geometric, read, smoothed

TRAIN = points(211, 0)
OPTIONS = FitOptions(epochs=5, batch_size=31, optimizer=OptimizerOptions(kind="sgd", momentum=0.0, weight_decay=0.0))


def test_rates_rise_by_one_factor():
    assert geometric(1e-3, 10.0, 5) == pytest.approx([1e-3, 1e-2, 1e-1, 1.0, 10.0])


def test_smoothing_by_hand():
    """Half and half: 4; (0.5 * 2 + 1) / 0.75; (0.5 * 2 + 0.5) / 0.875."""
    assert smoothed([4.0, 2.0, 1.0], decay=0.5) == pytest.approx([4.0, 2.0 / 0.75, 1.5 / 0.875])


def test_the_losses_are_those_of_plain_gradient_descent_at_rising_rates():
    """A loop by hand over the same batches; float32 against float32, so 1e-5 over 40 updates."""
    task = SmallTask(dropout=0.0, noise=0.0)
    found = find_rate(task, TRAIN, OPTIONS, least=1e-3, most=0.5, steps=40)
    from deepen.engine.training import Training
    from deepen.parallel.ranks import Alone

    training = Training(task, TRAIN, OPTIONS, device=torch.device("cpu"), ranks=Alone())
    model, expected = training.model, []
    for step, rate in enumerate(found.rates):
        training.epoch, position = divmod(step, 7)
        rows = torch.from_numpy(training.order()[position])
        loss = torch.nn.functional.cross_entropy(model(TRAIN.tensors["points"][rows]), TRAIN.tensors["labels"][rows])
        expected.append(float(loss.detach()))
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= rate * parameter.grad
    assert found.losses == pytest.approx(expected, rel=1e-5)
    assert found.rates == pytest.approx(geometric(1e-3, 0.5, 40))


def test_what_is_read_from_a_curve_by_hand(monkeypatch):
    """Flat, a cliff between the 20th and the 21st step, a gentle slope to the 40th, then up."""
    monkeypatch.setattr(rate_finder, "SMOOTHING", 0.0)
    monkeypatch.setattr(rate_finder, "smoothed", lambda losses: list(losses))
    rates = geometric(1e-5, 1.0, 51)
    losses = [3.0] * 20 + [2.0 - 0.01 * i for i in range(20)] + [5.0] * 11
    found = read(rates, losses, diverged=True)
    assert found.steepest == rates[19]
    assert found.lowest == rates[39]
    assert found.suggested == rates[39] / 10


def test_it_ends_where_the_loss_explodes_and_suggests_a_rate_that_trains():
    found = find_rate(SmallTask(dropout=0.0), TRAIN, OPTIONS, least=1e-4, most=1e4)
    assert found.diverged and len(found.rates) < 150
    assert 1e-3 < found.suggested < 10 and found.suggested == pytest.approx(found.lowest / 10)
    assert found.rates[10] <= found.steepest <= found.lowest
    assert all(math.isfinite(loss) for loss in found.losses)


def test_a_loss_that_falls_below_zero_is_no_explosion():
    """Logarithms of densities do; the same training with all losses less by a number goes the same way."""

    class Lower(SmallTask):
        def loss(self, model, batch):
            found = super().loss(model, batch)
            return dataclasses.replace(found, sum=found.sum - 2.0 * batch.count)

    plain, lower = (find_rate(kind(dropout=0.0), TRAIN, OPTIONS, least=1e-4, most=1e4) for kind in (SmallTask, Lower))
    assert min(lower.smoothed) < -1
    assert lower.diverged and lower.rates[-1] > lower.lowest == pytest.approx(plain.lowest, rel=0.5)
    assert lower.suggested == pytest.approx(plain.suggested, rel=0.5)


def test_it_is_repeatable_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, again = (find_rate(SmallTask(), TRAIN, OPTIONS, steps=31) for _ in range(2))
    assert first == again and not list(tmp_path.iterdir())


def test_neither_schedule_nor_budget_nor_peak_matters():
    others = dataclasses.replace(
        OPTIONS, epochs=None, time="7s", optimizer=dataclasses.replace(OPTIONS.optimizer, learning_rate=123.0)
    )
    assert find_rate(SmallTask(), TRAIN, others, steps=31) == find_rate(SmallTask(), TRAIN, OPTIONS, steps=31)


def test_rates_that_are_hopeless_from_the_start_are_said():
    with pytest.raises(TrainingError, match="begin at a lower --from-rate"):
        find_rate(SmallTask(), TRAIN, OPTIONS, least=1e30, most=1e38)


def test_newton_needs_none():
    with pytest.raises(OptionError, match="newton: a range test says nothing of it"):
        find_rate(SmallTask(), TRAIN, dataclasses.replace(OPTIONS, optimizer=OptimizerOptions(kind="newton")))
