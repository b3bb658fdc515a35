from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest

from deepen.core.errors import DataError, OptionError
from deepen.verbs.predict import predict
from deepen.verbs.train import train

LINES = "The lamp is broken.\nMy chair is lovely.\nOur clock is bent."


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("predict") / "run"
    train("text-classification", "tiny", {"model": "fasttext", "epochs": 2, "network.width": 5, "threads": 1}, out=out)
    return out


def standing_in(monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))


def test_standard_input_is_answered_like_a_file_of_the_same_content(run, tmp_path, monkeypatch):
    path = tmp_path / "lines.txt"
    path.write_text(LINES, encoding="utf-8")
    of_file = list(predict(run, path))
    standing_in(monkeypatch, LINES)
    answers = list(predict(run, [path, "-"]))
    assert [each.source for each in answers[3:]] == ["stdin, line 1", "stdin, line 2", "stdin, line 3"]
    assert [each.top for each in answers] == [each.top for each in of_file] * 2


def test_standard_input_is_read_once_and_must_hold_something(run, monkeypatch):
    standing_in(monkeypatch, LINES)
    with pytest.raises(OptionError, match="named 2 times; name one"):
        list(predict(run, ["-", "-"]))
    standing_in(monkeypatch, "")
    with pytest.raises(DataError, match="stdin: holds no text"):
        list(predict(run, "-"))
