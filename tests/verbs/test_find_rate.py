"""A range test from raw data to the command that uses it."""

from __future__ import annotations

import shlex
import xml.etree.ElementTree as ElementTree

import pytest

from deepen.cli.arguments import parse
from deepen.core.errors import OptionError
from deepen.core.options import fields_of
from deepen.verbs.find_rate import figure, find_rate
from deepen.verbs.options import groups

TASK = "tabular-classification"


def test_nothing_is_written_but_the_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = find_rate(TASK, "tiny", {"model": "mlp"}, num_steps=41, out="rates.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["rates.svg"]
    ElementTree.parse("rates.svg")
    assert len(found.test.rates) <= 41 and found.test.suggested == pytest.approx(found.test.lowest / 10)
    assert [len(line) for line in figure(found).lines.values()] == [len(found.test.rates)] * 2


def test_the_command_says_the_same_options_and_the_rate_that_was_found():
    given = {
        "model": "mlp",
        "batch_size": 31,
        "optimizer.kind": "sgd",
        "optimizer.nesterov": False,
        "optimizer.lr": 7.0,
    }
    found = find_rate(TASK, "tiny", given, num_steps=31)
    words = shlex.split(found.command)
    assert words[:4] == ["deepen", "train", TASK, "tiny"]
    values = parse(words[4:], fields_of(*groups(TASK, "mlp"))).values
    assert values.pop("optimizer.learning_rate") == pytest.approx(found.test.suggested, rel=0.05)
    del given["optimizer.lr"]
    assert values == given


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"from_rate": 1.0, "to_rate": 0.1}, "--from-rate 1: expected a rate below --to-rate 0.1"),
        ({"given": {"devices": 2}}, "--devices 2: a range test runs in one process"),
        ({"given": {"optimizer.kind": "newton"}}, "newton: a range test says nothing of it"),
    ],
)
def test_refusals(arguments, said):
    with pytest.raises(OptionError, match=said):
        find_rate(TASK, "tiny", **{"given": {}, **arguments})


@pytest.mark.parametrize(("task", "model"), [("word-vectors", "skip-gram"), ("language-modeling", "ngram")])
def test_what_does_not_learn_by_gradient_steps_is_refused(task, model):
    with pytest.raises(OptionError, match=f"--model {model}: a range test looks at the loss of gradient steps, but"):
        find_rate(task, "tiny", {"model": model})
