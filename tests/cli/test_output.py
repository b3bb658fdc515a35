"""Tables and JSON on stdout, and a stdout that fails."""

from __future__ import annotations

import doctest
import io
import json
import math
import sys

import pytest

from deepen.cli import answers, output, pages
from deepen.cli.output import OutputError, cell, say, table, width, write, write_json


def test_examples_in_docstrings() -> None:
    for module in (output, answers, pages):
        assert doctest.testmod(module).failed == 0


def test_columns_stay_aligned_under_wide_characters() -> None:
    lines = table(["name", "n"], [["猫", 1], ["dog", 1234], ["e\u0301", None]]).split("\n")
    assert {width(line) for line in lines[:3]} == {11}
    assert lines[2].endswith("1,234")


def test_an_empty_table_is_its_head() -> None:
    assert table(["a", "b"], []) == "a  b"


def test_cells_cannot_move_the_cursor() -> None:
    assert cell("a\x1b[2J\nb") == r"a\x1b[2J\nb"
    assert [cell(value) for value in (0.5, 0.0, 1e-7, 12345678.0, True, None, 4690)] == [
        "0.5000",
        "0.0000",
        "1e-07",
        "1.235e+07",
        "yes",
        "",
        "4,690",
    ]


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"a": math.nan, "b": [math.inf, 0.5, {"c": (1, True, None)}]})
    text = capsys.readouterr().out
    assert json.loads(text) == {"a": None, "b": [None, 0.5, {"c": [1, True, None]}]}
    assert text.count("\n") == 1


def test_only_rank_zero_writes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    write("nothing")
    monkeypatch.setenv("RANK", "0")
    write("something")
    assert capsys.readouterr().out == "something\n"


class Failing(io.StringIO):
    """A stream on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_a_sentence_on_stdout_and_silence_on_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Failing())
    with pytest.raises(OutputError, match="standard output: cannot be written: No space left on device"):
        write("x")
    monkeypatch.setattr(sys, "stderr", Failing())
    say("x")


def test_messages_cannot_forge_lines(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\rb\x1b[31m\nsecond")
    assert capsys.readouterr().err == "a\\rb\\x1b[31m\nsecond\n"
