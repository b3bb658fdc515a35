"""Penalties and limits on weights against their formulas, alone and within an update."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from small_task import SmallTask, points
from torch import nn

from deepen.core.errors import OptionError
from deepen.engine.options import FitOptions, OptimizerOptions, ScheduleOptions
from deepen.engine.regularize import MaxNorm, Penalty
from deepen.engine.training import Training
from deepen.parallel.ranks import Alone

TRAIN = points(211, 0)
PLAIN = FitOptions(
    epochs=5,
    batch_size=31,
    optimizer=OptimizerOptions(kind="sgd", learning_rate=0.1, momentum=0.0, weight_decay=0.0),
    schedule=ScheduleOptions(kind="constant", warm_up=0.0),
)


def started(**changes):
    options = dataclasses.replace(PLAIN, **changes)
    return Training(SmallTask(dropout=0.0, noise=0.0), TRAIN, options, device=torch.device("cpu"), ranks=Alone())


def test_the_gradient_is_that_of_the_penalty():
    model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Linear(7, 3))
    penalty = Penalty(model, l1=0.3, l2=0.7)
    value = 0.0
    for weight in (model[0].weight, model[2].weight):
        value += float((0.3 * weight.abs().sum() + 0.35 * weight.square().sum()).detach())
    assert float(penalty.value().detach()) == pytest.approx(value, rel=1e-6)
    penalty.value().backward()
    expected = [p.grad.clone() if p.grad is not None else None for p in model.parameters()]
    model.zero_grad(set_to_none=True)
    penalty.add_gradients()
    for p, wanted in zip(model.parameters(), expected, strict=True):
        assert (p.grad is None) == (wanted is None)
        if wanted is not None:
            assert torch.allclose(p.grad, wanted, rtol=1e-6)


def test_a_weight_of_zero_gets_no_push_from_l1_and_frozen_ones_none_at_all():
    model = nn.Linear(3, 2)
    nn.init.zeros_(model.weight)
    Penalty(model, l1=1.0, l2=0.0).add_gradients()
    assert not model.weight.grad.any()
    frozen = nn.Linear(3, 2).requires_grad_(False)
    Penalty(frozen, l1=1.0, l2=1.0).add_gradients()
    assert frozen.weight.grad is None


@pytest.mark.parametrize("accumulate", [1, 4])
def test_an_update_adds_the_penalties_once(accumulate):
    """w <- w - rate (g + l2 w + l1 sign w), with g from a training without penalties."""
    plain, penalized = started(), started(l1=0.02, l2=0.05, accumulate=accumulate)
    before = {name: p.detach().clone() for name, p in plain.model.named_parameters()}
    rows = plain.order()[0]
    plain.update(rows)
    penalized.update(rows)
    for (name, p), other in zip(penalized.model.named_parameters(), plain.model.parameters(), strict=True):
        w = before[name]
        push = 0.02 * w.sign() + 0.05 * w if w.dim() > 1 else torch.zeros_like(w)
        assert torch.allclose(p.detach(), other.detach() - 0.1 * push, atol=1e-6), name


def test_the_penalty_is_part_of_the_gradient_that_is_clipped():
    training = started(l2=1e3, clip_norm=0.5)
    training.update(training.order()[0])
    gradients = [p.grad for p in training.model.parameters()]
    assert float(torch.nn.utils.get_total_norm(gradients)) == pytest.approx(0.5, rel=1e-4)
    assert float(training.grad_norm) > 100


def test_l2_is_weight_decay_for_plain_sgd_and_not_for_adam():
    def after(kind, **changes):
        options = OptimizerOptions(kind=kind, learning_rate=0.1, momentum=0.0, weight_decay=changes.pop("decay", 0.0))
        training = started(optimizer=options, **changes)
        for rows in training.order()[:3]:
            training.update(rows)
        return torch.cat([p.detach().flatten() for p in training.model.parameters()])

    assert torch.allclose(after("sgd", l2=0.1), after("sgd", decay=0.1), atol=1e-6)
    assert (after("adamw", l2=0.1) - after("adamw", decay=0.1)).abs().max() > 1e-3


def test_max_norm_is_the_loop_over_units():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 7, 5), nn.Linear(11, 5), nn.BatchNorm1d(5))
    with torch.no_grad():
        model[1].weight[2] *= 0.01
    before = [p.detach().clone() for p in model.parameters()]
    MaxNorm(model, 0.6).apply()
    for weight, old in ((model[0].weight, before[0]), (model[1].weight, before[2])):
        for unit, was in zip(weight.detach(), old, strict=True):
            norm = float(was.norm())
            assert torch.allclose(unit, was * min(1.0, 0.6 / norm), atol=1e-7)
            assert norm > 0.6 or torch.equal(unit, was)
    assert torch.equal(model[1].weight[2], before[2][2])
    for index in (1, 3, 4, 5):
        assert torch.equal(list(model.parameters())[index], before[index])


def test_max_norm_of_a_recurrent_layer_is_the_loop_over_the_units_of_its_gates():
    """By hand: the rows of W and of U, 4 gates of 2 units, some within the ball and some beyond; biases stay."""
    layer = nn.LSTM(3, 2)
    before = {}
    with torch.no_grad():
        for name, p in layer.named_parameters():
            p.copy_(torch.linspace(-0.9, 1.3, p.numel()).view(p.shape))
            before[name] = p.clone()
    MaxNorm(nn.ModuleDict({"reader": layer}), 0.75).apply()
    for name in ("weight_ih_l0", "weight_hh_l0"):
        shrunk = 0
        for row, was in zip(getattr(layer, name).tolist(), before[name].tolist(), strict=True):
            norm = sum(w * w for w in was) ** 0.5
            assert row == pytest.approx([w * min(1.0, 0.75 / norm) for w in was], rel=1e-6)
            shrunk += norm > 0.75
        assert 0 < shrunk < 8
    assert all(torch.equal(p, before[name]) for name, p in layer.named_parameters() if name.startswith("bias"))


def test_max_norm_holds_after_every_update():
    training = started(max_norm=0.25)
    for rows in training.order():
        training.update(rows)
        for layer in training.model:
            if isinstance(layer, nn.Linear):
                assert float(layer.weight.detach().norm(dim=1).max()) <= 0.25 + 1e-6


def test_noise_on_weights_moves_the_gradient_and_not_the_place():
    """w <- w - rate g(w + noise): the gradient at the disturbed weights, applied to the undisturbed ones."""
    from deepen.nn.noise import noisy_weights

    noisy, plain = started(weight_noise=0.2, seed=3), started(seed=3)
    rows = plain.order()[0]
    before = [p.detach().clone() for p in plain.model.parameters()]
    weights = {name: p for name, p in plain.model.named_parameters() if p.dim() > 1}
    with noisy_weights(weights, 0.2, seed=3, step=0):
        plain._backward(rows, None)
    expected = [w - 0.1 * p.grad for w, p in zip(before, plain.model.parameters(), strict=True)]
    noisy.update(rows)
    for p, wanted in zip(noisy.model.parameters(), expected, strict=True):
        assert torch.allclose(p.detach(), wanted, atol=1e-6)


def test_an_initialization_is_used_and_a_value_without_one_is_refused():
    training = started(initialization="constant", initialization_value=0.125)
    for layer in training.model:
        if isinstance(layer, nn.Linear):
            assert (layer.weight == 0.125).all() and not layer.bias.any()
    with pytest.raises(OptionError, match=r"--initialization-value 0\.5: expected --initialization beside it"):
        FitOptions(initialization_value=0.5)
