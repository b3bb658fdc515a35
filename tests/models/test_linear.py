import pytest
import torch

from deepen.models.linear import PAPER, SIZES, Options, build
from deepen.nn.shapes import ImageShape, TableShape


@pytest.mark.parametrize("name", SIZES)
def test_parameters_are_the_derivation(name):
    paper = PAPER[name]
    shape = ImageShape(*paper.inputs) if len(paper.inputs) == 3 else TableShape(*paper.inputs)
    assert sum(p.numel() for p in build(name, shape, paper.outputs).parameters()) == paper.parameters


def test_images_by_hand():
    net = build("softmax-regression", ImageShape(1, 2, 3), 2)
    assert not net(torch.randn(5, 1, 2, 3)).any()  # starts at zero
    with torch.no_grad():
        net.output.weight[1] = torch.arange(6.0)
        net.output.bias[0] = 7.0
    assert net(torch.ones(1, 1, 2, 3)).tolist() == [[7.0, 15.0]]


def test_memory_order_of_the_images_does_not_matter():
    net = build("softmax-regression", ImageShape(3, 5, 7), 11)
    torch.nn.init.normal_(net.output.weight)
    images = torch.randn(2, 3, 5, 7)
    assert torch.equal(net(images), net(images.contiguous(memory_format=torch.channels_last)))


def test_a_category_has_its_own_weight():
    net = build("linear-regression", TableShape(numbers=2, categories=(3,)), 1)
    with torch.no_grad():
        net.output.weight[0] = torch.tensor([1.0, 10.0, 100.0, 200.0, 300.0])
    out = net(torch.tensor([[2.0, 3.0], [0.0, 0.0]]), torch.tensor([[1], [2]]))
    assert out.tolist() == [[232.0], [300.0]]


def test_least_squares_is_found():
    torch.manual_seed(0)
    x, w = torch.randn(97, 3), torch.tensor([[2.0], [-3.0], [0.5]])
    net = build("linear-regression", TableShape(3), 1)
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=50)

    def closure():
        optimizer.zero_grad()
        loss = (net(x, torch.empty(97, 0, dtype=torch.int64)) - x @ w - 4.0).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.allclose(net.output.weight, w.T, atol=1e-3)
    assert net.output.bias.item() == pytest.approx(4.0, abs=1e-3)


def test_embedding_option_reaches_the_features():
    net = build("linear-regression", TableShape(1, (23,)), 1, Options(embedding=5))
    assert net.output.weight.shape == (1, 6)
