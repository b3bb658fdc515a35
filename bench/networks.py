"""What an epoch of Fashion-MNIST costs with each network, by its own recipe; and what a budget teaches, where asked.

    python -m bench.networks                                      seconds of an epoch
    python -m bench.networks --train lenet nin --epochs 1         and test accuracy after one epoch
    python -m bench.networks --models --train wren --time 5m      after five minutes, without the first table
    python -m bench.networks --models resnet50 --network stem=7x7   with an option of the network

Each network makes a few updates that are not counted and then some that are, until SECONDS are over; the epoch is
extrapolated from them. Evaluation is left out. `--train` trains as a user would, into OUT/NAME; a run that is there is
not made again, and one that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch

from bench.places import ROOT, data_set
from bench.rounds import say_machine, table
from deepen.bundle.header import RUN_FILE
from deepen.core import names
from deepen.core.errors import TrainingError
from deepen.engine.training import Training
from deepen.nn.summary import num_parameters
from deepen.parallel.ranks import Alone
from deepen.verbs.options import resolved
from deepen.verbs.prepared import prepare
from deepen.verbs.run import Run

TASK = "image-classification"
CONTRACT = "image classifier"
# Test accuracies of others on Fashion-MNIST in percent: from the list in the data's own repository, zalandoresearch's
# fashion-mnist, trained to their end, many of them with the epoch that was best on test; and those of "Dive into Deep
# Learning" after ten epochs without augmentation, as its pages print them.
PUBLISHED = {
    "mlp": "88.3 (256-128-100)",
    "lenet": "91.6 (two convolutions); book 82",
    "alexnet": "book 88",
    "nin": "book 88",
    "vgg11": "book 92",
    "vgg16": "93.5",
    "googlenet": "93.7; book 89",
    "resnet18": "94.9 (augmented); book 89 to 92",
    "resnet50": "93.1",
    "wide-resnet50": "96.7 (WRN-40-4)",
    "densenet121": "95.4 (DenseNet-BC of 0.77 million); book 89",
}


def main() -> None:
    """Measures each network in turn and prints a table."""
    arguments = _arguments()
    say_machine()
    data = data_set("fashion_mnist", arguments.data)
    known = [name for name, named in names.models().items() if CONTRACT in named.contracts]
    rows = []
    for name in known if arguments.models is None else arguments.models:
        try:
            rows.append([name, *measured(name, data, arguments)])
        except TrainingError as error:
            rows.append([name, "", "", "", f"failed: {error}"])
        print(*rows[-1], file=sys.stderr, flush=True)
    if rows:
        print(table(["network", "parameters", "batch", "updates timed", "seconds per epoch"], rows))
    if arguments.train:
        trained = [[name, *taught(name, data, arguments), PUBLISHED.get(name, "")] for name in arguments.train]
        titles = ["network", f"test accuracy after {budget_of(arguments)[1]}", "epochs", "seconds", "published, %"]
        print(table(titles, trained))


def measured(name: str, data: Path, arguments: argparse.Namespace) -> list[str]:
    """Parameters, batch size, updates timed and seconds of an epoch."""
    seconds, network = arguments.seconds, {f"network.{each}": value for each, value in options_of(arguments).items()}
    chosen = resolved(TASK, {"model": name, "epochs": 1, "precision": arguments.precision, **network})
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


def budget_of(arguments: argparse.Namespace) -> list[str]:
    """The options of `train` for the budget."""
    return ["--time", arguments.time] if arguments.time else ["--epochs", arguments.epochs]


def options_of(arguments: argparse.Namespace) -> dict[str, str]:
    """The options of the networks that are not their defaults."""
    return dict(each.split("=", 1) for each in arguments.network)


def taught(name: str, data: Path, arguments: argparse.Namespace) -> list[str]:
    """Test accuracy, epochs and seconds of `deepen train` by a budget, a precision and the network's options alone."""
    folder = Path(arguments.out) / name
    words = ["train", TASK, str(data), "--model", name, *budget_of(arguments), "--precision", arguments.precision]
    words += ["--threads", arguments.threads] if arguments.threads else []
    for option, value in options_of(arguments).items():
        words += [f"--network.{option}", value]
    if not (folder / RUN_FILE).exists() or Run(folder).header["status"] != "done":
        words += ["--out", str(folder), *(["--resume"] if folder.exists() else [])]
        if subprocess.run([sys.executable, "-m", "deepen", *words], stdout=subprocess.DEVNULL, check=False).returncode:
            return ["failed", "", ""]
    run = Run(folder)
    seconds = json.loads((folder / "timing.jsonl").read_text(encoding="utf-8").splitlines()[-1])["seconds"]
    return [f"{run.metrics['accuracy']:.4f}", f"{run.history[-1]['epoch']:.1f}", f"{float(seconds):.0f}"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.networks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", nargs="?", help="the folder of Fashion-MNIST")
    parser.add_argument("--models", nargs="*", help="networks to time; default: every image classifier")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each one is timed")
    parser.add_argument("--precision", default="fp32", help="fp32 or bf16")
    parser.add_argument("--train", nargs="+", default=[], help="networks to train, too")
    parser.add_argument("--epochs", default="1", help="of these trainings")
    parser.add_argument("--time", help="of these trainings, such as 5m, instead of epochs")
    parser.add_argument("--threads", help="of these trainings; default: all")
    parser.add_argument("--network", nargs="+", default=[], metavar="OPTION=VALUE", help="such as stem=7x7")
    parser.add_argument("--out", default=str(ROOT / "build" / "networks"), help="where the runs stand")
    return parser.parse_args()


if __name__ == "__main__":
    main()
