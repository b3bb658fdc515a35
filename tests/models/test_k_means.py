import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from deepen.models.k_means import Options, build
from deepen.nn.shapes import TableShape
from deepen.ops.lloyd import lloyd


def digits():
    return torch.from_numpy(load_digits().data / 16).float()


def started(count, **options):
    model = build("k-means", TableShape(64), count, Options(**options))
    model.start(digits().split(211), 0)
    return model


def test_the_inertia_on_digits_is_sklearns():
    """sklearn 1.9, KMeans(10, n_init=10, random_state=0): the best of ten starts each; either may be a little lower."""
    reference = KMeans(10, n_init=10, random_state=0).fit(digits().double().numpy()).inertia_
    with torch.no_grad():
        found = float(2 * started(10).loss(digits()).double().sum())
    assert found == pytest.approx(reference, rel=2e-3)


def test_at_the_start_the_gradient_is_zero():
    model = started(7)
    model.loss(digits()).mean().backward()
    assert model.centres.grad.abs().max() < 1e-5


def test_the_loss_is_half_the_least_distance_and_its_gradient_the_way_from_the_centre():
    model = build("k-means", TableShape(2), 2)
    with torch.no_grad():
        model.centres.copy_(torch.tensor([[0.0, 0.0], [10.0, 0.0]]))
    vectors = torch.tensor([[3.0, 4.0], [9.0, 0.0]])
    assert torch.allclose(model(vectors), torch.tensor([[25.0, 65.0], [81.0, 1.0]]))
    loss = model.loss(vectors)
    assert loss.tolist() == [12.5, 0.5]
    loss.sum().backward()
    assert model.centres.grad.tolist() == [[-3.0, -4.0], [1.0, 0.0]]


@pytest.mark.parametrize("start", ["k-means++", "random"])
def test_other_starts_are_training_vectors(start):
    centres = started(7, start=start).centres.detach()
    distances = torch.cdist(centres, digits()).min(dim=1).values
    assert distances.max() < 1e-5 and len(torch.unique(centres, dim=0)) == 7


def test_gradient_steps_come_near_to_where_lloyds_end_from_the_same_start():
    model = started(10, start="k-means++")
    ended = lloyd(digits().double(), model.centres.detach().double()).inertia / (2 * len(digits()))
    optimizer = torch.optim.SGD(model.parameters(), 1.0)
    generator = torch.Generator().manual_seed(0)
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 5 / (1 + step / 10)
        optimizer.zero_grad()
        rows = torch.randint(0, 1797, (256,), generator=generator)
        model.loss(digits()[rows]).mean().backward()
        optimizer.step()
    with torch.no_grad():
        assert float(model.loss(digits()).mean()) < 1.05 * ended
