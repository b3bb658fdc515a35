"""The same command under torchrun: two ranks train what one trains, and only the first writes and speaks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from deepen.bundle.load import load_weights
from deepen.verbs.train import train

SRC = Path(__file__).resolve().parents[2] / "src"


def test_two_ranks_of_torchrun_equal_one_process(tmp_path):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "deepen"]
    command = ["train", "tabular-regression", "tiny", "--epochs", "2", "--threads", "1", "--out", str(tmp_path / "two")]
    environment = {**os.environ, "PYTHONPATH": str(SRC), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    found = subprocess.run(
        [sys.executable, *launcher, *command], env=environment, capture_output=True, text=True, timeout=240
    )
    assert found.returncode == 0, found.stderr[-3000:]
    assert found.stdout.count(str(tmp_path / "two")) == 1
    one = train("tabular-regression", "tiny", {"epochs": 2, "threads": 1}, out=tmp_path / "one")
    a, b = load_weights(one.folder), load_weights(tmp_path / "two")
    for name in a:
        if a[name].is_floating_point():
            assert (a[name] - b[name]).abs().max() <= 1e-4 * a[name].abs().max().clamp_min(1e-6), name
