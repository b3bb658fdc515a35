"""Schedules at values worked out by hand, against naive loops, and against PyTorch's where it has one."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch
from small_task import SmallTask, StopAt, points
from torch.optim import lr_scheduler

from deepen.engine import schedule
from deepen.engine.fit import fit
from deepen.engine.options import FitOptions, OptimizerOptions, ScheduleOptions
from deepen.engine.schedule import Plateau, factor
from deepen.parallel.ranks import Alone

KINDS = list(schedule.READS)


@pytest.mark.parametrize(
    ("kind", "progress", "expected"),
    [
        ("constant", 0.5, 1.0),
        ("constant", 1.0, 1.0),
        ("cosine", 0.2, 1.0),
        ("cosine", 0.6, 0.1 + 0.9 * 0.5),
        ("cosine", 1.0, 0.1),
        ("one-cycle", 0.6, 1 - 0.9 * 0.5),
        ("one-cycle", 1.0, 0.1),
        ("polynomial", 0.6, 0.1 + 0.9 * 0.25),
        ("step", 0.29, 1.0),
        ("step", 0.31, 0.5),
        ("step", 0.95, 0.125),
        ("multi-step", 0.5, 0.5),
        ("multi-step", 0.75, 0.25),
        ("factor", 0.8, 0.25),
        ("inverse-root", 0.8, 0.5),
        ("cyclic", 0.2, 1.0),
        ("cyclic", 0.2 + 0.8 / 7, 0.1),
        ("cyclic", 0.2 + 0.8 / 7 * 1.5, 0.55),
        ("cyclic", 0.2 + 0.8 * 6 / 7, 1.0),
        ("cyclic", 1.0, 0.1),
        ("plateau", 0.7, 1.0),
    ],
)
def test_by_hand(kind, progress, expected):
    options = ScheduleOptions(kind=kind, warm_up=0.2, final=0.1, factor=0.5)
    assert factor(options, progress) == pytest.approx(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_warm_up_rises_evenly_from_almost_nothing_and_meets_the_rest(kind):
    options = ScheduleOptions(kind=kind, warm_up=0.25)
    values = [factor(options, p / 100) for p in range(26)]
    steps = [b - a for a, b in itertools.pairwise(values)]
    assert 0 < values[0] < 0.011
    assert all(math.isclose(step, steps[0], rel_tol=1e-6) for step in steps)
    assert values[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_no_schedule_leaves_zero_and_one(kind):
    for warm_up in (0.0, 0.1, 0.9):
        for changed in ({}, {"final": 0.3}, {"restarts": 2, "stretch": 1.7, "cycles": 5, "shrink": 0.5}):
            options = ScheduleOptions(kind=kind, warm_up=warm_up, **changed)
            assert all(0 <= factor(options, p / 997) <= 1 + 1e-12 for p in range(998))


def torch_rates(make, steps):
    """The rate before each of `steps` updates, with a peak of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


T = 97  # steps of training
PYTORCH = {
    "step": ({"kind": "step", "factor": 0.3, "size": 23 / T}, lambda o: lr_scheduler.StepLR(o, 23, 0.3)),
    "multi-step": (
        {"kind": "multi-step", "factor": 0.3, "milestones": (11 / T, 53 / T)},
        lambda o: lr_scheduler.MultiStepLR(o, [11, 53], 0.3),
    ),
    "factor": ({"kind": "factor", "factor": 0.97, "size": 1 / T}, lambda o: lr_scheduler.ExponentialLR(o, 0.97)),
    "polynomial": ({"kind": "polynomial", "power": 1.7}, lambda o: lr_scheduler.PolynomialLR(o, T, 1.7)),
    "cosine": ({"kind": "cosine", "final": 0.07}, lambda o: lr_scheduler.CosineAnnealingLR(o, T, 0.07)),
    "cosine with restarts": (
        {"kind": "cosine", "final": 0.07, "restarts": 2, "stretch": 2.0},
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 13, 2, 0.07),
    ),
    "cosine with even restarts": (
        {"kind": "cosine", "restarts": 6},
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 13, 1),
    ),
    "cyclic": (
        {"kind": "cyclic", "final": 0.07, "cycles": 7},
        lambda o: lr_scheduler.CyclicLR(o, 0.07, 1.0, 13 / 2, cycle_momentum=False),
    ),
    "cyclic, shrinking": (
        {"kind": "cyclic", "final": 0.07, "cycles": 7, "shrink": 0.5},
        lambda o: lr_scheduler.CyclicLR(o, 0.07, 1.0, 13 / 2, mode="triangular2", cycle_momentum=False),
    ),
    "linear warm-up": (
        {"kind": "constant", "warm_up": 31 / T},
        lambda o: lr_scheduler.LinearLR(o, 0.01 / 1.01, 1.0, 31),
    ),
    "constant warm-up": (
        {"kind": "constant", "warm_up": 31 / T, "warm_up_shape": "constant", "warm_up_factor": 0.3},
        lambda o: lr_scheduler.ConstantLR(o, 0.3, 31),
    ),
}


@pytest.mark.parametrize("name", PYTORCH)
def test_equals_pytorchs_at_every_step(name):
    """Restarts and cycles of 13 steps: 7 of them in 91, and 13 + 26 + 52 = 91."""
    changed, make = PYTORCH[name]
    total = 91 if "restarts" in changed or "cycles" in changed else T
    options = ScheduleOptions(**{"warm_up": 0.0, **changed})
    ours = [factor(options, step / total) for step in range(total)]
    assert ours == pytest.approx(torch_rates(make, total), abs=1e-9)


def test_one_cycle_equals_pytorchs_with_linear_parts():
    """PyTorch counts from the first step (0) to the last (T - 1), and to the peak at w T - 1."""
    total, peak = 101, 21
    rates = torch_rates(
        lambda o: lr_scheduler.OneCycleLR(
            o,
            1.0,
            total_steps=total,
            pct_start=(peak + 1) / total,
            anneal_strategy="linear",
            cycle_momentum=False,
            div_factor=101,
            final_div_factor=10 / 101,
        ),
        total - 1,
    )
    options = ScheduleOptions(kind="one-cycle", warm_up=peak / (total - 1), final=0.1)
    assert [factor(options, step / (total - 1)) for step in range(total - 1)] == pytest.approx(rates, abs=1e-9)


def test_an_inverse_root_is_that_of_attention_is_all_you_need():
    """min(t^-1/2, t w^-3/2) over its value at t = w; the linear warm-up here begins a hundredth later."""
    warm, total = 40, 1000
    options = ScheduleOptions(kind="inverse-root", warm_up=warm / total)
    for step in range(warm, total):
        assert factor(options, step / total) == pytest.approx(step**-0.5 * warm**0.5, rel=1e-12)
    for step in range(warm):
        assert factor(options, step / total) == pytest.approx(step * warm**-1.5 * warm**0.5, abs=0.01)
    shorter = dataclasses.replace(options, timescale=0.02)
    assert factor(shorter, 0.04 + 0.02) == pytest.approx(2**-0.5)


def naive(options, steps):
    """The rate of every step by walking through training, one multiplication after the other."""
    rate, rates, next_step, passed = 1.0, [], options.size, 0
    for step in range(steps):
        progress = step / steps
        if options.kind == "step":
            while progress >= next_step - 1e-12:
                rate, next_step = rate * options.factor, next_step + options.size
        elif options.kind == "multi-step":
            while passed < len(options.milestones) and progress >= sorted(options.milestones)[passed]:
                rate, passed = rate * options.factor, passed + 1
        elif step:
            rate *= options.factor ** (1 / steps / options.size)
        rates.append(max(rate, options.final))
    return rates


@pytest.mark.parametrize("kind", ["step", "multi-step", "factor"])
def test_equals_a_walk_through_training(kind):
    options = ScheduleOptions(kind=kind, warm_up=0.0, factor=0.3, size=0.07, milestones=(0.9, 0.31, 0.313), final=0.002)
    assert [factor(options, step / 997) for step in range(997)] == pytest.approx(naive(options, 997), rel=1e-9)


@pytest.mark.parametrize("larger", [True, False])
def test_a_plateau_equals_pytorchs(larger):
    options = ScheduleOptions(kind="plateau", patience=3, factor=0.5, threshold=0.01, final=0.1)
    draw = torch.Generator().manual_seed(5)
    values = (torch.rand(200, generator=draw) * torch.linspace(1, 3, 200)).tolist()
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = lr_scheduler.ReduceLROnPlateau(
        optimizer, "max" if larger else "min", factor=0.5, patience=2, threshold=0.01, min_lr=0.1, eps=0
    )
    ours, scales = Plateau(options), set()
    for value in values:
        theirs.step(value)
        ours.see(value, larger_is_better=larger)
        assert ours.scale == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        scales.add(ours.scale)
    assert {1.0, 0.5, 0.25, 0.125, 0.1} == scales


def test_a_plateau_waits_out_what_is_no_number_and_goes_on_from_its_state():
    options = ScheduleOptions(kind="plateau", patience=2, factor=0.5)
    whole, first = Plateau(options), Plateau(options)
    values = [3.0, math.nan, 3.0, 2.0, 2.0, 2.5, 1.0]
    for value in values:
        whole.see(value, larger_is_better=False)
    for value in values[:4]:
        first.see(value, larger_is_better=False)
    second = Plateau(options)
    second.restore(first.state())
    for value in values[4:]:
        second.see(value, larger_is_better=False)
    assert second.state() == whole.state() and whole.scale == 0.25


def test_other_schedules_never_look_at_evaluations():
    plateau = Plateau(ScheduleOptions(kind="step", patience=1))
    for _ in range(7):
        plateau.see(1.0, larger_is_better=True)
    assert plateau.scale == 1.0


TRAIN, VAL = points(211, 0), points(53, 1)
PLATEAU = FitOptions(
    epochs=32,
    batch_size=31,
    optimizer=OptimizerOptions(kind="sgd", learning_rate=0.3),
    schedule=ScheduleOptions(kind="plateau", patience=1, factor=0.5, threshold=0.1),
    checkpoint_every="1ms",
)


@pytest.mark.parametrize("has_val", [True, False])
def test_a_plateau_follows_the_records_of_training(has_val):
    """The rates in the history are those of a scheduler that reads the same history."""
    fitted = fit(SmallTask(), TRAIN, VAL if has_val else None, PLATEAU)
    plateau = Plateau(PLATEAU.schedule)
    for record in fitted.history:
        assert record["learning_rate"] == pytest.approx(0.3 * plateau.scale, rel=1e-5)
        plateau.see(record["val_accuracy" if has_val else "train_loss"], larger_is_better=has_val)
    assert plateau.scale < 1


@pytest.mark.parametrize("step", [40, 100, 150])
def test_a_killed_plateau_resumes_bit_for_bit(tmp_path, step):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    fitted = fit(SmallTask(), TRAIN, VAL, PLATEAU, folder=whole)
    assert len({record["learning_rate"] for record in fitted.history}) > 2
    with pytest.raises(StopAt.Killed):
        fit(SmallTask(), TRAIN, VAL, PLATEAU, folder=cut, events=StopAt(step))
    fit(SmallTask(), TRAIN, VAL, PLATEAU, folder=cut, resume=True)
    assert (whole / "metrics.jsonl").read_bytes() == (cut / "metrics.jsonl").read_bytes()


def test_every_rank_sees_the_first_ranks_figure(monkeypatch):
    """Two ranks whose figures differed in the last bit would part; so the second takes what the first one says."""
    asked = []

    class Second(Alone):
        def from_first(self, value):
            asked.append(value)
            return 0.5

    seen = []
    monkeypatch.setattr(Plateau, "see", lambda self, value, larger_is_better: seen.append((value, larger_is_better)))
    fit(SmallTask(), TRAIN, VAL, dataclasses.replace(PLATEAU, epochs=8), ranks=Second())
    assert asked and set(seen) == {(0.5, True)}
