"""K04, K06, K16, K17, K18: a training on two processes that is killed, held, or gone on with on another number."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from deepen.bundle import checkpoint, header, load, records
from deepen.verbs.train import train
from tests.faults.harness import deepen

SOURCE = str(Path(sys.modules["deepen"].__file__ or "").parents[1])
TASK = "tabular-classification"
PLAIN = {"network.dropout": 0.0, "device": "cpu", "threads": 1, "seed": 3}
END_SECONDS = 20
START_SECONDS = 300  # two processes that import PyTorch, on a machine that has other things to do


class Job:
    """A training on two ranks as a process of its own, that has saved at least once."""

    def __init__(self, folder: Path, *more: str) -> None:
        words = [
            *more,
            "--steps",
            "1000000",
            "--devices",
            "2",
            "--threads",
            "1",
            "--checkpoint-every",
            "100ms",
            "--out",
            folder,
        ]
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "deepen", "train", TASK, "tiny", *map(str, words)],
            env={**os.environ, "PYTHONPATH": SOURCE},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        until = time.monotonic() + START_SECONDS
        while not checkpoint.has_checkpoint(folder):
            assert self.process.poll() is None and time.monotonic() < until, self.process.communicate()[1]
            time.sleep(0.02)
        self.children = psutil.Process(self.process.pid).children(recursive=True)
        (self.rank,) = [child for child in self.children if child.ppid() != self.process.pid]  # forked by a server

    def end(self) -> tuple[int, str]:
        """(exit code, stderr) of the job, which must end soon and leave no process."""
        start = time.monotonic()
        _, said = self.process.communicate(timeout=START_SECONDS)
        _, alive = psutil.wait_procs(self.children, timeout=max(0.0, END_SECONDS - (time.monotonic() - start)))
        assert not alive and time.monotonic() - start < END_SECONDS
        assert "Traceback" not in said, said
        return self.process.returncode, said


def newest_checkpoint(folder: Path) -> str:
    """Its name, which begins with its step."""
    return max(path.name for path in (folder / header.CHECKPOINT_FOLDER).iterdir() if path.suffix == ".safetensors")


def test_a_killed_rank_ends_the_job_and_is_named(tmp_path: Path) -> None:
    """K17."""
    job = Job(tmp_path / "run")
    job.rank.kill()
    code, said = job.end()
    assert code == 2
    assert f"rank 1: expected to train to the end, but its process (pid {job.rank.pid}) ended with -9" in said
    assert "--resume" in said
    assert load.load_header(tmp_path / "run")["status"] == "failed"


def test_ctrl_c_stops_all_ranks_and_saves(tmp_path: Path) -> None:
    """K06: one line with the command to go on with, from rank 0 alone."""
    job = Job(tmp_path / "run")
    job.process.send_signal(signal.SIGINT)
    code, said = job.end()
    assert code == 128 + signal.SIGINT
    assert said.count("stopped and saved; go on with: deepen train") == 1
    assert load.load_header(tmp_path / "run")["status"] == "interrupted"


@pytest.mark.parametrize("held", ["rank 1", "rank 0"])
def test_a_held_rank_ends_the_job_after_the_timeout(held: str, tmp_path: Path) -> None:
    """K18: the process lives but does not answer; whoever waits for it ends, and nothing stays behind."""
    job = Job(tmp_path / "run", "--timeout", "5s")
    if held == "rank 1":
        job.rank.suspend()
        code, said = job.end()
        assert code == 2
        assert "does not answer any more, though its process lives (waited 5 seconds, --timeout)" in said
        assert load.load_header(tmp_path / "run")["status"] == "failed"
    else:
        job.process.send_signal(signal.SIGSTOP)
        gone, _ = psutil.wait_procs([job.rank], timeout=END_SECONDS)
        assert gone
        job.process.send_signal(signal.SIGCONT)
        code, said = job.end()
        assert code == 2 and "--resume" in said
    assert checkpoint.has_checkpoint(tmp_path / "run")


def test_a_slow_rank_is_waited_for(tmp_path: Path) -> None:
    """K18: one rank gets a tenth of the time; the job goes on at its pace."""
    job = Job(tmp_path / "run", "--timeout", "5s")
    for _ in range(10):
        job.rank.suspend()
        time.sleep(0.09)
        job.rank.resume()
        time.sleep(0.01)
    before = newest_checkpoint(tmp_path / "run")
    until = time.monotonic() + START_SECONDS
    while newest_checkpoint(tmp_path / "run") <= before:
        assert job.process.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    job.process.send_signal(signal.SIGINT)
    assert job.end()[0] == 128 + signal.SIGINT


@pytest.mark.torture
def test_when_rank_0_is_killed_the_others_end_by_themselves(tmp_path: Path) -> None:
    """K04."""
    job = Job(tmp_path / "run")
    job.process.kill()
    assert job.end()[0] == -signal.SIGKILL
    assert checkpoint.has_checkpoint(tmp_path / "run")


@pytest.mark.torture
@pytest.mark.parametrize("killed", ["rank 1", "its server"])
def test_a_rank_killed_before_it_joins_ends_the_job(killed: str, tmp_path: Path) -> None:
    """K17: while it still prepares, or while the server that it is to be forked from still imports."""
    words = ["--steps", "9", "--devices", "2", "--out", tmp_path / "run"]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "deepen", "train", TASK, "tiny", *map(str, words)],
        env={**os.environ, "PYTHONPATH": SOURCE},
        stderr=subprocess.PIPE,
        text=True,
    )
    found: list[psutil.Process] = []
    while not found:
        assert process.poll() is None
        children = psutil.Process(process.pid).children(recursive=True)
        if killed == "rank 1":
            found = [child for child in children if child.ppid() != process.pid]
        else:
            found = [child for child in children if "forkserver" in " ".join(child.cmdline())]
    found[0].kill()
    start = time.monotonic()
    assert f"{killed}: expected to" in process.communicate(timeout=START_SECONDS)[1]
    assert process.returncode == 2 and time.monotonic() - start < END_SECONDS


@pytest.mark.parametrize("devices", [(1, 2), (2, 1)], ids=["to two", "to one"])
def test_gone_on_with_on_another_number_of_ranks(devices: tuple[int, int], tmp_path: Path) -> None:
    """K16: the same samples in the same order; only the order of additions differs: 1e-5 of the largest weight."""
    options = {**PLAIN, "steps": 60, "checkpoint_every": "1ms"}
    train(TASK, "tiny", options, out=tmp_path / "one")
    stopped, expected = tmp_path / "stopped", tmp_path / "one"
    _stop_early({**options, "devices": devices[0]}, stopped)
    outcome = deepen("train", TASK, "tiny", "--out", stopped, "--resume", "--devices", str(devices[1]))
    assert outcome.code == 0, outcome.err
    ours, theirs = load.load_weights(stopped), load.load_weights(expected)
    for name, tensor in theirs.items():
        assert (ours[name] - tensor).abs().max() <= 1e-5 * max(1.0, float(tensor.abs().max())), name
    curves = [[record["train_loss"] for record in records.read_metrics(run)] for run in (stopped, expected)]
    assert torch.allclose(torch.tensor(curves[0]), torch.tensor(curves[1]), rtol=1e-4)
    assert json.loads((stopped / "run.json").read_text())["options"]["steps"] == 60


def _stop_early(options: dict[str, object], folder: Path) -> None:
    """A run that a signal stopped at its seventh step."""
    from deepen.engine.events import Silent
    from deepen.engine.signals import Interrupted

    class Stopping(Silent):
        def step(self, step: int, progress: float, seconds_left: float | None) -> None:
            if step == 7:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        train(TASK, "tiny", options, out=folder, events=Stopping())
