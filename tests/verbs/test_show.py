"""`show`: a model or a run, with the shapes its data gave it, and its picture."""

from __future__ import annotations

from importlib import import_module

import pytest

from deepen.core import names
from deepen.core.errors import OptionError
from deepen.nn.contracts import CONTRACTS
from deepen.nn.summary import layers
from deepen.verbs.show import show
from deepen.verbs.train import train

IMAGES, TABLES = "image-classification", "tabular-classification"


def trained(task, model, folder):
    return train(task, "tiny", {"model": model, "epochs": 1, "threads": 1}, out=folder).folder


def test_a_run_knows_its_shapes_from_its_data(tmp_path):
    result = show(trained(IMAGES, "lenet", tmp_path / "run"))
    first = result["layers"][0]
    assert first == {
        "name": "maps.0",
        "kind": "Conv2d",
        "output": [6, 28, 28],
        "parameters": 156,
        "multiply_adds": 117_600,
    }
    same = show("lenet", input_shape=(1, 11, 11), outputs=3)  # tiny: 11x11 grey pixels, 3 classes
    assert result["layers"] == same["layers"]
    assert (result["parameters"], result["multiply_adds"]) == (same["parameters"], same["multiply_adds"])


def test_a_run_on_a_table_does_too(tmp_path):
    """tiny: age, minutes, whether minutes are missing; four cities and the unknown one, one-hot."""
    result = show(trained(TABLES, "perceptron", tmp_path / "run"), graph=tmp_path / "net.svg")
    assert result["multiply_adds"] == (3 + 5) * 2 and result["parameters"] == (3 + 5 + 1) * 2
    assert "categories" in (tmp_path / "net.svg").read_text("utf-8")


def test_a_model_and_a_run_are_drawn_alike(tmp_path):
    run = trained(IMAGES, "lenet", tmp_path / "lenet")
    ours = show(run, graph=tmp_path / "run.svg")
    theirs = show("lenet", input_shape=(1, 11, 11), outputs=3, graph=tmp_path / "model.svg")
    assert (ours["graph"], theirs["graph"]) == (str(tmp_path / "run.svg"), str(tmp_path / "model.svg"))
    assert (tmp_path / "run.svg").read_bytes() == (tmp_path / "model.svg").read_bytes()


@pytest.mark.parametrize("name", sorted(names.models()))
def test_every_name_can_be_drawn_or_says_why_not(name, tmp_path):
    size = (3, 32, 32) if any(c.startswith("image ") for c in names.models()[name].contracts) else ()
    module = import_module(names.models()[name].module)
    if names.models()[name].contracts[0] not in CONTRACTS or getattr(module, "COUNTED", False):
        with pytest.raises(OptionError, match=f"{name}: what it holds depends on what it has read; name a run of it"):
            show(name, outputs=7, graph=tmp_path / "net.html")
        return
    result = show(name, input_shape=size, outputs=7, graph=tmp_path / "net.html")
    assert result["graph"].endswith("net.html") and "</svg>" in (tmp_path / "net.html").read_text("utf-8")


@pytest.mark.parametrize("name", ["lenet", "neural-tree", "text-rnn", "transformer-encoder", "transformer-pair"])
def test_what_is_shown_without_memory_is_what_a_network_with_memory_is(name):
    """The latter is what a run of it is shown by; two of them cannot do without."""
    named = names.models()[name]
    contract = CONTRACTS[named.contracts[0]]
    shape = contract.shape_of((1, 29, 31) if name in ("lenet", "neural-tree") else ())
    network = import_module(named.module).build(name, shape, 7)
    found = show(name, input_shape=(1, 29, 31) if name in ("lenet", "neural-tree") else (), outputs=7)
    rows = layers(network, contract.sample(shape))
    assert [(row["name"], row["multiply_adds"], tuple(row["output"])) for row in found["layers"]] == [
        (row.name, row.multiply_adds, row.output) for row in rows
    ]


def test_another_kind_of_picture_is_refused_before_anything_is_built(tmp_path):
    with pytest.raises(OptionError, match=r"--graph .*net\.png: expected a file name that ends in"):
        show("vgg19", graph=tmp_path / "net.png")


def test_options_of_the_network_change_what_is_shown():
    plain = show("resnet18", input_shape=(1, 28, 28))
    large = show("resnet18", {"network.stem": "7x7"}, input_shape=(1, 28, 28))
    # the stem alone differs: 64 filters of 49 instead of 9 pixels
    assert large["parameters"] - plain["parameters"] == 64 * (49 - 9)
    assert 12 < plain["multiply_adds"] / large["multiply_adds"] < 20
    assert show("mlp", {"network": {"hidden": (7,)}}, outputs=3)["parameters"] == 28 * 28 * 7 + 7 + 7 * 3 + 3


def test_options_that_the_network_has_not_are_refused(tmp_path):
    with pytest.raises(OptionError, match=r"network\.stem: no such option"):
        show("lenet", {"network.stem": "7x7"})
    with pytest.raises(OptionError, match=r"network\.stem: is an option of a model, and .* is none"):
        show(tmp_path, {"network.stem": "7x7"})
