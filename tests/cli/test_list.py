"""`deepen list`: every name, and nothing imported."""

from __future__ import annotations

import json
import re

import pytest

from deepen.cli.main import main
from deepen.core import names


def listed(text: str) -> dict[str, set[str]]:
    """The names of models under each head of `deepen list`."""
    block = text.split("\n\nmodels, by what they are:\n")[1].split("\n`deepen list models`")[0]
    heads = re.split(r"^  (?=\S)", block, flags=re.MULTILINE)[1:]
    found = {}
    for head in heads:
        contract, names_of = re.split(r"\s{2,}", head, maxsplit=1)
        found[contract] = set(re.split(r",\s+", names_of.strip()))
    return found


def test_lists_every_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in (*names.tasks(), "digits", "tiny"))
    expected: dict[str, set[str]] = {}
    for name, model in names.models().items():
        for contract in model.contracts:
            expected.setdefault(contract, set()).add(name)
    assert listed(text) == expected


@pytest.mark.parametrize("columns", [70, 100])
def test_lines_fit_the_terminal(columns: int, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["list"]) == 0
    assert max(len(line) for line in capsys.readouterr().out.splitlines()) <= columns


def test_models_have_a_line_for_each_family_under_each_thing_that_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "models"]) == 0
    text = capsys.readouterr().out
    flat = " ".join(text.split())
    for module in {model.module for model in names.models().values()}:
        family = [model for model in names.models().values() if model.module == module]
        for contract in {contract for model in family for contract in model.contracts}:
            own = [model.name for model in family if contract in model.contracts]
            block = flat.split(f"{contract}: ", 1)[1]
            assert f"{', '.join(own)} {family[0].summary}" in block
    assert flat.count("Multilayer perceptron") == len(names.models()["mlp"].contracts)


def test_json_and_one_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"tasks": sorted(names.tasks()), "models": sorted(names.models()), "data": ["digits", "tiny"]}
    assert main(["list", "models", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["models"]
