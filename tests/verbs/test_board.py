"""TensorBoard's files: every figure of every evaluation, also of a run that was stopped and went on."""

from __future__ import annotations

import sys

import pytest

from deepen.core.errors import OptionError
from deepen.engine.events import Silent
from deepen.verbs.board import Board
from deepen.verbs.train import train


def test_every_figure_is_a_scalar(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = train("tabular-regression", "tiny", {"epochs": 3}, out=tmp_path / "run", tensorboard=True)
    events = accumulator.EventAccumulator(str(run.folder / "events"))
    events.Reload()
    last = run.history[-1]
    for name in ("train_loss", "val_rmse"):
        values = events.Scalars(name.replace("_", "/", 1))
        assert [value.step for value in values] == [record["step"] for record in run.history]
        assert values[-1].value == pytest.approx(last[name], rel=1e-5)


def test_without_the_package_the_command_that_installs_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(OptionError, match=r"--tensorboard: .*pip install 'deepen\[board\]'"):
        Board(Silent(), tmp_path)
