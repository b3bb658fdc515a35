"""Promises that every model keeps, found by looking, without naming any."""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path

import pytest
import torch

from deepen.core import names
from deepen.engine.options import OptimizerOptions
from deepen.engine.parameter_groups import groups, is_weight
from deepen.nn.contracts import CONTRACTS
from deepen.nn.dropout import Dropout, StochasticDepth
from deepen.nn.extra_loss import collecting
from deepen.nn.shapes import ImageShape, TableShape, TextShape
from deepen.nn.sketch import sketched
from deepen.nn.summary import layers, num_parameters

MODELS = names.models()
KEYS = Path(__file__).parent / "state_dict_keys.json"  # written by `python tests/contract/test_models.py`
HEAVY = 30_000_000  # parameters above which a network is only sketched here


def module_of(name):
    return importlib.import_module(MODELS[name].module)


def cases(*, called=True):
    """Every network under each of its contracts; those that nothing calls (tables of vectors) where `called` is not."""
    return [
        pytest.param(name, contract, id=f"{name}-{contract.replace(' ', '-')}")
        for name, named in sorted(MODELS.items())
        for contract in named.contracts
        if is_network(name) and (contract in CONTRACTS or not called)
    ]


def is_network(name):
    """Whether it learns by gradients, and not by counting."""
    return not getattr(module_of(name), "COUNTED", False)


WORDS = 13  # in each text here

# contract -> the shape of its inputs here, and the numbers it gives for a row where it is built with 11 outputs
SHAPES = {
    "image classifier": (ImageShape(1, 28, 28), 11),
    "image autoencoder": (ImageShape(1, 28, 28), 28 * 28 + 11 + 1),  # the image, its code and its loss
    "table classifier": (TableShape(5, (3, 7)), 11),
    "table regressor": (TableShape(5, (3, 7)), 11),
    "vector clusterer": (TableShape(5), 11),
    "text classifier": (TextShape(37, longest=19), 11),
    "text pair model": (TextShape(37, longest=19), 11),
    "token tagger": (TextShape(37, longest=19, characters=23), WORDS * 11),
    "language model": (TextShape(37, longest=19, pad=-1), WORDS * 11),
    "word vectors": (TextShape(37), 0),  # read out, not called
}


def shape_of(contract):
    return SHAPES[contract][0]


def test_samples_are_what_the_networks_of_a_contract_read():
    for contract in CONTRACTS:
        shape = shape_of(contract)
        wanted = inputs_like(shape, contract, 1, torch.Generator().manual_seed(0))
        found = CONTRACTS[contract].sample(shape)
        assert [(part.shape[0], part.dtype, part.dim()) for part in found] == [
            (1, part.dtype, part.dim()) for part in wanted
        ]
    assert SHAPES.keys() >= CONTRACTS.keys()


def inputs_like(shape, contract, batch, draw):
    if isinstance(shape, ImageShape):
        return (torch.rand(batch, shape.channels, shape.height, shape.width, generator=draw) * 2 - 0.5,)
    if isinstance(shape, TextShape):
        return words_like(shape, contract, batch, draw)
    numbers = torch.randn(batch, shape.numbers, generator=draw)
    if contract.startswith("vector "):
        return (numbers,)
    categories = [torch.randint(0, size, (batch,), generator=draw) for size in shape.categories]
    return numbers, torch.stack(categories, 1) if categories else torch.zeros(batch, 0, dtype=torch.int64)


def words_like(shape, contract, batch, draw):
    """Ids and masks: the last words of every second text are padding."""

    def one():
        ids = torch.randint(2, shape.vocabulary, (batch, WORDS), generator=draw)
        mask = torch.arange(WORDS) < torch.where(torch.arange(batch) % 2 == 0, WORDS, WORDS - 4)[:, None]
        return ids.masked_fill(~mask, shape.pad), mask

    if contract == "language model":
        return (torch.randint(0, shape.vocabulary, (batch, WORDS), generator=draw),)
    if contract == "text pair model":
        return (*one(), *one())
    if contract == "token tagger":
        return (*one(), torch.randint(0, shape.characters, (batch, WORDS, 7), generator=draw))
    return one()


def inputs_of(contract, batch, seed=0):
    return inputs_like(shape_of(contract), contract, batch, torch.Generator().manual_seed(seed))


def outputs_of(model, inputs):
    """Everything that a network answers for each row, [B, N]."""
    found = model(*inputs)
    parts = (found,) if isinstance(found, torch.Tensor) else found
    return torch.cat([part.reshape(len(part), -1) for part in parts if isinstance(part, torch.Tensor)], 1)


def built(name, contract, outputs=11):
    torch.manual_seed(0)
    return module_of(name).build(name, shape_of(contract), outputs)


def learning(name, contract):
    """In training, with nothing dropped."""
    model = built(name, contract).train()
    for module in model.modules():
        if isinstance(module, (Dropout, StochasticDepth)):
            module.p = 0.0
    return model


def require_light(name, contract, *, sibling=HEAVY):
    """Skips a heavy network, and one above `sibling` parameters that is not the first size of its file."""
    with sketched():
        count = num_parameters(module_of(name).build(name, shape_of(contract), 11))
    if count > (HEAVY if name == next(iter(module_of(name).SIZES)) else sibling):
        # the deepest take minutes and gigabytes; what they are made of is tested on the shallower ones, and where no
        # sibling is light enough (alexnet, resnext101 and the wide resnets), on a small or shallow one in tests/models
        pytest.skip("too heavy for every run of the suite; a lighter network of the same blocks is tested")


@pytest.mark.parametrize(("name", "contract"), cases())
def test_every_parameter_gets_a_gradient(name, contract):
    require_light(name, contract)
    model = learning(name, contract)
    inputs = inputs_of(contract, 3)
    outputs_of(model, inputs).square().sum().backward()
    if getattr(model, "crf", None) is not None:
        model.crf.loss(model(*inputs), torch.zeros_like(inputs[0]), inputs[1]).sum().backward()
    without = [key for key, p in model.named_parameters() if p.grad is None]
    assert not without


@pytest.mark.parametrize(("name", "contract"), cases())
def test_no_bias_decays_is_penalized_or_gets_noise(name, contract):
    """Members side by side have biases of three dimensions."""
    with sketched():
        model = module_of(name).build(name, shape_of(contract), 11)
    found = {id(p): group for group in groups(model, OptimizerOptions(weight_decay=0.1)) for p in group["params"]}
    for key, parameter in model.named_parameters():
        wanted = parameter.dim() > 1 and not key.endswith("bias")
        assert is_weight(key, parameter) == wanted == found[id(parameter)]["are_weights"], key
        assert found[id(parameter)]["weight_decay"] == (0.1 if wanted else 0.0), key


def skipping():
    """The first size of each file that has the option, since its siblings are of the same blocks."""
    with_option = {
        name: contract
        for name, contract in (case.values for case in cases())
        if "stochastic_depth" in module_of(name).Options.__dataclass_fields__
    }
    return [(name, contract) for name, contract in with_option.items() if name == next(iter(module_of(name).SIZES))]


@pytest.mark.parametrize(("name", "contract"), skipping())
def test_blocks_are_skipped_ever_more_often_and_in_training_alone(name, contract):
    """Every weight is drawn, since many blocks begin as the identity, which nobody would see skipped."""
    options = module_of(name).Options()
    options = dataclasses.replace(options, dropout=0.0, **({"blocks": 3} if hasattr(options, "blocks") else {}))
    found = []
    for chance in (0.0, 0.75):
        chosen = dataclasses.replace(options, stochastic_depth=chance)
        model = module_of(name).build(name, shape_of(contract), 11, chosen)
        torch.manual_seed(1)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        model.eval()
        inputs = inputs_of(contract, 5)
        with torch.no_grad():
            found.append((model, outputs_of(model, inputs), outputs_of(model.train(), inputs)))
    (plain, *wanted), (model, *answers) = found
    chances = [module.p for module in model.modules() if isinstance(module, StochasticDepth)]
    assert chances == pytest.approx([0.75 * (1 + place) / len(chances) for place in range(len(chances))])
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert torch.equal(answers[0], wanted[0])
    assert not torch.allclose(answers[1], wanted[1])


@pytest.mark.parametrize(("name", "contract"), cases())
def test_bfloat16_gives_what_float32_does_roughly_and_stays_finite(name, contract):
    """Also where inputs are far out, so that gates and probabilities are firm: 1 - 1e-6 is 1 in bfloat16."""
    require_light(name, contract, sibling=10_000_000)  # without AVX-512 it takes ten times as long
    model = learning(name, contract)
    plain = inputs_of(contract, 3)
    far = [part * 50 if part.is_floating_point() else part for part in plain]
    with torch.no_grad():
        torch.manual_seed(0)  # some draw noise while they learn
        wanted = outputs_of(model, plain)
    for inputs in (plain, far):
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype=torch.bfloat16), collecting() as losses:
            found = outputs_of(model, inputs)
        (found.float().square().mean() + sum(loss.sum() for loss in losses)).backward()
        assert found.isfinite().all()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
        if inputs is plain:
            assert (found.float() - wanted).square().mean() < 0.05 * wanted.square().mean() + 1e-4


@pytest.mark.parametrize(("name", "contract"), cases())
def test_evaluation_is_deterministic_and_row_by_row(name, contract):
    require_light(name, contract)
    model = built(name, contract).eval()
    inputs = inputs_of(contract, 5)
    with torch.no_grad():
        first, second = outputs_of(model, inputs), outputs_of(model, inputs)
        alone = outputs_of(model, [part[2:3] for part in inputs])
    assert first.shape == (5, SHAPES[contract][1])
    assert torch.equal(first, second)
    assert torch.allclose(first[2:3], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_size_is_the_papers(name):
    if not is_network(name):
        # an n-gram model has as many numbers as its text has n-grams, so no paper states how many
        pytest.skip("counts instead of learning: what it holds depends on what it has read")
    paper = getattr(module_of(name), "PAPER", {}).get(name)
    assert paper is not None, f"{name} states no size; give its paper's, or derive it beside SIZES"
    shape = type(shape_of(MODELS[name].contracts[0]))(*paper.inputs)
    with sketched():
        model = module_of(name).build(name, shape, paper.outputs)
    assert num_parameters(model) == paper.parameters
    if paper.multiply_adds is not None and MODELS[name].contracts[0] in CONTRACTS:
        inputs = inputs_like(shape, MODELS[name].contracts[0], 1, torch.Generator().manual_seed(0))
        if name == "neural-tree":  # which leads rows to leaves by their numbers
            model = module_of(name).build(name, shape, paper.outputs)
        else:
            inputs = [tensor.to("meta") for tensor in inputs]
        assert sum(layer.multiply_adds for layer in layers(model, inputs)) == paper.multiply_adds


@pytest.mark.parametrize(("name", "contract"), cases(called=False))
def test_state_dict_keys_are_those_that_runs_were_saved_with(name, contract):
    stored = json.loads(KEYS.read_text("utf-8"))
    assert stored[f"{name} {contract}"] == described(name, contract)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_recipe_names_options_that_exist(name):
    from deepen.core import options
    from deepen.engine.options import FitOptions
    from deepen.verbs.options import task_module

    known = set(options.fields_of(FitOptions))
    for task in names.tasks():
        if task_module(task).CONTRACT in MODELS[name].contracts:
            known |= set(options.fields_of(task_module(task).Options))
    assert set(module_of(name).RECIPE) <= known


def described(name, contract):
    """Name and shape of each tensor; long lists by number and digest."""
    import hashlib

    with sketched():
        network = module_of(name).build(name, shape_of(contract), 11)
    lines = [f"{key} {tuple(tensor.shape)}" for key, tensor in network.state_dict().items()]
    if len(lines) <= 12:
        return lines
    return [*lines[:3], f"{len(lines)} in all, sha256 {hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"]


if __name__ == "__main__":
    found = {
        f"{name} {contract}": described(name, contract)
        for name, n in sorted(MODELS.items())
        for contract in n.contracts
        if is_network(name)
    }
    KEYS.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
