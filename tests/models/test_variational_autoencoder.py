import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from deepen.core.errors import OptionError
from deepen.models.variational_autoencoder import Options, build
from deepen.nn.dropout import drawing_for
from deepen.nn.shapes import ImageShape

SHAPE = ImageShape(2, 7, 5)


def net(**options):
    torch.manual_seed(0)
    return build("variational-autoencoder", SHAPE, 3, Options(hidden=(13,), **options)).double()


def images(count=11):
    return torch.rand(count, 2, 7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def posterior(model, batch):
    hidden = model.encoder(batch)
    return Normal(model.mean(hidden), torch.exp(0.5 * model.log_variance(hidden)))


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_loss_is_the_negative_bound_term_by_term(likelihood):
    """In evaluation the mean of q is decoded, so every term follows from torch.distributions."""
    model, batch = net(likelihood=likelihood, beta=2.5).eval(), images()
    q = posterior(model, batch)
    divergence = kl_divergence(q, Normal(torch.zeros_like(q.mean), 1.0)).sum(dim=1)
    outputs = model.decoder(q.mean)
    if likelihood == "bernoulli":
        log_likelihood = -torch.nn.functional.binary_cross_entropy(torch.sigmoid(outputs), batch, reduction="none")
    else:
        log_likelihood = Normal(outputs, model.log_deviation.exp()).log_prob(batch)
    expected = 2.5 * divergence - log_likelihood.flatten(1).sum(dim=1)
    assert torch.allclose(model(batch).loss, expected, rtol=1e-9)
    assert torch.equal(model(batch).code, q.mean)


def test_the_gradient_of_the_loss_is_that_of_finite_differences():
    model, batch = net().train(), images(5)
    weight = model.log_variance.weight

    def loss():
        with drawing_for(0, 0, np.arange(5), torch.device("cpu")):
            return model(batch).loss.sum()

    def loss_at(moved):
        before = float(weight[1, 2])
        weight[1, 2] = before + moved
        value = float(loss())
        weight[1, 2] = before
        return value

    loss().backward()
    step = 1e-6
    with torch.no_grad():
        slope = (loss_at(step) - loss_at(-step)) / (2 * step)
    assert float(weight.grad[1, 2]) == pytest.approx(slope, rel=1e-5)


def test_draws_in_training_belong_to_the_row():
    model, batch = net().train(), images()
    with drawing_for(3, 5, np.arange(11), torch.device("cpu")):
        together = model(batch).loss
    with drawing_for(3, 5, np.array([7, 2]), torch.device("cpu")):
        alone = model(batch[[7, 2]]).loss
    assert torch.allclose(together[[7, 2]], alone)
    with drawing_for(3, 6, np.arange(11), torch.device("cpu")):
        assert not torch.allclose(model(batch).loss, together)


def test_draws_have_the_mean_and_deviation_of_q():
    model = net().train()
    batch = images(1).expand(4001, -1, -1, -1)
    q = posterior(model, batch[:1])
    seen = []
    hook = model.decoder.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    with drawing_for(0, 0, np.arange(4001), torch.device("cpu")):
        model(batch)
    hook.remove()
    off = (seen[0] - q.mean) / q.stddev
    assert off.mean(dim=0).abs().max() < 5 / 4001**0.5
    assert (off.var(dim=0) - 1).abs().max() < 5 * (2 / 4001) ** 0.5


def test_the_bound_is_the_mean_over_many_draws_within_its_error():
    model, batch = net().eval(), images(5)
    bound, divergence = model.bound(batch)
    q = posterior(model, batch)
    torch.manual_seed(1)
    with torch.no_grad():
        drawn = torch.stack([model._log_likelihood(model.decoder(q.sample()), batch) for _ in range(500)])
    expected = drawn.mean(dim=0) - divergence
    assert torch.allclose(bound, expected, atol=6 * float(drawn.std(dim=0).max()) / 16**0.5)
    assert torch.equal(bound, model.bound(batch)[0])


def test_the_bound_lies_below_the_likelihood_by_importance_sampling():
    """log p(x) ~ log mean_k p(x|z_k) p(z_k) / q(z_k|x), Burda et al. 2016: never less than the bound on average."""
    model, batch = net().eval(), images(5)
    q = posterior(model, batch)
    torch.manual_seed(1)
    weights = []
    for _ in range(500):
        z = q.sample()
        prior = Normal(torch.zeros_like(z), 1.0).log_prob(z).sum(dim=1)
        weights.append(model._log_likelihood(model.decoder(z), batch) + prior - q.log_prob(z).sum(dim=1))
    likelihood = torch.logsumexp(torch.stack(weights), dim=0) - np.log(500)
    assert (model.bound(batch)[0] <= likelihood + 0.05).all()


def test_hidden_widths_of_nothing_are_refused():
    with pytest.raises(OptionError, match=r"hidden: expected widths of at least 1, but is \(0,\)"):
        build("variational-autoencoder", SHAPE, 3, Options(hidden=(0,)))
    with pytest.raises(OptionError, match="convolutional-variational-autoencoder has no hidden layers"):
        build("convolutional-variational-autoencoder", SHAPE, 3, Options(hidden=(5,)))
