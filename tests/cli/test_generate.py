"""`deepen generate`: the prompt, what goes on from it as it comes, or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepen.cli.main import main


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """What looks like a run folder."""
    (tmp_path / "run.json").write_text("{}")
    return str(tmp_path)


def test_text_and_json(folder: str, stub: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]) -> None:
    calls = stub("generate", lambda *_, **__: iter([" was", "\n", "here"]))
    assert main(["generate", folder, "--prompt", "It", "--top-k", "7", "--length", "3"]) == 0
    assert capsys.readouterr().out == "It was\nhere\n"
    assert calls[0] == ((folder, "It", {"top_k": 7, "length": 3}), {"flags": True})
    assert main(["generate", folder, "--prompt", "It", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"prompt": "It", "continuation": " was\nhere"}


def test_each_piece_is_written_before_the_next_is_made(
    folder: str, stub: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []

    def pieces(*_: Any, **__: Any) -> Any:
        for piece in (" a", " b"):
            yield piece
            seen.append(capsys.readouterr().out)

    stub("generate", pieces)
    assert main(["generate", folder, "--prompt", "x"]) == 0
    assert seen == ["x a", " b"]


def test_on_a_terminal_nothing_steers_it(
    folder: str,
    stub: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stub("generate", lambda *_, **__: iter(["\x1b[2J", "\n"]))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["generate", folder]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_a_run_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["generate"]) == 2
    assert "RUN is missing" in capsys.readouterr().err
    assert main(["generate", str(tmp_path / "none")]) == 2
    assert "no such run folder" in capsys.readouterr().err
    assert main(["generate", "--help"]) == 0
    assert "--top-p" in capsys.readouterr().out
