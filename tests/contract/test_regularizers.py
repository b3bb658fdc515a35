"""All that holds weights back, at once, in every task that learns by gradients: by hand, in parts, and resumed."""

from __future__ import annotations

import pytest
import torch

from deepen.core import names
from deepen.core.errors import OptionError
from deepen.engine.training import Training
from deepen.nn.init import weights_of
from deepen.parallel.ranks import Alone
from deepen.verbs.options import resolved, task_module, unread_of
from deepen.verbs.prepared import base_options, prepare

TASKS = sorted(names.tasks())
STEPS, MEAN_OF = 6, 3
HELD = {
    "l1": 1e-4,
    "l2": 1e-3,
    "max_norm": 0.6,
    "weight_noise": 0.01,
    "ema": 0.9,
    "swa": MEAN_OF / STEPS,
    "clip_value": 0.02,
    "clip_norm": 0.03,
}


def started(task, **given):
    """A training of a few steps on the tiny data."""
    chosen = resolved(task, {"steps": STEPS, **given}, base=base_options(task, "tiny"))
    prepared = prepare(task, "tiny", chosen)
    return Training(prepared.task, prepared.encoded["train"], chosen.fit, device=torch.device("cpu"), ranks=Alone())


def advance(training, steps=1):
    for _ in range(steps):
        training.update(training.order()[training.position])
    return training


def copied(tensors):
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def flat(training):
    return torch.cat([p.detach().flatten() for p in training.model.parameters()])


def require_held(training):
    """After an update: the gradient that it took is clipped, and every unit's weights are within the ball."""
    gradients = torch.cat([p.grad.flatten() for p in training.model.parameters() if p.grad is not None])
    assert float(gradients.abs().max()) <= HELD["clip_value"] and float(gradients.norm()) <= HELD["clip_norm"] + 1e-6
    for _, weight in weights_of(training.model):
        norms = torch.linalg.vector_norm(weight.parameter.detach(), dim=weight.incoming)
        assert float(norms.max()) <= HELD["max_norm"] + 1e-6


@pytest.mark.parametrize("task", TASKS)
def test_all_that_holds_weights_back_at_once(task):
    torch.set_num_threads(1)
    if not trains_by_gradients(task):
        for name, value in HELD.items():
            with pytest.raises(OptionError, match=f"{name}: training .* does not read it"):
                resolved(task, {name: value})
        return
    held = held_in(task)
    whole = started(task, **held)
    moving, mean, middle = copied(whole.model.state_dict()), {}, None
    for step in range(1, STEPS + 1):
        require_held(advance(whole))
        decay = min(HELD["ema"], (1 + step) / (10 + step))
        for name, now in copied(whole.model.state_dict()).items():
            moving[name] = decay * moving[name] + (1 - decay) * now
            if step > STEPS - MEAN_OF:
                mean[name] = mean.get(name, 0) + now / MEAN_OF
        if step == STEPS // 2:
            middle = whole.state(), copied(whole.tensors())
    for name, tensor in whole.average.tensors().items():
        torch.testing.assert_close(tensor, moving[name], rtol=1e-5, atol=1e-6, msg=name)
    for name, tensor in whole.uniform_average.tensors().items():
        torch.testing.assert_close(tensor, mean[name], rtol=1e-5, atol=1e-6, msg=name)
    plain, cut, resumed = started(task), started(task, **held, accumulate=3), started(task, **held)
    assert flat(whole).isfinite().all() and not torch.allclose(flat(advance(plain, STEPS)), flat(whole), atol=1e-3)
    assert (flat(advance(cut, STEPS)) - flat(whole)).abs().max() <= 1e-4 * flat(whole).abs().max()
    resumed.restore(*middle)
    ended = advance(resumed, STEPS - STEPS // 2).tensors()
    for name, tensor in whole.tensors().items():
        assert torch.equal(ended[name], tensor), name
    for each in (whole, plain, cut, resumed):
        each.close()


@pytest.mark.parametrize("task", TASKS)
def test_each_of_them_changes_the_steps(task):
    if not trains_by_gradients(task):
        return
    held = held_in(task)
    together = after_two_steps(task, held)
    for name in ("l1", "l2", "weight_noise", "clip_value", "clip_norm"):
        rest = {other: value for other, value in held.items() if other != name}
        assert not torch.equal(after_two_steps(task, rest), together), name


@pytest.mark.parametrize("task", TASKS)
def test_noise_on_weights_goes_after_the_step(task):
    if not trains_by_gradients(task):
        return
    training = started(task, weight_noise=0.3, **{"optimizer.learning_rate": 1e-12})
    before = flat(training).clone()
    torch.testing.assert_close(flat(advance(training, 2)), before, rtol=1e-5, atol=1e-6)
    training.close()


def after_two_steps(task, given):
    training = advance(started(task, **given), 2)
    training.close()
    return flat(training)


def held_in(task):
    """Without the limit where a network has no layer that it would hold."""
    network = prepare(task, "tiny", resolved(task, {}, base=base_options(task, "tiny"))).task.build()
    return {name: value for name, value in HELD.items() if name != "max_norm" or any(weights_of(network))}


def trains_by_gradients(task):
    return not set(HELD) & set(unread_of(task, task_module(task).Options()))
