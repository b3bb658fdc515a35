"""What an epoch of Fashion-MNIST costs with each network, by its own recipe; and what one epoch teaches, where asked.

Each network makes a few updates that are not counted and then some that are, until SECONDS are over; the epoch is
extrapolated from them. Evaluation is left out. `--train NAME ...` trains these for one whole epoch as a user would.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from bench.places import data_set
from bench.rounds import say_machine, table
from deepen.core import names
from deepen.engine.training import Training
from deepen.nn.summary import num_parameters
from deepen.parallel.ranks import Alone
from deepen.verbs.options import resolved
from deepen.verbs.prepared import prepare

TASK = "image-classification"
CONTRACT = "image classifier"


def main() -> None:
    """Measures each network in turn and prints a table."""
    arguments = _arguments()
    say_machine()
    data = data_set("fashion_mnist", arguments.data)
    known = [name for name, named in names.models().items() if CONTRACT in named.contracts]
    rows = []
    for name in arguments.models or known:
        rows.append([name, *measured(name, data, arguments.seconds)])
        print(*rows[-1], file=sys.stderr, flush=True)
    print(table(["network", "parameters", "batch", "updates timed", "seconds per epoch"], rows))
    if arguments.train:
        trained = [[name, *one_epoch(name, data)] for name in arguments.train]
        print(table(["network", "test accuracy after one epoch", "seconds"], trained))


def measured(name: str, data: Path, seconds: float) -> list[str]:
    """Parameters, batch size, updates timed and seconds of an epoch."""
    chosen = resolved(TASK, {"model": name, "epochs": 1})
    prepared = prepare(TASK, data, chosen)
    train = prepared.encoded["train"]
    training = Training(prepared.task, train, chosen.fit, device=torch.device("cpu"), ranks=Alone())
    order = training.order()
    training.update(order[0])
    start, count = time.perf_counter(), 0
    while count < len(order) - 1 and (count < 2 or time.perf_counter() - start < seconds):
        training.update(order[1 + count])
        count += 1
    epoch = (time.perf_counter() - start) / count * len(order)
    training.close()
    parameters = num_parameters(training.model)
    return [
        f"{parameters:,}",
        str(chosen.fit.batch_size),
        str(count),
        f"{epoch:.0f}" if epoch >= 10 else f"{epoch:.1f}",
    ]


def one_epoch(name: str, data: Path) -> list[str]:
    """Test accuracy and wall seconds of `deepen train` with `--epochs 1` and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["train", TASK, str(data), "--model", name, "--epochs", "1", "--out", f"{folder}/run", "--json"]
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "deepen", *words], stdout=subprocess.PIPE, text=True, check=False)
        seconds = time.perf_counter() - start
        if done.returncode:
            return ["failed", f"{seconds:.0f}"]
        metrics = json.loads(done.stdout.strip().splitlines()[-1])["metrics"]
        return [f"{metrics['accuracy']:.4f}", f"{seconds:.0f}"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.networks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", nargs="?", help="the folder of Fashion-MNIST")
    parser.add_argument("--models", nargs="+", help="networks; default: every image classifier")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each one is timed")
    parser.add_argument("--train", nargs="+", default=[], help="networks to train for one epoch, too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
