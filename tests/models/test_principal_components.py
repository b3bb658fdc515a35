import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from deepen.models.principal_components import build
from deepen.nn.shapes import ImageShape


def digits():
    return torch.from_numpy(load_digits().images[:503, None] / 16).float()


def started(count):
    model = build("principal-components", ImageShape(1, 8, 8), count).eval()
    model.start(digits().split(97))
    return model


def test_codes_and_decoded_images_are_sklearns():
    values = digits().flatten(1).numpy()
    reference = PCA(7, svd_solver="full").fit(values.astype(np.float64))
    model = started(7)
    with torch.no_grad():
        decoded, code, loss = model(digits())
    expected = reference.transform(values)
    assert np.allclose(np.abs(code.numpy()), np.abs(expected), atol=1e-4)
    assert np.allclose(decoded.flatten(1).numpy(), reference.inverse_transform(expected), atol=1e-4)
    assert np.allclose(loss.numpy(), ((values - reference.inverse_transform(expected)) ** 2).sum(axis=1), rtol=1e-3)


def test_gradient_steps_of_a_linear_autoencoder_come_no_lower():
    """Baldi and Hornik 1989: no other linear code of the size has a smaller squared error; descent finds that one."""
    values = digits()
    with torch.no_grad():
        best = float(started(3)(values).loss.mean())
    torch.manual_seed(0)
    there, back = torch.nn.Linear(64, 3), torch.nn.Linear(3, 64)
    optimizer = torch.optim.Adam([*there.parameters(), *back.parameters()], 0.01)
    for step in range(1500):
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / 1500)
        optimizer.zero_grad()
        loss = (back(there(values.flatten(1))) - values.flatten(1)).square().sum(dim=1).mean()
        loss.backward()
        optimizer.step()
    assert best <= float(loss.detach()) <= best * 1.02


def test_at_the_start_no_direction_lowers_the_loss():
    model = started(5)
    model(digits()).loss.mean().backward()
    assert model.mean.grad.abs().max() < 1e-4
    assert model.components.grad.abs().max() < 1e-3
