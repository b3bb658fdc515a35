"""Optimizers against naive loops written from their formulas, in double precision, number by number, step for step."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from small_task import SmallTask, StopAt, points
from torch import nn

from deepen.bundle import checkpoint
from deepen.core.errors import OptionError
from deepen.engine import optim, optim_kinds
from deepen.engine.fit import fit
from deepen.engine.optim_newton import Newton, solve
from deepen.engine.options import FitOptions, OptimizerOptions, ScheduleOptions
from deepen.engine.training import Training
from deepen.parallel.ranks import Alone

KINDS = list(optim_kinds.READS)
STEPS = 11


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(5 * 5 * 5, 7)).to(
        memory_format=torch.channels_last
    )


def gradients(model, step):
    draw = torch.Generator().manual_seed(step)
    return [torch.randn(p.shape, generator=draw) for p in model.parameters()]


def give(model, grads):
    for parameter, gradient in zip(model.parameters(), grads, strict=True):
        parameter.grad = gradient.to(memory_format=torch.channels_last) if gradient.dim() == 4 else gradient


def naive(options, weights, steps):
    """Every weight by itself, in Python's floats: `weights` is one layer, `steps` its gradients."""
    o, decay = options, options.weight_decay if weights.dim() > 1 else 0.0
    w = weights.double().flatten().tolist()
    memory = [{"m": 0.0, "v": 0.0, "u": 0.0, "buffer": None} for _ in w]
    for t, gradient in enumerate(steps, start=1):
        layer = gradient.double().flatten().tolist()
        length, slope = math.sqrt(sum(x * x for x in w)), math.sqrt(sum(x * x for x in layer))
        for i, (x, s) in enumerate(zip(list(w), memory, strict=True)):
            g = layer[i] + (decay * x if o.kind != "adamw" else 0.0)
            if o.kind == "gradient-descent":
                w[i] = x - o.learning_rate * g
            elif o.kind == "sgd":
                s["buffer"] = g if s["buffer"] is None else o.momentum * s["buffer"] + g
                w[i] = x - o.learning_rate * (g + o.momentum * s["buffer"] if o.nesterov else s["buffer"])
            elif o.kind == "adagrad":
                s["v"] += g * g
                w[i] = x - o.learning_rate * g / (math.sqrt(s["v"]) + o.epsilon)
            elif o.kind == "rmsprop":
                s["v"] = o.rho * s["v"] + (1 - o.rho) * g * g
                s["m"] = o.rho * s["m"] + (1 - o.rho) * g
                variance = s["v"] - s["m"] ** 2 if o.centered else s["v"]
                s["u"] = o.momentum * s["u"] + g / (math.sqrt(variance) + o.epsilon)
                w[i] = x - o.learning_rate * s["u"]
            elif o.kind == "adadelta":
                s["v"] = o.rho * s["v"] + (1 - o.rho) * g * g
                change = math.sqrt(s["u"] + o.epsilon) / math.sqrt(s["v"] + o.epsilon) * g
                s["u"] = o.rho * s["u"] + (1 - o.rho) * change * change
                w[i] = x - o.learning_rate * change
            elif o.kind == "lars":
                ratio = o.trust * length / (slope + decay * length) if length and slope and weights.dim() > 1 else 1.0
                s["u"] = o.momentum * s["u"] + o.learning_rate * ratio * g
                w[i] = x - s["u"]
            else:
                if o.kind == "adamw":
                    x -= o.learning_rate * decay * x
                s["m"] = o.beta1 * s["m"] + (1 - o.beta1) * g
                if o.kind == "yogi":
                    s["v"] -= (1 - o.beta2) * math.copysign(1.0, s["v"] - g * g) * g * g
                else:
                    s["v"] = o.beta2 * s["v"] + (1 - o.beta2) * g * g
                m_hat, v_hat = s["m"] / (1 - o.beta1**t), s["v"] / (1 - o.beta2**t)
                w[i] = x - o.learning_rate * m_hat / (math.sqrt(v_hat) + o.epsilon)
    return torch.tensor(w, dtype=torch.float64).view(weights.shape)


VARIANTS = [
    {"kind": "sgd", "momentum": 0.9, "nesterov": True},
    {"kind": "sgd", "momentum": 0.7, "nesterov": False},
    {"kind": "sgd", "momentum": 0.0},
    {"kind": "adagrad"},
    {"kind": "rmsprop", "learning_rate": 0.01},
    {"kind": "rmsprop", "momentum": 0.7, "centered": True, "epsilon": 0.1},
    {"kind": "adadelta"},
    {"kind": "adam"},
    {"kind": "adam", "beta1": 0.7, "beta2": 0.91, "epsilon": 0.01},
    {"kind": "adamw"},
    {"kind": "yogi"},
    {"kind": "yogi", "beta1": 0.7, "beta2": 0.91},
    {"kind": "lars"},
    {"kind": "lars", "learning_rate": 7.0, "momentum": 0.0, "trust": 0.03},
    {"kind": "gradient-descent"},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: " ".join(map(str, v.values())))
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_equals_the_formula_number_by_number(variant, decay):
    """float32 against Python's floats over 11 steps: 2e-6 of the largest weight that a step can reach."""
    options = optim_kinds.filled(OptimizerOptions(**variant, weight_decay=decay))
    model = network()
    optimizer = optim.build(options, model)
    steps = [gradients(model, step) for step in range(STEPS)]
    expected = [naive(options, p.detach(), [step[i] for step in steps]) for i, p in enumerate(model.parameters())]
    before = [p.detach().clone() for p in model.parameters()]
    for step in steps:
        give(model, step)
        optim.step(optimizer)
    for parameter, value, start in zip(model.parameters(), expected, before, strict=True):
        assert not torch.equal(parameter, start)
        assert torch.allclose(parameter.double(), value, atol=2e-6 * max(1, value.abs().max()), rtol=1e-5)


def test_all_kinds_are_tested_here():
    assert {variant["kind"] for variant in VARIANTS} | {"newton"} == set(KINDS)


def test_lars_takes_a_plain_step_where_a_layer_is_zero():
    """Softmax regression starts at zero: a step in proportion to the weights would never leave."""
    model = nn.Linear(3, 5)
    nn.init.zeros_(model.weight)
    options = OptimizerOptions(kind="lars", learning_rate=0.5, weight_decay=0.0)
    optimizer = optim.build(options, model)
    model.weight.grad, model.bias.grad = torch.ones(5, 3), torch.zeros(5)
    optim.step(optimizer)
    assert torch.equal(model.weight, torch.full((5, 3), -0.5))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "newton"])
def test_a_step_that_is_bad_changes_nothing_and_the_next_goes_on(kind):
    """Skipping leaves weights and memory as they were: what follows equals a run that never saw the bad gradient."""
    models = [network(), network()]
    optimizers = [optim.build(OptimizerOptions(kind=kind), model) for model in models]
    for step in range(5):
        for model, optimizer in zip(models, optimizers, strict=True):
            give(model, gradients(model, step))
            optim.step(optimizer, bad=torch.tensor(0.0))
        if step == 2:
            give(models[1], [torch.full_like(g, math.nan) for g in gradients(models[1], 0)])
            optim.step(optimizers[1], bad=torch.tensor(1.0))
    for first, second in zip(*(model.parameters() for model in models), strict=True):
        assert torch.isfinite(first).all() and torch.equal(first, second)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "newton"])
def test_restored_memory_goes_on_bit_for_bit_in_channels_last(kind):
    options = OptimizerOptions(kind=kind, learning_rate=0.01)
    models = [network(), network()]
    optimizers = [optim.build(options, model) for model in models]

    def step(which, number):
        give(models[which], gradients(models[which], number))
        optim.step(optimizers[which])

    for number in range(3):
        step(0, number)
    saved = {
        name: t.clone(memory_format=torch.contiguous_format) for name, t in optim.state_tensors(optimizers[0]).items()
    }
    models[1].load_state_dict({name: t.contiguous() for name, t in models[0].state_dict().items()})
    optim.restore(optimizers[1], saved)
    for number in range(3, 7):
        step(0, number)
        step(1, number)
    for first, second in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(first, second)


TRAIN, VAL = points(211, 0), points(53, 1)


def weights(fitted):
    return torch.cat([p.detach().reshape(-1) for p in fitted.model.parameters()])


@pytest.mark.parametrize("kind", KINDS)
def test_killed_and_resumed_is_never_killed(tmp_path, kind):
    """With batch norm, dropout and noise; newton's many looks at the loss leave no trace in the running statistics."""
    options = FitOptions(steps=9, batch_size=31, ema=0.9, optimizer=OptimizerOptions(kind=kind), checkpoint_every="1ms")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    undisturbed = fit(SmallTask(batch_norm=True), TRAIN, VAL, options, folder=whole)
    with pytest.raises(StopAt.Killed):
        fit(SmallTask(batch_norm=True), TRAIN, VAL, options, folder=cut, events=StopAt(5))
    resumed = fit(SmallTask(batch_norm=True), TRAIN, VAL, options, folder=cut, resume=True)
    assert torch.equal(weights(undisturbed), weights(resumed))
    assert (whole / "metrics.jsonl").read_bytes() == (cut / "metrics.jsonl").read_bytes()
    ours, theirs = (checkpoint.load_checkpoint(folder)[0] for folder in (whole, cut))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns_with_its_own_defaults(kind):
    """Better than the largest class and than its own start; not a race."""
    options = FitOptions(epochs=30, batch_size=31, optimizer=OptimizerOptions(kind=kind))
    if kind in optim_kinds.FULL_BATCH:
        options = dataclasses.replace(options, epochs=60, schedule=ScheduleOptions(kind="constant", warm_up=0.0))
    fitted = fit(SmallTask(dropout=0.0, noise=0.0), TRAIN, VAL, options)
    largest = float(VAL.tensors["labels"].bincount().max()) / len(VAL)
    assert fitted.history[-1]["train_loss"] < 0.9 * math.log(3)
    assert fitted.history[-1]["val_accuracy"] > largest + 0.05


def test_biases_and_norms_do_not_decay():
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))
    optimizer = optim.build(OptimizerOptions(kind="adamw", weight_decay=0.5), model)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert [decay[id(p)] for p in model.parameters()] == [0.5, 0.0, 0.0, 0.0]


def test_the_rate_of_a_group_has_the_groups_scale():
    model = nn.Linear(3, 5)
    optimizer = optim.build(OptimizerOptions(), model)
    optimizer.param_groups[0]["rate_scale"] = 0.25
    optim.set_rate(optimizer, 0.8)
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.8]


# Full batches and Newton's method


@pytest.mark.parametrize("kind", optim_kinds.FULL_BATCH)
def test_one_update_sees_every_row_whatever_fits_into_memory(kind):
    """The batch size only cuts the one batch up: the same weights but for the order of additions."""
    found = []
    for size in (211, 64, 17):
        options = FitOptions(steps=3, batch_size=size, optimizer=OptimizerOptions(kind=kind))
        training = Training(SmallTask(), TRAIN, options, device=torch.device("cpu"), ranks=Alone())
        (rows,) = training.order()
        assert sorted(rows) == list(range(211))
        found.append(weights(fit(SmallTask(), TRAIN, None, options)))
    assert (found[0] - found[1]).abs().max() < 2e-4 and (found[0] - found[2]).abs().max() < 2e-4
    assert not torch.equal(found[0], found[1])


class Softmax(SmallTask):
    """Softmax regression: convex."""

    def build(self):
        return nn.Sequential(nn.Linear(5, 3, dtype=torch.float64))

    def batch(self, encoded, rows, draws):
        made = super().batch(encoded, rows, None)
        return dataclasses.replace(made, tensors={**made.tensors, "points": made["points"].double()})


def naive_newton(decay, updates, start):
    """With the whole Hessian, written down entry by entry, and numpy's least squares: 18 parameters."""
    x = np.concatenate([TRAIN.tensors["points"].double().numpy(), np.ones((211, 1))], axis=1)
    labels = TRAIN.tensors["labels"].numpy()
    decays = np.array([[decay] * 5 + [0.0]] * 3)

    def parts(theta):
        logits = x @ theta.T
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        loss = -np.log(p[np.arange(211), labels]).mean() + (decays * theta**2).sum() / 2
        gradient = ((p - np.eye(3)[labels]).T @ x) / 211 + decays * theta
        hessian = np.zeros((18, 18))
        for a in range(3):
            for b in range(3):
                inner = p[:, a] * ((a == b) - p[:, b])
                hessian[a * 6 : a * 6 + 6, b * 6 : b * 6 + 6] = (x.T * inner) @ x / 211
        return loss, gradient, hessian + np.diag(decays.ravel())

    theta, losses = start.copy(), []
    for _ in range(updates):
        loss, gradient, hessian = parts(theta)
        losses.append(loss)
        direction = np.linalg.lstsq(hessian, -gradient.ravel(), rcond=1e-12)[0].reshape(3, 6)
        length = 1.0
        while parts(theta + length * direction)[0] > loss + 1e-4 * length * (gradient * direction).sum():
            length /= 2
        theta = theta + length * direction
    return theta, losses


def test_newton_equals_a_naive_one_with_the_whole_hessian(monkeypatch):
    """Conjugate gradients are stopped early by design; solved to 1e-12 they take the naive steps, to 1e-9."""
    monkeypatch.setattr("deepen.engine.optim_newton.FORCING", 1e-12)
    task = Softmax(dropout=0.0)
    options = FitOptions(
        steps=5,
        batch_size=50,
        optimizer=OptimizerOptions(kind="newton", weight_decay=0.01),
        schedule=ScheduleOptions(kind="constant", warm_up=0.0),
    )
    training = Training(task, TRAIN, options, device=torch.device("cpu"), ranks=Alone())
    weight, bias = (p.detach() for p in training.model.parameters())
    # The biases are not decayed, so adding a number to all three changes nothing: only differences are determined, in
    # the reference by least squares.
    start = torch.cat([weight, bias[:, None]], 1).numpy().copy()
    for update in range(1, 6):
        training.update(training.order()[0])
        theta = torch.cat([weight, bias[:, None]], 1).numpy()
        expected, _ = naive_newton(0.01, update, start)
        assert np.abs((theta - theta.mean(0)) - (expected - expected.mean(0))).max() < 1e-9


def test_newton_is_at_the_minimum_within_ten_updates_and_gradient_descent_is_not():
    def norm_after(kind, steps):
        options = FitOptions(
            steps=steps,
            optimizer=OptimizerOptions(kind=kind, weight_decay=0.01),
            schedule=ScheduleOptions(kind="constant", warm_up=0.0),
        )
        training = Training(Softmax(dropout=0.0), TRAIN, options, device=torch.device("cpu"), ranks=Alone())
        for _ in range(steps):
            training.update(training.order()[0])
        w = training.model[0].weight
        return float(torch.linalg.vector_norm(w.grad + 0.01 * w.detach()))

    assert norm_after("newton", 10) < 1e-8
    assert norm_after("gradient-descent", 10) > 1e-2


@pytest.mark.parametrize("rate", [1.0, 50.0])
def test_newton_never_raises_the_loss_of_a_network_that_is_not_convex(rate):
    options = FitOptions(
        steps=15,
        batch_size=64,
        optimizer=OptimizerOptions(kind="newton", learning_rate=rate),
        schedule=ScheduleOptions(kind="constant", warm_up=0.0),
    )
    training = Training(SmallTask(dropout=0.0, noise=0.0), TRAIN, options, device=torch.device("cpu"), ranks=Alone())
    losses = []
    for _ in range(15):
        training.update(training.order()[0])
        losses.append(float(training.loss_sum) / 211)
        training.loss_sum.zero_()
    assert all(after <= before + 1e-7 for before, after in itertools.pairwise(losses))
    assert losses[-1] < losses[0] / 2


class Quadratic:
    """f(w) = w A w / 2 + b w."""

    def __init__(self, model, matrix, vector):
        self.w, self.a, self.b = model.weight, matrix, vector

    def value(self):
        w = self.w.detach().flatten()
        return float(0.5 * w @ self.a @ w + self.b @ w)

    def product(self, vectors):
        return [(self.a @ vectors[0].flatten()).view_as(vectors[0])]


def test_newton_solves_a_quadratic_at_once_and_damping_shortens_by_hand(monkeypatch):
    """A = diag(1, 100), b = (-1, -100): the minimum is (1, 1); damped by 100 the step is (1/101, 100/200)."""
    monkeypatch.setattr("deepen.engine.optim_newton.FORCING", 1e-6)
    matrix, vector = torch.diag(torch.tensor([1.0, 100.0])), torch.tensor([-1.0, -100.0])
    for damping, expected in ((0.0, [1.0, 1.0]), (100.0, [1 / 101, 0.5])):
        model = nn.Linear(2, 1, bias=False)
        nn.init.zeros_(model.weight)
        optimizer = Newton(model.parameters(), lr=1.0, damping=damping, iterations=7)
        model.weight.grad = vector.view(1, 2).clone()
        optim.step(optimizer, objective=Quadratic(model, matrix, vector))
        assert model.weight.flatten().tolist() == pytest.approx(expected, abs=1e-4)


def test_conjugate_gradients_stop_where_curvature_is_negative():
    gradient = [torch.tensor([3.0, 4.0])]
    down = solve(lambda v: [-v[0]], gradient, most=7)
    assert torch.equal(down[0], -gradient[0])
    found = solve(lambda v: [torch.tensor([2.0, -1.0]) * v[0]], [torch.tensor([1.0, 0.01])], most=7)
    assert float(found[0] @ torch.tensor([1.0, 0.01])) < 0


def test_the_product_with_the_hessian_is_the_hessian_entry_by_entry():
    from deepen.engine.optim_objective import BatchObjective

    task = SmallTask(dropout=0.0, noise=0.0)
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(5, 2), nn.Tanh(), nn.Linear(2, 3)).double()
    parameters = list(model.parameters())
    x, labels = TRAIN.tensors["points"].double(), TRAIN.tensors["labels"]

    def loss_of(flat):
        w1, b1, w2, b2 = flat[:10].view(2, 5), flat[10:12], flat[12:18].view(3, 2), flat[18:]
        return nn.functional.cross_entropy(torch.tanh(x @ w1.T + b1) @ w2.T + b2, labels)

    flat = torch.cat([p.detach().flatten() for p in parameters])
    hessian = torch.autograd.functional.hessian(loss_of, flat)
    batches = [task.batch(TRAIN, np.arange(211)[i::3], None) for i in range(3)]
    objective = BatchObjective(
        lambda batch: nn.functional.cross_entropy(model(batch["points"].double()), batch["labels"], reduction="sum"),
        batches,
        parameters,
        [],
        ranks=Alone(),
        count=211,
        device=torch.device("cpu"),
    )
    for column in range(21):
        unit = torch.zeros(21, dtype=torch.float64)
        unit[column] = 1.0
        parts = [part.view_as(p) for part, p in zip(unit.split([10, 2, 6, 3]), parameters, strict=True)]
        product = torch.cat([part.flatten() for part in objective.product(parts)])
        assert torch.allclose(product, hessian[:, column], atol=1e-12)
    assert objective.value() == pytest.approx(float(loss_of(flat)), rel=1e-12)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"precision": "bf16"}, "--precision bf16: newton differentiates twice"),
        ({"compile": True}, "--compile: newton"),
        ({"clip_norm": 1.0}, "--clip-norm: newton minimizes"),
        ({"l1": 0.1}, "--l1: newton minimizes"),
    ],
)
def test_newton_refuses_what_its_line_search_cannot_see(changed, said):
    options = FitOptions(steps=3, optimizer=OptimizerOptions(kind="newton"))
    with pytest.raises(OptionError, match=said):
        fit(SmallTask(), TRAIN, VAL, dataclasses.replace(options, **changed))


def test_newton_refuses_a_network_that_is_too_large():
    class Large(SmallTask):
        def build(self):
            return nn.Sequential(nn.Linear(5, 16_667), nn.Linear(16_667, 3, bias=False))

    with pytest.raises(OptionError, match=r"at most 100,000 parameters, but this one has 150,003"):
        fit(Large(), TRAIN, VAL, FitOptions(steps=3, optimizer=OptimizerOptions(kind="newton")))


def test_clipping_by_value_bounds_each_number_before_the_norm_is_bounded():
    base = FitOptions(steps=3, batch_size=31, optimizer=OptimizerOptions(kind="sgd", learning_rate=0.0))

    def clipped(**changed):
        options = dataclasses.replace(base, **changed)
        training = Training(SmallTask(), TRAIN, options, device=torch.device("cpu"), ranks=Alone())
        training.update(training.order()[0])
        return torch.cat([p.grad.flatten() for p in training.model.parameters()])

    free = clipped()
    by_value = clipped(clip_value=0.01)
    assert free.abs().max() > 0.01
    assert torch.equal(by_value, free.clamp(-0.01, 0.01))
    both = clipped(clip_value=0.01, clip_norm=0.03)
    assert torch.allclose(both, by_value * (0.03 / torch.linalg.vector_norm(by_value)), rtol=1e-4)
