"""What training says: lines where there is no terminal, a bar that is drawn seldom where there is one."""

from __future__ import annotations

import io
import sys

import pytest

from deepen.cli import terminal
from deepen.cli.terminal import Terminal, evaluation_line


class Screen(io.StringIO):
    """A terminal that counts how often it is written to."""

    encoding = "utf-8"  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


def test_one_line_per_evaluation_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    events = Terminal()
    events.started({"model": "lenet", "rows": 1458, "device": "cpu", "budget": "5 epochs", "objective": "accuracy"})
    for step in range(50):
        events.step(step, step / 100, 7.0)
    events.evaluated({"step": 50, "epoch": 2.0, "train_loss": 0.25, "val_f1": 0.5, "val_accuracy": 0.9375})
    events.done()
    assert capsys.readouterr().err.splitlines() == [
        "training lenet on 1,458 samples, cpu, for 5 epochs",
        "epoch 2  train_loss 0.2500  val_accuracy 0.9375  7.0 s left",
    ]


def test_a_training_without_a_budget_names_none(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().started({"model": "ngram", "rows": 1, "device": "cpu", "objective": "perplexity"})
    assert capsys.readouterr().err == "training ngram on 1 sample, cpu\n"


def test_whole_epochs_are_whole_and_parts_are_parts() -> None:
    assert evaluation_line({"epoch": 3}) == "epoch 3"
    assert evaluation_line({"epoch": 2.5}) == "epoch 2.5"
    assert evaluation_line({"step": 1200, "val_rmse": 1.5, "note": "x"}) == "step 1,200  val_rmse 1.5000"


@pytest.mark.parametrize("columns", ["0", "1", "20", "200"])
def test_a_bar_is_drawn_ten_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", columns)
    clock = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: clock[0])
    events = Terminal()
    events.started({})
    events.step(1, 0.1, 5.0)
    drawn = screen.writes
    for step in range(1000):
        events.step(step, 0.5, None)
    assert screen.writes == drawn
    clock[0] += 0.2
    events.step(1001, 0.6, 3.0)
    assert screen.writes > drawn
    events.message("[bold]not markup[/bold] \x1b[2J")
    events.done()
    events.done()
    assert "[bold]not markup[/bold] \\x1b[2J" in screen.getvalue()


def test_no_bar_on_a_dumb_terminal_or_another_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "dumb")
    events = Terminal()
    events.started({})
    events.step(1, 0.1, 5.0)
    assert screen.writes == 0
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("RANK", "3")
    events.started({})
    events.message("not from here")
    events.done()
    assert screen.writes == 0


def test_a_full_disk_behind_stderr_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    events = Terminal()
    events.started({})

    def fail(_text: str) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(screen, "write", fail)
    events.step(1, 0.1, 5.0)
    events.message("x")
    events.evaluated({"epoch": 1})
    events.done()
