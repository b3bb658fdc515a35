import pytest
import torch
from torch import nn

from deepen.nn import recurrent_cells
from deepen.nn.init import (
    NAMES,
    orthogonal_,
    silence,
    start,
    start_convolutions,
    start_linears,
    weights_of,
)


def test_convolutions_have_the_deviation_of_the_paper():
    torch.manual_seed(0)
    conv = nn.Conv2d(61, 127, 5)
    start_convolutions(nn.Sequential(conv))
    assert float(conv.weight.detach().std()) == pytest.approx((2 / (25 * 127)) ** 0.5, rel=0.01)
    assert conv.bias is not None and not conv.bias.any()


def test_a_convolution_keeps_the_variance_of_gradients_through_relu():
    torch.manual_seed(0)
    conv = nn.Conv2d(67, 131, 3, padding=1, bias=False)
    start_convolutions(conv)
    x = torch.randn(3, 67, 31, 31, requires_grad=True)
    y = torch.relu(conv(x))
    g = torch.randn_like(y)
    y.backward(g)
    assert x.grad is not None
    assert float(x.grad.var() / g.var()) == pytest.approx(1.0, rel=0.1)  # a little less: the frame of zeros


def test_linears_have_the_deviation_of_the_paper():
    torch.manual_seed(0)
    linear = nn.Linear(509, 211)
    start_linears(nn.ModuleList([linear]))
    assert float(linear.weight.detach().std()) == pytest.approx((2 / 509) ** 0.5, rel=0.01)
    assert not linear.bias.any()


def test_a_silent_norm_gives_zero():
    norm = nn.BatchNorm2d(5)
    silence([norm])
    assert not norm(torch.randn(3, 5, 7, 11)).any()


REFERENCES = {
    "xavier-uniform": nn.init.xavier_uniform_,
    "xavier-normal": nn.init.xavier_normal_,
    "he-uniform": lambda w: nn.init.kaiming_uniform_(w, mode="fan_in", nonlinearity="relu"),
    "he-normal": lambda w: nn.init.kaiming_normal_(w, mode="fan_in", nonlinearity="relu"),
    "lecun-uniform": lambda w: nn.init.kaiming_uniform_(w, mode="fan_in", nonlinearity="linear"),
    "lecun-normal": lambda w: nn.init.kaiming_normal_(w, mode="fan_in", nonlinearity="linear"),
    "orthogonal": nn.init.orthogonal_,
    "normal": lambda w: nn.init.normal_(w, 0, 0.01),
    "constant": nn.init.zeros_,
}
LAYERS = {
    "linear": lambda: nn.Linear(23, 17),
    "wide": lambda: nn.Linear(17, 23),
    "convolution": lambda: nn.Conv2d(6, 14, (3, 5)),
    "groups": lambda: nn.Conv2d(6, 14, 3, groups=2),
    "one dimension": lambda: nn.Conv1d(5, 13, 7),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layer", LAYERS)
def test_the_formulas_are_those_of_torch_nn_init(name, layer):
    ours, theirs = LAYERS[layer](), LAYERS[layer]()
    torch.manual_seed(5)
    start(ours, name)
    torch.manual_seed(5)
    REFERENCES[name](theirs.weight)
    assert torch.allclose(ours.weight, theirs.weight, rtol=1e-6, atol=1e-7)
    assert not ours.bias.any()


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("xavier-uniform", 2 / (307 + 211)),
        ("xavier-normal", 2 / (307 + 211)),
        ("he-uniform", 2 / 307),
        ("he-normal", 2 / 307),
        ("lecun-uniform", 1 / 307),
        ("lecun-normal", 1 / 307),
        ("normal", 0.01**2),
        ("orthogonal", 1 / 307),  # 211 rows of length 1 over 307 columns
    ],
)
def test_the_variance_is_the_formulas(name, variance):
    torch.manual_seed(1)
    linear = nn.Linear(307, 211)
    start(linear, name)
    assert float(linear.weight.detach().var()) == pytest.approx(variance, rel=0.02)


@pytest.mark.parametrize("shape", [(7, 19), (19, 7), (11, 3, 5)])
def test_orthogonal_rows_or_columns(shape):
    weight = torch.empty(shape, dtype=torch.float64)
    orthogonal_(weight, 1.5)
    matrix = weight.flatten(1)
    product = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    assert torch.allclose(product, 2.25 * torch.eye(len(product), dtype=torch.float64), atol=1e-12)


class Members(nn.Module):
    """Three linear maps side by side, as a model's own layer."""

    incoming = (1,)

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 503, 7))
        self.bias = nn.Parameter(torch.ones(3, 1, 7))


def test_a_layer_of_members_counts_its_inputs_once():
    torch.manual_seed(0)
    layer = Members()
    start(layer, "he-normal")
    assert float(layer.weight.detach().var()) == pytest.approx(2 / 503, rel=0.05)
    assert not layer.bias.any()
    start(layer, "orthogonal")
    for member in layer.weight.detach():
        assert torch.allclose(member.T @ member, torch.eye(7), atol=1e-5)


def test_a_transposed_convolution_counts_inputs_first():
    layer = nn.ConvTranspose2d(31, 5, 3)
    ((_, weight),) = weights_of(layer)
    assert (weight.fan_in, weight.fan_out, weight.incoming) == (31 * 9, 5 * 9, (0, 2, 3))


def drawn_by_gate(layer: nn.RNNBase, gates: int, formula) -> dict[str, torch.Tensor]:
    """What `formula` gives for each gate's rows of W and U, one after the other, as a loop over torch.nn's layout."""
    made = {}
    for name, parameter in layer.named_parameters():
        made[name] = torch.zeros_like(parameter)
        for gate in range(gates if name.startswith("weight") else 0):
            formula(made[name][gate * layer.hidden_size : (gate + 1) * layer.hidden_size])
    return made


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("kind", "gates"), [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
def test_each_gate_of_a_recurrent_layer_begins_by_itself(name, kind, gates):
    """The one thing that stays is the bias of an LSTM's forget gate, its second: a model says how much it forgets."""
    layer = kind(11, 7, num_layers=2, bidirectional=True)
    before = {name: p.detach().clone() for name, p in layer.named_parameters()}
    torch.manual_seed(5)
    start(layer, name)
    torch.manual_seed(5)
    wanted = drawn_by_gate(layer, gates, REFERENCES[name])
    if kind is nn.LSTM:
        for place in wanted:
            if place.startswith("bias"):
                wanted[place][7:14] = before[place][7:14]
    for place, p in layer.named_parameters():
        assert torch.allclose(p, wanted[place], rtol=1e-6, atol=1e-7), place


def test_the_fans_of_recurrent_weights_by_hand():
    cells = nn.ModuleList([nn.LSTM(11, 7), nn.GRUCell(5, 3), recurrent_cells.LSTMCell(13, 2)])
    found = [(tuple(w.parameter.shape), w.gates, w.fan_in, w.fan_out, w.incoming) for _, w in weights_of(cells)]
    assert found == [
        ((28, 11), 4, 11, 7, (1,)),
        ((28, 7), 4, 7, 7, (1,)),
        ((9, 5), 3, 5, 3, (1,)),
        ((9, 3), 3, 3, 3, (1,)),
        ((8, 13), 4, 13, 2, (1,)),
        ((8, 2), 4, 2, 2, (1,)),
    ]


def test_an_orthogonal_recurrent_network_keeps_the_length_of_its_state():
    """Without inputs, U h of a plain network is as long as h; of packed gates drawn as one matrix it would not be."""
    torch.manual_seed(0)
    layer = nn.LSTM(5, 13)
    start(layer, "orthogonal", 1.5)
    h = torch.randn(13)
    for u in layer.weight_hh_l0.detach().chunk(4):
        assert float((u @ h).norm()) == pytest.approx(1.5 * float(h.norm()), rel=1e-5)


def test_what_is_frozen_keeps_every_bit():
    network = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 3), nn.LSTM(3, 2))
    network[0].requires_grad_(False)
    network[1].bias.requires_grad_(False)
    network[2].weight_ih_l0.requires_grad_(False)
    kept = {"0.weight", "0.bias", "1.bias", "2.weight_ih_l0"}
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    start(network, "he-normal")
    stayed = {name for name, p in network.named_parameters() if torch.equal(p, before[name])}
    assert stayed == kept


def test_a_value_multiplies_and_norms_and_embeddings_stay():
    torch.manual_seed(3)
    network = nn.Sequential(nn.Embedding(5, 7), nn.Linear(7, 11), nn.BatchNorm1d(11))
    embedding, scale = network[0].weight.detach().clone(), network[2].weight.detach().clone()
    torch.manual_seed(4)
    start(network, "he-normal")
    once = network[1].weight.detach().clone()
    torch.manual_seed(4)
    start(network, "he-normal", 0.5)
    assert torch.equal(network[1].weight, once * 0.5)
    assert torch.equal(network[0].weight, embedding) and torch.equal(network[2].weight, scale)
    start(network, "constant", 0.25)
    assert set(network[1].weight.flatten().tolist()) == {0.25}


def test_the_option_names_every_formula():
    import typing

    from deepen.engine.options import FitOptions

    assert typing.get_args(typing.get_type_hints(FitOptions)["initialization"]) == ("model", *NAMES)
