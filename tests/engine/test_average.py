"""The moving average against its formula."""

from __future__ import annotations

import torch
from torch import nn

from deepen.engine.average import MovingAverage, UniformAverage


def test_follows_the_formula():
    model = nn.Linear(3, 2, bias=False)
    average = MovingAverage(model, decay=0.8)
    expected = model.weight.detach().double().clone()
    for step in range(1, 14):
        with torch.no_grad():
            model.weight += step
        average.update(step)
        decay = min(0.8, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach().double()
    assert torch.allclose(average.model.weight.double(), expected, rtol=1e-5)


def test_tied_weights_follow_once():
    """They have two names in the network's state, and are one tensor."""
    model = nn.ModuleDict({"embedding": nn.Embedding(7, 3), "output": nn.Linear(3, 7)})
    model["output"].weight = model["embedding"].weight
    average = MovingAverage(model, decay=0.5)
    before = model["output"].weight.detach().clone()
    with torch.no_grad():
        model["output"].weight += 1
    average.update(100)
    assert average.model["output"].weight is average.model["embedding"].weight
    torch.testing.assert_close(average.model["output"].weight, before + 0.5)


def test_counts_are_copied_and_statistics_follow():
    model = nn.BatchNorm1d(5)
    average = MovingAverage(model, decay=0.5)
    model.train()(torch.randn(7, 5))
    average.update(100)
    assert int(average.model.num_batches_tracked) == 1
    assert torch.allclose(average.model.running_mean, 0.5 * model.running_mean)


def test_the_uniform_average_is_the_mean_of_the_last_part():
    model = nn.Linear(3, 2)
    average = UniformAverage(model, fraction=0.4)
    seen = []
    for step in range(1, 11):
        with torch.no_grad():
            model.weight += step**2
        average.update(step / 10)
        if step > 6:  # 0.7, 0.8, 0.9 and 1
            seen.append(model.weight.detach().double().clone())
    assert average.count == 4
    assert torch.allclose(average.model.weight.double(), torch.stack(seen).mean(0), rtol=1e-6)


def test_statistics_are_learned_anew_as_the_mean_over_batches():
    """The reference is torch.optim.swa_utils.update_bn."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7, momentum=0.3))
    model.train()
    average = UniformAverage(model, fraction=0.5)
    for step in range(1, 5):
        with torch.no_grad():
            model[0].weight.add_(torch.randn(7, 5))
        average.update(step / 4)
    batches = [torch.randn(11, 5) for _ in range(3)]
    average.learn_statistics([lambda network, batch=batch: network(batch) for batch in batches])
    reference = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7))
    reference.load_state_dict(average.model.state_dict())
    torch.optim.swa_utils.update_bn(batches, reference)
    ours = average.model[1]
    assert torch.allclose(ours.running_mean, reference[1].running_mean)
    assert torch.allclose(ours.running_var, reference[1].running_var)
    assert (ours.momentum, ours.training, average.model.training) == (0.3, False, False)
    assert not torch.allclose(ours.running_mean, model[1].running_mean)


def test_frozen_norms_keep_their_statistics_and_networks_without_norms_see_no_batch():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    model.train()
    model[1].eval()
    model[1].running_mean.fill_(5.0)
    average = UniformAverage(model, fraction=0.5)
    average.update(1.0)

    def never(network):
        raise AssertionError("no batch is needed")

    average.learn_statistics([never])
    assert average.model[1].running_mean.tolist() == [5.0, 5.0]
