"""Formats of answers that belong to a task are found by the run's own word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deepen.verbs.formats import formats


@pytest.mark.parametrize(("content", "endings"), [
    ({"task": "token-tagging"}, [".conll"]), ({"task": "tabular-classification"}, []), ({}, []), ([], []),
])  # fmt: skip
def test_a_run_has_the_formats_of_its_task(content: object, endings: list[str], tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(content))
    assert list(formats(tmp_path)) == endings
