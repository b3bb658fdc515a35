"""Every image classifier on colour photographs of 224x224: two updates through `deepen train`, their time and memory.

    python -m bench.large_images
    python -m bench.large_images --models resnet18 vgg16 --batch-size 8 --threads 2

The photographs are made up: JPEG files of 500x375 in a folder for each class. Each network trains in a process of its
own, by its own recipe but for the size of its batches, so that the peak is that process's: PyTorch, weights, gradients,
the optimizer's state and the kept maps together. One that fails is a row too, with what it said, and the others follow.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.pictures import make
from bench.rounds import say_machine, table
from deepen.bundle.records import read_timing
from deepen.core import names
from deepen.core.units import size

CONTRACT = "image classifier"
SIDE = 224
IMAGES = 24  # of which 4 are a test set
STEPS = 2
COLUMNS = ("network", "seconds per image", "processor seconds in all", "peak memory", "outcome")
KIBIBYTE = 1024  # in which Linux counts the peak


@dataclass(frozen=True)
class Trained:
    """What became of one training.

    seconds            of its updates, by the clock
    processor_seconds  of the whole command, which other work on the machine does not lengthen
    fault              empty where it came to its end
    """

    seconds: float
    processor_seconds: float
    peak_bytes: int
    fault: str


def main() -> None:
    """Trains each network in turn and prints a table."""
    arguments = _arguments()
    say_machine()
    known = [name for name, named in names.models().items() if CONTRACT in named.contracts]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder, "photographs"), IMAGES)
        for name in arguments.models or known:
            rows.append([name, *_cells(_trained(name, Path(folder), arguments), arguments.batch_size * STEPS)])
            print(*rows[-1], file=sys.stderr, flush=True)
    print(table(COLUMNS, rows))
    sys.exit(any(row[-1] != "trained" for row in rows))


def _trained(name: str, folder: Path, arguments: argparse.Namespace) -> Trained:
    """One training in a process of its own. Validation is left out, so that the clock has the updates alone."""
    with tempfile.TemporaryDirectory(dir=folder) as place, tempfile.TemporaryFile() as said:
        words = ["train", "image-classification", str(folder / "photographs"), "--model", name]
        words += ["--image-size", str(SIDE), "--steps", str(STEPS), "--batch-size", str(arguments.batch_size)]
        words += ["--val", "0", "--threads", str(arguments.threads), "--out", str(Path(place, "run"))]
        process = subprocess.Popen(
            [sys.executable, "-m", "deepen", *words],
            stdout=subprocess.DEVNULL,
            stderr=said,
            env={**os.environ, "DEEPEN_CACHE": str(folder / "cache")},
        )
        _, status, used = os.wait4(process.pid, 0)
        code = process.returncode = os.waitstatus_to_exitcode(status)
        fault = ""
        if code:
            said.seek(0)
            lines = said.read().decode("utf-8", "replace").strip().splitlines()
            fault = f"exit code {code}: {lines[-1][:200] if lines else 'it said nothing'}"
        seconds = 0.0 if code else float(str(read_timing(Path(place, "run"))[-1]["seconds"]))
        return Trained(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * KIBIBYTE, fault)


def _cells(trained: Trained, num_images: int) -> list[str]:
    seconds = "" if trained.fault else f"{trained.seconds / num_images:.2f}"
    outcome = trained.fault.replace("|", " ") or "trained"
    return [seconds, f"{trained.processor_seconds:.0f}", size(trained.peak_bytes), outcome]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.large_images", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--models", nargs="+", help="networks to train; default: every image classifier")
    parser.add_argument("--batch-size", type=int, default=2, help="small, so that memory holds the largest")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
