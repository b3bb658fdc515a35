"""Options: what converts and what is refused, the sentences, and that options survive JSON (P15)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepen.core.errors import OptionError
from deepen.core.options import build, convert, fields_of, flatten, nested, resolve, unknown


@dataclass(frozen=True)
class Optimizer:
    """How steps are taken."""

    kind: Literal["sgd", "adamw"] = field(default="sgd", metadata={"help": "the method"})
    learning_rate: float = field(default=0.1, metadata={"help": "step size", "alias": "lr", "above": 0})
    momentum: float = field(default=0.9, metadata={"help": "kept part", "least": 0, "below": 1})


@dataclass(frozen=True)
class Training:
    """How long."""

    batch_size: int = field(default=32, metadata={"help": "samples a step", "least": 1})
    time: str | None = field(default=None, metadata={"help": "a budget"})
    patience: int | None = None
    """Evaluations without
    a better one."""
    sizes: tuple[int, ...] = (2, 3)
    names: tuple[str, ...] = ()
    scales: tuple[float, ...] = field(default=(0.5,), metadata={"least": 0, "most": 1})
    augment: bool = True
    device: str = field(default="auto", metadata={"choices": ("auto", "cpu", "cuda")})
    optimizer: Optimizer = field(default_factory=lambda: Optimizer(kind="adamw", momentum=0.5))


@dataclass(frozen=True)
class Needed:
    """One that must be given."""

    target: str = field(metadata={"help": "the column to learn"})


FIELDS = fields_of(Training)


def test_names_flags_aliases_and_defaults_of_nested_groups() -> None:
    assert list(FIELDS)[-3:] == ["optimizer.kind", "optimizer.learning_rate", "optimizer.momentum"]
    rate = FIELDS["optimizer.learning_rate"]
    assert rate.flag == "--optimizer.learning-rate"
    assert rate.aliases == ("optimizer.lr",)
    assert rate.help == "step size"
    assert FIELDS["patience"].help == "Evaluations without a better one", "a string under the field does as well"
    assert FIELDS["optimizer.momentum"].default == 0.5, "the parent's default instance decides"
    assert build(Training, {}).optimizer == Optimizer(kind="adamw", momentum=0.5)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("batch_size", "64", 64),
        ("batch_size", np.int64(7), 7),
        ("optimizer.momentum", "0", 0.0),
        ("optimizer.learning_rate", "1e-3", 0.001),
        ("optimizer.learning_rate", ".5", 0.5),
        ("optimizer.learning_rate", 2, 2.0),
        ("optimizer.learning_rate", np.float32(0.5), 0.5),
        ("time", "none", None),
        ("time", None, None),
        ("time", "10m", "10m"),
        ("time", Path("a/b"), "a/b"),
        ("patience", "3", 3),
        ("sizes", "5, 7", (5, 7)),
        ("sizes", "", ()),
        ("sizes", 5, (5,)),
        ("sizes", [5, 7], (5, 7)),
        ("names", ["a,b", " c"], ("a,b", " c")),
        ("names", "a,b", ("a", "b")),
        ("augment", "no", False),
        ("augment", "True", True),
        ("augment", False, False),
        ("device", "cpu", "cpu"),
    ],
)
def test_converts(name: str, value: Any, expected: Any) -> None:
    found = convert(FIELDS[name], value)
    assert found == expected
    assert type(found) is type(expected)
    assert convert(FIELDS[name], found) == expected, "converting twice changes nothing"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("batch_size", "x", "--batch-size: expected a whole number of at least 1, but is 'x'."),
        ("batch_size", "1.5", "but is '1.5'."),
        ("batch_size", 1.5, "but is 1.5."),
        ("batch_size", 2.0, "but is 2.0."),
        ("batch_size", True, "but is True."),
        ("batch_size", "0", "at least 1, but is '0'."),
        ("batch_size", "١٢", "but is '١٢'"),
        ("batch_size", "1_000", "but is '1_000'"),
        ("batch_size", "9" * 5000, "(5,002 characters)."),
        ("batch_size", 2**63, "9223372036854775808"),
        ("batch_size", None, "but is None"),
        ("batch_size", "none", "but is 'none'"),
        ("optimizer.learning_rate", "nan", "expected a number above 0, but is 'nan'"),
        ("optimizer.learning_rate", float("inf"), "but is inf"),
        ("optimizer.learning_rate", "1e400", "but is '1e400'"),
        ("optimizer.learning_rate", 10**400, "but is 1000"),
        ("optimizer.learning_rate", "0,1", "but is '0,1'"),
        ("optimizer.learning_rate", True, "but is True"),
        ("optimizer.momentum", "1", "a number of at least 0 and below 1, but is '1'"),
        ("scales", "0.5,1.5", "numbers from 0 to 1, separated by commas, but is '0.5,1.5'"),
        ("sizes", "1,,2", "whole numbers, separated by commas, but is '1,,2'"),
        ("sizes", [1, 2.5], "but is [1, 2.5]"),
        ("augment", 1, "true or false, but is 1"),
        ("augment", "maybe", "true or false, but is 'maybe'"),
        ("optimizer.kind", "adam", "one of sgd, adamw, but is 'adam'; did you mean adamw?"),
        ("device", 5, "one of auto, cpu, cuda, but is 5"),
        ("time", 5, "expected text, or none, but is 5"),
        ("time", "a\0b", r"but is 'a\x00b'"),
        ("patience", "few", "a whole number, or none, but is 'few'"),
    ],
)
def test_refuses_with_the_value_and_what_was_expected(name: str, value: Any, words: str) -> None:
    with pytest.raises(OptionError) as caught:
        convert(FIELDS[name], value)
    assert words in str(caught.value)
    assert str(caught.value).startswith(FIELDS[name].flag + ": expected")


def test_the_same_sentence_from_flag_file_and_keyword_but_for_the_place() -> None:
    sentences = []
    for flags, where in ((True, ""), (False, ""), (False, "recipe.json, ")):
        with pytest.raises(OptionError) as caught:
            resolve(FIELDS, {"batch_size": "x"}, flags=flags, where=where)
        sentences.append(str(caught.value))
    rest = ": expected a whole number of at least 1, but is 'x'."
    assert sentences == ["--batch-size" + rest, "batch_size" + rest, "recipe.json, batch_size" + rest]


def test_resolves_dashes_aliases_nested_mappings_and_instances() -> None:
    assert resolve(FIELDS, {"optimizer": {"lr": "0.2"}, "batch-size": 3}) == {
        "optimizer.learning_rate": 0.2,
        "batch_size": 3,
    }
    found = resolve(FIELDS, {"optimizer": Optimizer(learning_rate=0.3)})
    assert found == {"optimizer.kind": "sgd", "optimizer.learning_rate": 0.3, "optimizer.momentum": 0.9}


@pytest.mark.parametrize(
    ("given_options", "flags", "words"),
    [
        ({"optimizer.lrr": 1}, True, "--optimizer.lrr: no such option; did you mean --optimizer.lr?"),
        ({"optimizer": {"lrr": 1}}, False, "optimizer.lrr: no such option; did you mean optimizer.lr?"),
        ({"lr": 1}, True, "--lr: no such option; did you mean --optimizer.lr?"),
        ({"batchsize": 1}, True, "--batchsize: no such option; did you mean --batch-size?"),
        ({"optimizer": 0.1}, False, "optimizer: is a group of options, not one; it has optimizer.kind"),
        ({"optimizer.lr": 1, "optimizer.learning_rate": 2}, False, "given twice"),
        ({"optimizer.lr": 1, "optimizer": {"lr": 2}}, False, "optimizer.lr: given twice"),
        ({"qqqqqq": 1}, True, "--qqqqqq: no such option; there is: --augment, --batch-size"),
    ],
)
def test_refuses_unknown_and_double_names(given_options: dict[str, Any], flags: bool, words: str) -> None:
    with pytest.raises(OptionError) as caught:
        resolve(FIELDS, given_options, flags=flags)
    assert words in str(caught.value)


def test_unknown_names_look_at_a_verbs_own_flags_too() -> None:
    assert unknown("skip-bda", FIELDS, flags=True, others=["skip-bad"]).endswith("did you mean --skip-bad?")


def test_missing_option_without_default() -> None:
    with pytest.raises(OptionError, match="--target: is needed and not given: the column to learn"):
        build(Needed, {})
    assert build(Needed, {"target": "y", "of another group": 1}) == Needed("y")


def test_two_options_of_one_name_are_our_fault() -> None:
    with pytest.raises(AssertionError, match="batch_size"):
        fields_of(Training, type("Copy", (Training,), {}))


TEXT = st.text(st.characters(exclude_characters="\0")).filter(lambda text: text.strip().lower() != "none")
TRAININGS = st.builds(
    Training,
    batch_size=st.integers(1, 2**63 - 1),
    time=st.none() | TEXT,
    patience=st.none() | st.integers(-(2**63) + 1, 2**63 - 1),
    sizes=st.lists(st.integers(-100, 100)).map(tuple),
    names=st.lists(st.text(st.characters(exclude_characters="\0"))).map(tuple),
    scales=st.lists(st.floats(0, 1)).map(tuple),
    augment=st.booleans(),
    device=st.sampled_from(["auto", "cpu", "cuda"]),
    optimizer=st.builds(
        Optimizer,
        kind=st.sampled_from(["sgd", "adamw"]),
        learning_rate=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
        momentum=st.floats(0, 1, exclude_max=True),
    ),
)


@given(TRAININGS)
def test_options_survive_json(options: Training) -> None:
    for written in (flatten(options), nested(options)):
        read = json.loads(json.dumps(written, allow_nan=False))
        assert build(Training, resolve(FIELDS, read)) == options


@given(
    st.sampled_from(list(FIELDS)),
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists),
)
def test_any_json_value_is_converted_or_refused_in_a_sentence(name: str, value: Any) -> None:
    try:
        found = convert(FIELDS[name], value)
    except OptionError as error:
        assert str(error).startswith(FIELDS[name].flag)
    else:
        assert convert(FIELDS[name], found) == found
