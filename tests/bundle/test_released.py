"""K14: runs that earlier versions wrote can still be used, and gone on with.

Each folder in `released` was made by one version of the format, by `python tests/bundle/test_released.py` at that time,
and is never made again: `done` is a finished run, `stopped` one that a signal stopped, `answers.json` what `done`
answered and what `stopped` came to. Another CPU adds in another order, hence the tolerance.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from deepen.bundle import load
from deepen.bundle.header import FORMAT_VERSION
from deepen.engine.events import Silent
from deepen.engine.signals import Interrupted
from deepen.verbs.evaluate import evaluate
from deepen.verbs.predict import predict
from deepen.verbs.train import train

RELEASED = Path(__file__).parent / "released"
TASK = "tabular-classification"
OPTIONS = {"target": "label", "steps": 60, "threads": 1, "network.members": 3, "network.width": 7}
STOPPED_AT = 23


@pytest.fixture(params=sorted(path.name for path in RELEASED.iterdir() if path.is_dir()))
def released(request, tmp_path: Path, monkeypatch):
    """A copy of what one version left, as the working folder; and what it answered."""
    shutil.copytree(RELEASED / request.param, tmp_path / "released")
    monkeypatch.chdir(tmp_path / "released")
    return json.loads(Path("answers.json").read_text("utf-8"))


def test_every_format_has_its_runs() -> None:
    assert {int(path.name) for path in RELEASED.iterdir() if path.is_dir()} == set(range(1, FORMAT_VERSION + 1))


def test_a_finished_run_answers_as_it_did(released) -> None:
    found = [dataclasses.asdict(answer) for answer in predict("done", "data.csv")]
    for ours, theirs in zip(found, released["answers"], strict=True):
        assert ours["label"] == theirs["label"]
        assert ours["probability"] == pytest.approx(theirs["probability"], abs=1e-5)
    assert evaluate("done").metrics["cross_entropy"] == pytest.approx(released["cross_entropy"], abs=1e-5)


def test_a_stopped_run_is_gone_on_with(released) -> None:
    train(TASK, "data.csv", out="stopped", resume=True)
    assert load.load_header("stopped")["status"] == "done"
    weights = load.load_weights("stopped")
    assert {name: list(tensor.shape) for name, tensor in weights.items()} == {
        name: shape for name, (shape, _) in released["resumed"].items()
    }
    for name, (_, norm) in released["resumed"].items():
        # of the steps that are left a later version may take a slightly better one: biases of members decayed once
        assert float(weights[name].double().norm()) == pytest.approx(norm, rel=5e-3, abs=1e-4)


def make(folder: Path) -> None:
    """The runs of the format as it is now."""
    folder.mkdir(parents=True)
    os.chdir(folder)
    draw = np.random.default_rng(0)
    area, city = draw.uniform(20, 120, 61), draw.choice(["Oslo", "Lima", "Accra"], 61)
    label = np.where(area + 30 * (city == "Lima") > 80, "dear", "cheap")
    rows = [f"{a:.1f},{c},{y}" for a, c, y in zip(area, city, label, strict=True)]
    Path("data.csv").write_text("\n".join(["area,city,label", *rows]) + "\n")
    train(TASK, "data.csv", OPTIONS, out="done")

    class Stopping(Silent):
        def step(self, step: int, progress: float, seconds_left: float | None) -> None:
            if step == STOPPED_AT:
                os.kill(os.getpid(), signal.SIGTERM)

    with contextlib.suppress(Interrupted):
        train(TASK, "data.csv", {**OPTIONS, "checkpoint_every": "1ms"}, out="stopped", events=Stopping())
    for page in ("report.html", "README.md"):
        Path("done", page).unlink()
    shutil.rmtree("done/checkpoint", ignore_errors=True)
    shutil.copytree("stopped", "again")
    train(TASK, "data.csv", out="again", resume=True)
    said = {
        "answers": [dataclasses.asdict(answer) for answer in predict("done", "data.csv")],
        "cross_entropy": evaluate("done").metrics["cross_entropy"],
        "resumed": {n: [list(t.shape), float(t.double().norm())] for n, t in load.load_weights("again").items()},
    }
    shutil.rmtree("again")
    Path("answers.json").write_text(json.dumps(said, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    make(RELEASED / str(FORMAT_VERSION))
