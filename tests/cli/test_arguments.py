"""Taking a command line apart: every spelling of an option, and every refusal."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepen.cli.arguments import parse, take, value_of, wants_help
from deepen.core.errors import OptionError
from deepen.core.options import fields_of


@dataclass(frozen=True)
class Optimizer:
    """Steps"""

    learning_rate: float = field(default=0.1, metadata={"alias": "lr"})
    nesterov: bool = True


@dataclass(frozen=True)
class Group:
    """Options"""

    batch_size: int = field(default=32, metadata={"least": 1})
    header: bool = True
    json: bool = False
    sizes: tuple[int, ...] = ()
    optimizer: Optimizer = Optimizer()


FIELDS = fields_of(Group)


@pytest.mark.parametrize(
    ("line", "words", "values"),
    [
        ("a b", ("a", "b"), {}),
        ("a --batch-size 3 b", ("a", "b"), {"batch_size": 3}),
        ("--batch_size=3 a", ("a",), {"batch_size": 3}),
        ("--optimizer.lr -0.5", (), {"optimizer.learning_rate": -0.5}),
        ("--optimizer.learning-rate 1e-3", (), {"optimizer.learning_rate": 0.001}),
        ("--json a", ("a",), {"json": True}),
        ("--no-header a", ("a",), {"header": False}),
        ("--header=no", (), {"header": False}),
        ("--optimizer.no-nesterov", (), {"optimizer.nesterov": False}),
        ("--no-optimizer.nesterov", (), {"optimizer.nesterov": False}),
        ("--sizes 1,2", (), {"sizes": (1, 2)}),
        ("--json -- --odd.jpg -x.jpg", ("--odd.jpg", "-x.jpg"), {"json": True}),
        ("--json --json", (), {"json": True}),
        ("- a", ("-", "a"), {}),
    ],
)
def test_reads(line: str, words: tuple[str, ...], values: dict[str, object]) -> None:
    found = parse(line.split(), FIELDS)
    assert (found.words, found.values) == (words, values)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--optimizer.lrr 1", "--optimizer.lrr: no such option; did you mean --optimizer.lr?"),
        ("--jsno", "--jsno: no such option; did you mean --json?"),
        ("--no-heade", "--no-heade: no such option; did you mean --no-header?"),
        ("--batch-size", "--batch-size: needs a value: a whole number of at least 1."),
        ("--batch-size --json", "--batch-size: needs a value: a whole number of at least 1."),
        ("--batch-size 1.5", "--batch-size: expected a whole number of at least 1, but is '1.5'."),
        ("--batch-size 1 --batch-size=2", "--batch-size: given twice, as '1' and as '2'; give it once."),
        ("--no-header=3", "--no-header: takes no value; write --header=3 or --no-header."),
        ("--no-batch-size", "--no-batch-size: no such option; did you mean --batch-size?"),
        ("-v", "-v: no such option; options begin with two dashes, and a file of that name is ./-v"),
        ("--optimizer 3", "--optimizer: is a group of options, not one; it has --optimizer.learning-rate"),
    ],
)
def test_refuses(line: str, sentence: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse(line.split(), FIELDS)
    assert str(caught.value).startswith(sentence)


def test_takes_exactly_so_many_words() -> None:
    assert take(["a", "b"], ("TASK", "DATA"), usage="u") == ["a", "b"]
    with pytest.raises(OptionError, match="DATA is missing; usage: u"):
        take(["a"], ("TASK", "DATA"), usage="u")
    with pytest.raises(OptionError, match="'c': one word too many; usage: u"):
        take(["a", "b", "c"], ("TASK", "DATA"), usage="u")


def test_looks_ahead_for_one_flag_and_for_help() -> None:
    assert value_of(["a", "--model", "mlp"], "--model") == "mlp"
    assert value_of(["--model=mlp", "a"], "--model") == "mlp"
    assert value_of(["--", "--model", "mlp"], "--model") is None
    assert value_of(["a", "--model"], "--model") is None
    assert wants_help(["a", "--help"])
    assert wants_help(["-h"])
    assert not wants_help(["--", "--help"])


WORDS = st.sampled_from(
    ["--", "-", "--json", "--no-header", "--batch-size", "--sizes=1", "--optimizer", "=", "--=", "---"]
)


@given(st.lists(WORDS | st.text()))
def test_any_line_is_read_or_refused_in_a_sentence(argv: list[str]) -> None:
    try:
        found = parse(argv, FIELDS)
    except OptionError as error:
        assert ":" in str(error)
    else:
        assert set(found.values) <= set(FIELDS)
        assert all(word in argv for word in found.words)
