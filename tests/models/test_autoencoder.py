import pytest
import torch

from deepen.core.errors import OptionError
from deepen.models.autoencoder import Options, build, squared_derivatives
from deepen.nn.shapes import ImageShape

SHAPE = ImageShape(2, 7, 5)


def net(name="autoencoder", **options):
    torch.manual_seed(0)
    if name == "autoencoder":
        options = {"hidden": (13,), **options}
    return build(name, SHAPE, 3, Options(**options)).train()


def images(count=11):
    return torch.rand(count, 2, 7, 5, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["autoencoder", "convolutional-autoencoder"])
def test_the_loss_is_the_squared_error_of_the_targets(name):
    model = net(name)
    clean = images()
    decoded, code, loss = model(clean + 0.1, clean)
    assert torch.equal(code, model.encode(clean + 0.1))
    assert torch.equal(decoded, model.decode(code))
    assert torch.allclose(loss, (decoded - clean).pow(2).sum(dim=(1, 2, 3)))


def test_sparsity_adds_the_sizes_of_the_code():
    plain, sparse = net()(images()), net(sparsity=0.7)(images())
    assert torch.allclose(sparse.loss - plain.loss, 0.7 * plain.code.abs().sum(dim=1), rtol=1e-4)


def test_the_estimate_of_the_derivatives_is_right_on_average():
    """Of a linear code W x the squared derivatives are the sum of the squares of W."""
    torch.manual_seed(0)
    weight = torch.randn(3, 70)
    values = images(5000).flatten(1).requires_grad_()
    estimates = squared_derivatives(values, values @ weight.T)
    exact = float(weight.square().sum())
    assert float(estimates.mean()) == pytest.approx(exact, abs=5 * float(estimates.std()) / 5000**0.5)


def test_the_derivatives_of_a_code_of_one_number_are_exact():
    torch.manual_seed(0)
    model = build("autoencoder", SHAPE, 1, Options(hidden=(13,), contraction=1.0)).train()
    batch = images(3)
    slopes = torch.autograd.functional.jacobian(lambda x: model.encode(x).sum(), batch)
    decoded, _, loss = model(batch)
    expected = (decoded - batch).pow(2).sum(dim=(1, 2, 3)) + slopes.pow(2).sum(dim=(1, 2, 3))
    assert torch.allclose(loss, expected, rtol=1e-5)


def test_contraction_keeps_the_code_still():
    """A hundred steps with and without: the derivatives shrink."""

    def slopes(weight):
        model = net(contraction=weight)
        optimizer = torch.optim.Adam(model.parameters(), 0.003)
        for _ in range(100):
            optimizer.zero_grad()
            model(images()).loss.sum().backward()
            optimizer.step()
        return torch.autograd.functional.jacobian(lambda x: model.encode(x).sum(dim=0), images()).square().sum()

    assert slopes(1.0) < slopes(0.0) / 2


def test_evaluation_needs_no_gradient():
    with torch.inference_mode():
        assert torch.isfinite(net(contraction=1.0).eval()(images()).loss).all()


def test_hidden_widths_of_nothing_are_refused():
    with pytest.raises(OptionError, match=r"hidden: expected widths of at least 1, but is \(5, 0\)"):
        net(hidden=(5, 0))
    with pytest.raises(OptionError, match="convolutional-autoencoder has no hidden layers"):
        net("convolutional-autoencoder", hidden=(5,))
