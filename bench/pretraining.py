"""The table of docs/pretraining.md: few labelled digits and many unlabelled ones, `python -m bench.pretraining`.

For each seed 50 of scikit-learn's digits have labels, five of each class, 500 others are the test, and the rest has no
labels. The same network is trained on the 50 with and without pretraining on the 50 and the rest. A few minutes on one
core; `--seeds 1` for a look.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepen.verbs.train import train

OF_EACH, TESTED = 5, 500
BASE: dict[str, Any] = {"model": "mlp", "val": 0.0, "steps": 600, "batch_size": 25, "threads": 1, "device": "cpu"}
NETWORKS: dict[str, dict[str, Any]] = {
    "relu 256-128": {},
    "sigmoid 256-128": {"network.activation": "sigmoid"},
    "sigmoid 256-256-256-256": {"network.activation": "sigmoid", "network.hidden": (256, 256, 256, 256)},
}
WAYS: dict[str, dict[str, Any]] = {
    "none": {},
    "autoencoder": {"pretrain": "autoencoder"},
    "denoising": {"pretrain": "denoising"},
    "rbm": {"pretrain": "rbm"},
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=50, help="of pretraining, for each layer")
    chosen = parser.parse_args(arguments)
    print("| hidden layers | pretraining | accuracy % | cross-entropy (nats) |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for network, options in NETWORKS.items():
            for way, more in WAYS.items():
                found = [_figures(Path(folder), seed, options | more, chosen.epochs) for seed in range(chosen.seeds)]
                accuracy, entropy = (
                    _mean_and_deviation([f[name] for f in found]) for name in ("accuracy", "cross_entropy")
                )
                print(f"| {network} | {way} | {accuracy(100, 1)} | {entropy(1, 3)} |")
                sys.stdout.flush()


def _figures(folder: Path, seed: int, options: dict[str, Any], epochs: int) -> dict[str, float]:
    labelled, rest = _files(folder, seed)
    given = {**BASE, **options, "seed": seed}
    if "pretrain" in options:
        given |= {"pretrain_on": str(rest), "pretrain_epochs": epochs, "pretrain_inputs": "binary"}
    with tempfile.TemporaryDirectory(dir=folder) as out:
        return dict(train("image-classification", labelled, given, out=Path(out) / "run").metrics)


def _files(folder: Path, seed: int) -> tuple[Path, Path]:
    """The labelled digits with the test, and the others without labels."""
    from sklearn.datasets import load_digits

    flat, labels = load_digits(return_X_y=True)
    images = np.rint(np.asarray(flat).reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    order = np.random.default_rng(seed).permutation(len(images))
    few = np.concatenate([[row for row in order if labels[row] == digit][:OF_EACH] for digit in range(10)])
    others = np.setdiff1d(order, few, assume_unique=True)
    tested, free = others[:TESTED], others[TESTED:]
    names = folder / f"labelled-{seed}.npz", folder / f"rest-{seed}.npz"
    np.savez(names[0], x_train=images[few], y_train=labels[few], x_test=images[tested], y_test=labels[tested])
    np.savez(names[1], images=images[free])
    return names


def _mean_and_deviation(values: Sequence[float]) -> Any:
    mean, deviation = statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0
    return lambda factor, digits: f"{mean * factor:.{digits}f} ± {deviation * factor:.{digits}f}"


if __name__ == "__main__":
    main()
