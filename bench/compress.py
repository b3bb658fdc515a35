"""What compressing does to a run, `python -m bench.compress RUN`: one line for each way, as a table of Markdown.

RUN is a trained run, such as `deepen train image-classification DATA/fashion_mnist --model resnet18` makes. Nothing is
trained but what `--epochs` asks for: each way that tunes takes as many passes. `--ways` names some of them; with
`--export` each new run is exported too, and told by the fastest engine's milliseconds. `--bits` prints quality by width
instead, `--student` distils into that network and trains it alone for as long.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from deepen.core.errors import DeepenError
from deepen.verbs.compress import CompressResult, compress
from deepen.verbs.export import export
from deepen.verbs.loaded import loaded
from deepen.verbs.options import rebuilt
from deepen.verbs.train import train

WAYS: dict[str, dict[str, Any]] = {
    "int8": {"method": "int8"},
    "int8, aware": {"method": "int8", "aware": True},
    "int8 weights": {"method": "int8-weights"},
    "half the channels": {"method": "channels", "channels": 0.5},
    "half the channels, int8": {"method": ("channels", "int8"), "channels": 0.5},
    "80 % of the weights zero": {"method": "prune", "sparsity": 0.8},
    "low rank": {"method": "low-rank", "energy": 0.9},
    "early exits": {"method": "early-exit"},
}
TUNED = ("aware", "channels", "sparsity", "energy")


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--metric", default="accuracy")
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--ways", default=",".join(WAYS), help="by their names, split by ';'")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--export", action="store_true")
    parser.add_argument("--bits", action="store_true")
    parser.add_argument("--student", default="")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    with tempfile.TemporaryDirectory() as folder:
        if chosen.bits:
            _bits(chosen, Path(folder))
        elif chosen.student:
            _student(chosen, Path(folder))
        else:
            _ways(chosen, Path(folder))


def _ways(chosen: argparse.Namespace, folder: Path) -> None:
    names = WAYS if chosen.ways == ",".join(WAYS) else [each.strip() for each in chosen.ways.split(";")]
    columns = [
        "way",
        chosen.metric,
        "MB",
        "parameters",
        "multiply-adds",
        "ms at 1",
        "ms at 32",
        "exported: ms at 1, 32",
    ]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    is_first = True
    for number, name in enumerate(names):
        way = WAYS[name]
        given = {**way, "epochs": chosen.epochs} if set(way) & set(TUNED) or way["method"] == "early-exit" else way
        try:
            result = compress(chosen.run, given, out=folder / str(number))
        except DeepenError as error:
            print(f"| {name} | {error} |")
            continue
        if is_first:
            _line("as it was", result, 0, chosen, Path(chosen.run))
            is_first = False
        _line(name, result, -1, chosen, result.folder)


def _line(name: str, result: CompressResult, stage: int, chosen: argparse.Namespace, run: Path) -> None:
    found = result.stages[stage]
    cost = found.cost
    cells = [
        name,
        f"{found.metrics[chosen.metric]:.4f}",
        f"{cost['size'] / 1e6:.3f}",
        f"{cost['parameters']:,.0f}",
        f"{cost['multiply_adds']:,.0f}",
        f"{cost['latency']:.2f}",
        f"{cost['latency32']:.2f}",
        _exported(run, chosen) if chosen.export else "",
    ]
    print(f"| {' | '.join(cells)} |", flush=True)


def _exported(run: Path, chosen: argparse.Namespace) -> str:
    """The engine that is fastest at one sample, its milliseconds, and how many times faster than eager it is."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = export(run, {"tolerance": 0.2}, out=Path(folder) / "file.onnx")
        except DeepenError as error:
            return str(error)
    eager = result.latency["eager"]
    engines = {name: times for name, times in result.latency.items() if name != "eager"}
    best = min(engines, key=lambda name: engines[name]["1"] / eager["1"] + engines[name]["32"] / eager["32"])
    times = engines[best]
    figure = result.after.get(chosen.metric)
    return f"{best} {times['1']:.2f}, {times['32']:.2f} ({chosen.metric} {figure:.4f})"


def _bits(chosen: argparse.Namespace, folder: Path) -> None:
    """Quality on validation by width, without tuning."""
    result = compress(chosen.run, {"method": "fixed-point"}, out=folder / "bits")
    print(f"| bits | {chosen.metric} |\n|---|---|")
    for bits, found in result.bits:
        print(f"| {bits} | {found[chosen.metric]:.4f} |")


def _student(chosen: argparse.Namespace, folder: Path) -> None:
    """A student alone, with its teacher, and with further inputs, each for as many passes."""
    teacher = loaded(chosen.run)
    print(f"| student | {chosen.metric} |\n|---|---|")
    print(f"| teacher, {teacher.header['model']} | {_metric(teacher.header['metrics'], chosen.metric):.4f} |")
    flat = rebuilt(teacher.header["task"], teacher.header["options"]).flat
    given = {"model": chosen.student, "epochs": int(chosen.epochs), "threads": chosen.threads, "seed": flat["seed"]}
    alone = train(teacher.header["task"], teacher.header["data"]["path"], given, out=folder / "alone")
    print(f"| {chosen.student} alone | {alone.metrics[chosen.metric]:.4f} |", flush=True)
    for inputs in ("none", "augment", "munge"):
        own = {"method": "distil", "student": chosen.student, "epochs": chosen.epochs, "unlabelled": inputs}
        result = compress(chosen.run, own, out=folder / inputs)
        print(f"| distilled, {inputs} | {result.stages[-1].metrics[chosen.metric]:.4f} |", flush=True)


def _metric(metrics: dict[str, Any], name: str) -> float:
    return float(metrics[metrics["of"]][name])


if __name__ == "__main__":
    main()
