"""A network's graph: edges worked out by hand, sums equal to the table of layers, and repeats that stand once."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.core import names
from deepen.nn.dropout import Dropout
from deepen.nn.graph import BEFORE, INPUT, OUTPUT, folded, traced
from deepen.nn.shapes import ImageShape, TableShape
from deepen.nn.sketch import sketched
from deepen.nn.summary import layers, num_parameters


class Residual(nn.Module):
    """relu(x + dropout(conv(x)))"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.dropout = Dropout(0.3)
        self.unused = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.unused(self.dropout(self.conv(x))), inplace=True)


class Dense(nn.Module):
    """A layer that reads everything before it."""

    def __init__(self, width_in: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width_in)
        self.conv = nn.Conv2d(width_in, 5, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        return self.conv(self.norm(torch.cat(maps, 1)))


class DenseBlock(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Dense(2 + 5 * index) for index in range(count)])

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for layer in self.layers:
            maps.append(layer(maps))
        return torch.cat(maps, 1)


def kinds(graph):
    return [(node.kind, node.inputs) for node in graph.nodes]


def test_a_residual_block_by_hand():
    graph = traced(Residual(3), [torch.zeros(1, 3, 7, 5)])
    assert kinds(graph) == [
        (INPUT, ()),
        ("Conv2d", (0,)),
        ("Dropout", (1,)),
        ("add", (0, 2)),
        ("relu", (3,)),
        (OUTPUT, (4,)),
    ]
    conv = graph.nodes[1]
    assert (conv.name, conv.detail, conv.output) == ("conv", "3x3", (3, 7, 5))
    assert (conv.parameters, conv.multiply_adds) == (3 * 3 * 9 + 3, 7 * 5 * 3 * 3 * 9)


def test_what_reads_the_input_of_a_dropout_does_not_read_the_dropout():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dropout = Dropout(0.5)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.dropout(x), x.sin()], 1)

    assert kinds(traced(Two(), [torch.zeros(1, 3)])) == [
        (INPUT, ()),
        ("Dropout", (0,)),
        ("sin", (0,)),
        ("cat", (1, 2)),
        (OUTPUT, (3,)),
    ]


def test_parameters_outside_of_layers_count_where_they_are_used():
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(7))
            self.inner = nn.Linear(7, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x * self.scale.exp()) + (x * self.scale)[:, :2]

    graph = traced(Scaled(), [torch.zeros(1, 7)])
    assert [(node.kind, node.parameters) for node in graph.nodes] == [
        (INPUT, 0),
        ("mul", 7),
        ("Linear", 16),
        ("mul", 0),
        ("add", 0),
        (OUTPUT, 0),
    ]


def test_tracing_leaves_the_network_as_it_was():
    net = nn.Sequential(Residual(3), nn.BatchNorm2d(3)).train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    traced(net, [torch.randn(1, 3, 7, 5)])
    assert net.training and all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def predictors():
    return sorted(
        name
        for name, named in names.models().items()
        if {"image classifier", "table classifier", "table regressor"} & set(named.contracts)
    )


@pytest.mark.parametrize("name", predictors())
def test_every_model_is_drawn_whole(name):
    """Its sums are those of the table of layers, each node reads earlier ones, and all is read by something."""
    named = names.models()[name]
    module = importlib.import_module(named.module)
    if "image classifier" in named.contracts:
        shape, inputs = ImageShape(1, 32, 32), [torch.zeros(1, 1, 32, 32)]
    else:
        shape, inputs = TableShape(5, (3, 29)), [torch.zeros(1, 5), torch.zeros(1, 2, dtype=torch.int64)]
    if name == "neural-tree":  # which leads rows to leaves by their numbers
        model = module.build(name, shape, 7)
    else:
        with sketched():
            model = module.build(name, shape, 7)
        inputs = [tensor.to("meta") for tensor in inputs]
    graph = traced(model, inputs)
    assert sum(node.multiply_adds for node in graph.nodes) == sum(row.multiply_adds for row in layers(model, inputs))
    count = sum(node.parameters for node in graph.nodes)
    assert count == num_parameters(model)
    assert all(source < place for place, node in enumerate(graph.nodes) for source in node.inputs)
    read = {source for node in graph.nodes for source in node.inputs}
    assert read == set(range(len(graph.nodes) - 1))
    assert graph.nodes[-1].output == (7,)
    root = folded(graph)
    assert (root.parameters, root.multiply_adds) == (count, sum(node.multiply_adds for node in graph.nodes))


def test_equal_blocks_in_a_row_stand_once_and_another_one_alone():
    net = nn.Sequential(*[Residual(3) for _ in range(5)], nn.Sequential(nn.Conv2d(3, 2, 1), nn.Tanh()))
    root = folded(traced(net, [torch.zeros(1, 3, 7, 5)]))
    assert [(box.kind, box.times, box.form) for box in root.children] == [
        (INPUT, 1, ""),
        ("Residual", 5, "chain"),
        ("Sequential", 1, ""),
        (OUTPUT, 1, ""),
    ]
    assert root.edges == ((0, 1), (1, 2), (2, 3))
    block = root.children[1]
    assert [box.kind for box in block.children] == ["Conv2d", "Dropout", "add", "relu"]
    assert block.edges == ((BEFORE, 0), (BEFORE, 2), (0, 1), (1, 2), (2, 3), (3, 4))


def test_blocks_that_differ_in_size_are_not_folded():
    net = nn.Sequential(Residual(3), nn.Conv2d(3, 4, 1), Residual(4))
    root = folded(traced(net, [torch.zeros(1, 3, 7, 5)]))
    assert [(box.kind, box.times) for box in root.children[1:-1]] == [("Residual", 1), ("Conv2d", 1), ("Residual", 1)]


def test_a_block_whose_result_is_read_later_too_is_not_folded():
    class Kept(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = Residual(3), Residual(3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.first(x)
            return self.second(y) * y.sin()

    root = folded(traced(Kept(), [torch.zeros(1, 3, 7, 5)]))
    assert [box.times for box in root.children] == [1] * 6


def test_layers_that_read_all_before_them_stand_once():
    root = folded(traced(nn.Sequential(DenseBlock(4), nn.Tanh()), [torch.zeros(1, 2, 7, 5)]))
    block = root.children[1]
    assert [(box.kind, box.times, box.form) for box in block.children] == [("Dense", 4, "dense"), ("cat", 1, "")]
    assert block.edges == ((BEFORE, 0), (BEFORE, 1), (0, 1), (1, 2))
    assert block.parameters == sum(2 * width + 5 * width + 5 for width in (2, 7, 12, 17))


def test_equal_nodes_side_by_side_stand_once():
    class Columns(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rest = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return self.rest(torch.cat([F.one_hot(x[:, index], 3) for index in range(4)], 1))

    root = folded(traced(Columns(), [torch.zeros(1, 4, dtype=torch.int64)]))
    assert [(box.kind, box.times, box.form) for box in root.children] == [
        (INPUT, 1, ""),
        ("one_hot", 4, "parallel"),
        ("cat", 1, ""),
        (OUTPUT, 1, ""),
    ]


@pytest.mark.parametrize(("kind", "gates"), [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
def test_recurrent_layers_are_counted_whoever_computes_them(kind: type[nn.RNNBase], gates: int) -> None:
    """T places, each with a product with the input's matrix and one with the state's."""
    layer = kind(3, 7, batch_first=True)
    found = layers(layer, [torch.zeros(1, 11, 3)])
    assert sum(each.multiply_adds for each in found) == 11 * gates * 7 * (3 + 7)
