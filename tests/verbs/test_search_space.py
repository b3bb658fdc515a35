"""Specifications of --search against what was written, and what is proposed against the options' own values."""

from __future__ import annotations

import math

import pytest

from deepen.core import names
from deepen.core.errors import OptionError
from deepen.core.options import fields_of
from deepen.verbs.options import groups
from deepen.verbs.search_space import dimension, proposed, space

FIELDS = fields_of(*groups("tabular-classification", "mlp"))


def made(name: str, spec: str, default: object = None):
    return dimension(FIELDS[name], spec, default, place=f"--search {name}={spec}")


def test_ranges() -> None:
    rate = made("optimizer.learning_rate", "1e-4..1e-1:log", 0.003)
    assert (rate.low, rate.high, rate.scale, rate.default, rate.num_points) == (1e-4, 0.1, "log", 0.003, math.inf)
    assert rate.words() == "0.0001..0.1:log"
    assert rate.value(0.0123456) == 0.0123
    assert rate.value(0.1) == 0.1
    assert made("network.dropout", "0..0.5", 0.7).default is None  # the training's own value is not in the range
    width = made("network.embedding", "3..17", 5)
    assert (width.is_whole, width.num_points, width.default, width.value(4.0)) == (True, 15, 5, 4)


def test_numbers_are_rounded_within_the_range() -> None:
    decay = made("ema", "0.99..0.99987:log", 0.0)
    assert decay.value(0.99986999) == 0.99987
    assert made("network.dropout", "0.12345..0.3").value(0.12346) == 0.12345


def test_powers_draw_exponents() -> None:
    batch = made("batch_size", "30..600:powers", 128)
    assert (batch.low, batch.high, batch.default, batch.num_points) == (5, 9, 7, 5)
    assert [batch.value(exponent) for exponent in range(5, 10)] == [32, 64, 128, 256, 512]
    assert batch.words() == "32..512:powers"
    assert made("batch_size", "30..600:powers", 100).default is None


def test_times_is_a_range_around_what_the_training_has() -> None:
    around = made("optimizer.learning_rate", "0.1..10:times", 0.004)
    assert (around.low, around.high, around.scale, around.default) == (0.0004, 0.04, "log", 0.004)
    assert made("schedule.warm_up", "0.5..30:times", 0.05).high == 0.99  # the option's own limit
    assert made("batch_size", "0.3..3:times", 3).low == 1


def test_choices_are_values_of_the_option() -> None:
    kind = made("optimizer.kind", "sgd, adamw", "adamw")
    assert (kind.choices, kind.default, kind.value("sgd")) == (("sgd", "adamw"), "adamw", "sgd")
    assert made("ema", "0,0.99,0.999", 0.0).value("0.99") == 0.99
    hidden = made("network.hidden", "64;128,32", [64])
    assert [hidden.value(choice) for choice in hidden.choices] == [(64,), (128, 32)]
    assert hidden.default == "64"
    nesterov = made("optimizer.nesterov", "on,off", False)
    assert (nesterov.value("on"), nesterov.default) == (True, "off")


@pytest.mark.parametrize(
    ("name", "spec", "words"),
    [
        ("optimizer.learning_rate", "0.1..0.001:log", "expected LOW below HIGH, but 0.1 is not below 0.001"),
        ("optimizer.learning_rate", "0..1:log", "expected a LOW above 0 for the scale log, but is 0"),
        ("optimizer.learning_rate", "1e-3..1e-1:logs", "'logs' is no scale; did you mean log?"),
        ("optimizer.learning_rate", "small..0.1", "expected a number"),
        ("optimizer.learning_rate", "0.1..10:times", "expected factors above 0 of a number that is not 0, but .* None"),
        ("network.dropout", "0..2", r"network.dropout=0\.\.2: expected a number of at least 0 and below 1, but is '2'"),
        ("network.dropout", "32..64:powers", "expected a number of at least 0 and below 1"),
        ("optimizer.epsilon", "32..64:powers", "is no whole number; use the scale log"),
        ("batch_size", "33..63:powers", "expected two powers of two or more from 33 to 63"),
        ("batch_size", "1.5..3", "expected a whole number of at least 1, but is '1.5'"),
        ("batch_size", "32", "expected two values or more, but is '32'"),
        ("batch_size", "32,64,32", "'32' is there twice"),
        ("optimizer.kind", "sgd,adamm", "did you mean adam"),
        ("optimizer.nesterov", "on..off", "expected LOW..HIGH, or values separated by commas"),
    ],
)
def test_mistakes(name: str, spec: str, words: str) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        made(name, spec)
    assert str(caught.value).startswith(f"--search {name}=")


@pytest.mark.parametrize(
    ("search", "words"),
    [
        (["lr"], r"--search lr: expected NAME=SPEC such as"),
        (["optimizer.lrr=1..2"], "--search optimizer.lrr: no such option; did you mean optimizer.lr?"),
        (["optimizer.lr=0..1", "optimizer.learning_rate=0..1"], "given twice, under two names"),
        (["ema=0,0.9", "ema=0,0.99"], "given twice, as '0,0.9' and as '0,0.99'"),
        (["seed=1,2,3"], "not searched, for the best of several seeds is luck"),
        (["val=0.1,0.2"], "not searched, for all trials are judged on the same samples"),
        (["threads=1..2"], "not searched, for it changes how fast"),
        (["model=mlp,wren"], "not a table classifier"),
        (["model=mlp,mpl"], "no such model; did you mean mlp?"),
        (["batch_size=32..512:powers"], "--batch-size is stated as well"),
    ],
)
def test_mistakes_of_the_whole(search: list[str], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        space("tabular-classification", {"batch-size": 64}, search=search)


def test_what_is_stated_is_not_searched() -> None:
    proposed_keys = set(space("tabular-classification", {"model": "mlp"}).described())
    assert {"optimizer.learning_rate", "log2 of batch_size", "network.dropout", "label_smoothing"} <= proposed_keys
    fewer = space("tabular-classification", {"model": "mlp", "optimizer": {"lr": 0.1}, "network.dropout": 0.0})
    assert proposed_keys - set(fewer.described()) == {"optimizer.learning_rate", "network.dropout"}
    # with a budget of steps a larger batch would see more data
    assert "log2 of batch_size" not in space("tabular-classification", {"model": "mlp", "steps": 70}).described()


def test_by_hand_alone_and_beside_the_proposals() -> None:
    alone = space("tabular-classification", {"model": "mlp"}, search=["optimizer.lr=1e-3..1e-2"])
    assert alone.described() == {"optimizer.learning_rate": "0.001..0.01"}
    both = space("tabular-classification", {"model": "mlp"}, search=["optimizer.lr=1e-3..1e-2", "default"])
    assert both.described()["optimizer.learning_rate"] == "0.001..0.01"
    assert "network.dropout" in both.described()


def test_several_models_have_spaces_of_their_own() -> None:
    found = space("tabular-classification", {}, search=["model=mlp,tabm", "default", "network.width=16..64"])
    assert found.models == ("tabm", "mlp")  # the one that the task has anyway comes first
    assert {each.name for each in found.dimensions["tabm"]} >= {"network.width", "network.depth"}
    assert "network.width" not in {each.name for each in found.dimensions["mlp"]}
    rates = {each.key: each.default for model in found.models for each in found.dimensions[model]}
    assert rates["optimizer.learning_rate of tabm"] == 0.002  # each model's recipe
    assert rates["optimizer.learning_rate of mlp"] == 0.001
    assert found.num_points == math.inf
    assert space("tabular-classification", {}, search=["model=mlp,tabm"]).num_points == 2


@pytest.mark.parametrize("task", sorted(names.tasks()))
def test_every_proposal_is_a_specification(task: str) -> None:
    from deepen.verbs.options import task_module

    contract = task_module(task).CONTRACT
    for model in (name for name, named in names.models().items() if contract in named.contracts):
        fields = fields_of(*groups(task, model))
        for group in groups(task, model):
            for name, spec in proposed(group):
                found = dimension(fields[name], spec, 0.01 if spec.endswith(":times") else None, place=name)
                assert found.num_points > 1
        assert space(task, {"model": model}).described()
