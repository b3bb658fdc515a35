"""The residual perceptron: its formula, its size, and what its embeddings see."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from deepen.models import tabular_resnet
from deepen.nn.shapes import TableShape
from deepen.nn.summary import num_parameters

SHAPE = TableShape(5, (3, 23))


def built():
    torch.manual_seed(0)
    return tabular_resnet.build("tabular-resnet", SHAPE, 7)


def test_is_its_formula():
    model = built().eval()
    numbers, categories = torch.randn(11, 5), torch.stack([torch.arange(11) % 3, torch.arange(11) * 2], 1)
    x = model.first(model.features(numbers, categories))
    for block in model.blocks:
        x = x + block.narrow(F.relu(block.wide(block.norm(x))))
    assert torch.allclose(model(numbers, categories), model.head(F.relu(model.norm(x))), atol=1e-6)


def test_parameters_by_hand():
    features = 5 + 3 + 16  # the second column is embedded, in 23 * 16 parameters
    blocks = 3 * (2 * 128 + 128 * 256 + 256 + 256 * 128 + 128)
    assert num_parameters(built()) == 23 * 16 + features * 128 + 128 + blocks + 2 * 128 + 128 * 7 + 7


def test_no_categories_and_no_numbers_fit():
    for shape in (TableShape(5), TableShape(0, (3, 23))):
        model = tabular_resnet.build("tabular-resnet", shape, 2).eval()
        categories = torch.zeros(13, len(shape.categories), dtype=torch.int64)
        assert model(torch.zeros(13, shape.numbers), categories).shape == (13, 2)
