"""The restricted Boltzmann machine against sums over all of its states."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from deepen.nn.boltzmann import RestrictedBoltzmann
from deepen.nn.dropout import drawing_for

V, H = 5, 3
CPU = torch.device("cpu")


def machine(visible="binary", *, seed=0, spread=0.8, num_visible=V, num_hidden=H):
    torch.manual_seed(seed)
    made = RestrictedBoltzmann(num_visible, num_hidden, visible=visible).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, spread)
    return made


def states(size):
    return torch.tensor(list(product((0.0, 1.0), repeat=size)), dtype=torch.float64)


def log_likelihood(net, data):
    """Mean log-likelihood, the partition function summed over every visible state."""
    return (-net.free_energy(data) - torch.logsumexp(-net.free_energy(states(net.weight.shape[1])), 0)).mean()


def exact_gradients(net, data):
    parameters = dict(net.named_parameters())
    found = torch.autograd.grad(log_likelihood(net, data), list(parameters.values()))
    return dict(zip(parameters, found, strict=True))


def drawn(net, count, seed=7):
    """Visible states drawn exactly from the machine."""
    every = states(net.weight.shape[1])
    chances = torch.softmax(-net.free_energy(every), 0)
    draw = torch.Generator().manual_seed(seed)
    return every[torch.multinomial(chances, count, replacement=True, generator=draw)]


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
def test_the_free_energy_is_the_sum_over_every_hidden_state(visible):
    net = machine(visible)
    v = states(V)[::3] if visible == "binary" else torch.randn(11, V, dtype=torch.float64)
    energies = torch.stack([net.energy(v, h.expand(len(v), H)) for h in states(H)])
    assert torch.allclose(net.free_energy(v), -torch.logsumexp(-energies, 0), atol=1e-12)


def test_the_energy_by_hand():
    net = RestrictedBoltzmann(2, 1).double()
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[2.0, -3.0]]))
        net.hidden_bias.fill_(0.5)
        net.visible_bias.copy_(torch.tensor([1.0, 4.0]))
    v, h = torch.tensor([[1.0, 1.0]]).double(), torch.ones(1, 1).double()
    assert net.energy(v, h).item() == -(1 + 4) - 0.5 - (2 - 3)
    net.visible = "gaussian"
    assert net.energy(v, h).item() == (0**2 + 3**2) / 2 - 0.5 - (2 - 3)


@pytest.mark.parametrize("side", ["hidden", "visible"])
def test_the_means_are_those_of_the_joint_distribution(side):
    net = machine()
    given = states(V if side == "hidden" else H)[1::2]
    own = states(H if side == "hidden" else V)
    for row in given:
        repeated = row.expand(len(own), -1)
        energy = net.energy(repeated, own) if side == "hidden" else net.energy(own, repeated)
        mean = torch.softmax(-energy, 0) @ own
        found = net.hidden_mean(row[None]) if side == "hidden" else net.visible_mean(row[None])
        assert torch.allclose(found[0], mean, atol=1e-12)


def test_the_mean_of_gaussian_units_is_where_the_energy_is_least():
    net = machine("gaussian")
    h = states(H)
    v = net.visible_mean(h).detach().requires_grad_()
    net.energy(v, h).sum().backward()
    assert v.grad.abs().max() < 1e-12


def test_draws_have_the_means_and_are_of_their_kind():
    torch.manual_seed(1)
    binary, gaussian = machine(), machine("gaussian")
    h, v = states(H)[5].expand(20_011, -1), states(V)[13].expand(20_011, -1)
    for found, mean in (
        (binary.draw_hidden(v), binary.hidden_mean(v)[0]),
        (binary.draw_visible(h), binary.visible_mean(h)[0]),
    ):
        assert set(found.unique().tolist()) == {0.0, 1.0}
        assert torch.allclose(found.mean(0), mean, atol=0.02)  # deviation of a mean at most 0.0036
    real = gaussian.draw_visible(h)
    assert torch.allclose(real.mean(0), gaussian.visible_mean(h)[0], atol=0.04)
    assert torch.allclose(real.var(0), torch.ones(V).double(), atol=0.06)


def test_rectified_units_stand_for_many_binary_copies():
    """Their mean is that of binary units with biases x - 1/2, x - 3/2, ... to 1 percent; what is drawn is near it."""
    torch.manual_seed(2)
    net = RestrictedBoltzmann(1, 7, hidden="rectified")
    with torch.no_grad():
        net.weight.zero_()
        net.hidden_bias.copy_(torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0, 5.0, 11.0]))
    x = net.hidden_bias.detach().double()
    copies = torch.sigmoid(x[:, None] - torch.arange(1, 200) + 0.5).sum(1)
    v = torch.zeros(20_011, 1)
    assert torch.allclose(net.hidden_mean(v[:1])[0].double(), copies, atol=0.011)
    found = net.draw_hidden(v)
    assert found.min() >= 0
    big = x >= 5
    assert torch.allclose(found.mean(0).double()[big], copies[big], atol=0.05)
    variance = torch.sigmoid(x[big])
    assert torch.allclose(found.var(0).double()[big], variance, rtol=0.15)


def test_with_the_machine_s_own_samples_the_gradient_is_exact():
    net, data = machine(), states(V)[[0, 3, 7, 20, 20, 31]]
    every = states(V)
    chances = torch.softmax(-net.free_energy(every), 0).detach()
    counts = (chances / chances.min()).round().long()  # the model's distribution as rows, to within rounding
    own = every.repeat_interleave(counts, 0)
    exact, found = exact_gradients(net, data), net.gradients(data, own)
    for name, gradient in exact.items():
        assert torch.allclose(found[name], gradient, atol=0.02), name


def test_many_gibbs_steps_end_in_the_machine_s_distribution_and_its_gradient():
    net, data = machine(spread=0.5), states(V)[[0, 3, 7, 20, 20, 31]]
    torch.manual_seed(3)
    with torch.no_grad():
        own = net.gibbs(data.repeat(6_007, 1), 30)
    every = states(V)
    chances = torch.softmax(-net.free_energy(every), 0).detach()
    weights = 2 ** torch.arange(V - 1, -1, -1).double()
    seen = torch.bincount((own @ weights).long(), minlength=2**V) / len(own)
    assert torch.allclose(seen.double(), chances, atol=0.008)
    for name, gradient in exact_gradients(net, data).items():
        assert torch.allclose(net.gradients(data, own)[name], gradient, atol=0.02), name


@pytest.mark.parametrize("seed", range(5))
def test_cd_1_points_the_way_of_the_gradient_and_more_steps_nearer(seed):
    net = machine(seed=seed, spread=0.4)
    data = drawn(machine(seed=seed + 50, spread=1.5), 13).repeat(1_009, 1)
    exact = torch.cat([g.flatten() for g in exact_gradients(net, data).values()])
    torch.manual_seed(4)

    def angle(steps):
        found = net.gradients(data, net.gibbs(data, steps))
        return torch.cosine_similarity(torch.cat([found[n].flatten() for n in dict(net.named_parameters())]), exact, 0)

    assert angle(1) > 0.8
    assert angle(15) > 0.99


@pytest.mark.parametrize(("persistent", "rate", "momentum", "steps"), [(False, 0.3, 0.9, 1), (True, 0.1, 0.5, 3)])
def test_a_planted_distribution_is_learned(persistent, rate, momentum, steps):
    """Bars and stripes of 2 x 2 pixels: 6 patterns. The best there is, log 1/6, is -1.79; knowing nothing is -2.77."""
    patterns = torch.tensor([[0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 1, 0, 0], [0, 0, 1, 1]])
    data = patterns.double()
    torch.manual_seed(5)
    net = RestrictedBoltzmann(4, 11).double()
    before = log_likelihood(net, data).item()
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=momentum)
    chains = data.repeat(8, 1)
    for _ in range(2_500):
        chains = net.gibbs(chains if persistent else data.repeat(8, 1), steps)
        for name, gradient in net.gradients(data, chains).items():
            getattr(net, name).grad = -gradient
        optimizer.step()
    after = log_likelihood(net, data).item()
    assert before == pytest.approx(-4 * np.log(2), abs=0.01)
    assert after > -2.2


def test_draws_belong_to_the_row_and_not_to_its_neighbours():
    for visible in ("binary", "gaussian"):
        net = machine(visible).float()
        v, rows = torch.rand(7, V), np.array([3, 1, 4, 15, 9, 2, 6])
        with drawing_for(11, 5, rows, CPU):
            whole = net.gibbs(v, 2)
        parts = []
        for part in (slice(0, 3), slice(3, 7)):
            with drawing_for(11, 5, rows[part], CPU):
                parts.append(net.gibbs(v[part], 2))
        assert torch.allclose(whole, torch.cat(parts), atol=1e-6)
        with drawing_for(11, 6, rows, CPU):
            assert not torch.allclose(whole, net.gibbs(v, 2))


def test_sizes_of_different_sides():
    net = RestrictedBoltzmann(7, 13, visible="gaussian", hidden="rectified")
    found = net.gradients(torch.randn(11, 7), net.gibbs(torch.randn(5, 7), 1))
    assert {name: tuple(g.shape) for name, g in found.items()} == {
        "weight": (13, 7),
        "hidden_bias": (13,),
        "visible_bias": (7,),
    }
    assert net.reconstruction(torch.randn(3, 7)).shape == (3, 7)
