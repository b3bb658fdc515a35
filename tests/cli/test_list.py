"""`deepen list`: every name, and nothing imported."""

from __future__ import annotations

import json

import pytest

from deepen.cli.main import main
from deepen.core import names


def test_lists_every_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n{name} " in text for name in (*names.tasks(), *names.models(), "digits", "tiny"))


def test_json_and_one_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"tasks": sorted(names.tasks()), "models": sorted(names.models()), "data": ["digits", "tiny"]}
    assert main(["list", "models", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["models"]
