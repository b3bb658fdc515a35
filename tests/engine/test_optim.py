"""Optimizers against naive loops written from their formulas, step for step."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deepen.engine import optim
from deepen.engine.options import OptimizerOptions


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(5 * 5 * 5, 7)).to(
        memory_format=torch.channels_last
    )


def gradients(model, step):
    draw = torch.Generator().manual_seed(step)
    return [torch.randn(p.shape, generator=draw) for p in model.parameters()]


def decays(options, parameter):
    return options.weight_decay if parameter.dim() > 1 else 0.0


def naive_sgd(options, parameters, steps):
    memory = [None] * len(parameters)
    for all_gradients in steps:
        for i, (w, g) in enumerate(zip(parameters, all_gradients, strict=True)):
            g = g + decays(options, w) * w
            memory[i] = g if memory[i] is None else options.momentum * memory[i] + g
            w -= options.learning_rate * (g + options.momentum * memory[i] if options.nesterov else memory[i])


def naive_adam(options, parameters, steps):
    m, v = ([torch.zeros_like(w) for w in parameters] for _ in range(2))
    for t, all_gradients in enumerate(steps, start=1):
        for i, (w, g) in enumerate(zip(parameters, all_gradients, strict=True)):
            if options.kind == "adam":
                g = g + decays(options, w) * w
            else:
                w -= options.learning_rate * decays(options, w) * w
            m[i] = options.beta1 * m[i] + (1 - options.beta1) * g
            v[i] = options.beta2 * v[i] + (1 - options.beta2) * g * g
            m_hat, v_hat = m[i] / (1 - options.beta1**t), v[i] / (1 - options.beta2**t)
            w -= options.learning_rate * m_hat / (v_hat.sqrt() + options.epsilon)


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("nesterov", [True, False])
def test_equals_the_formula(kind, nesterov):
    options = OptimizerOptions(kind=kind, learning_rate=0.01, weight_decay=0.1, nesterov=nesterov)
    model = network()
    optimizer = optim.build(options, model)
    steps = [gradients(model, step) for step in range(11)]
    expected = [p.detach().double().clone() for p in model.parameters()]
    naive = naive_sgd if kind == "sgd" else naive_adam
    naive(options, expected, [[g.double() for g in step] for step in steps])
    for step in steps:
        for parameter, gradient in zip(model.parameters(), step, strict=True):
            parameter.grad = gradient.to(memory_format=torch.channels_last) if gradient.dim() == 4 else gradient
        optimizer.step()
    for parameter, value in zip(model.parameters(), expected, strict=True):
        assert torch.allclose(parameter.double(), value, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_restored_memory_goes_on_bit_for_bit_in_channels_last(kind):
    options = OptimizerOptions(kind=kind, learning_rate=0.01)
    models = [network(), network()]
    optimizers = [optim.build(options, model) for model in models]

    def step(which, number):
        for parameter, gradient in zip(models[which].parameters(), gradients(models[which], number), strict=True):
            parameter.grad = gradient.to(memory_format=torch.channels_last) if gradient.dim() == 4 else gradient
        optimizers[which].step()

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


def test_biases_and_norms_do_not_decay():
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))
    optimizer = optim.build(OptimizerOptions(kind="adamw", weight_decay=0.5), model)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert [decay[id(p)] for p in model.parameters()] == [0.5, 0.0, 0.0, 0.0]
