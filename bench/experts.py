"""How long answers take where a row computes only what was chosen for it, beside the same weights computed densely.

    python -m bench.experts [--rounds 20] [--out FILE]

Each mixture and each tree is timed in turns with two others in one process on one thread:
    soft    the same network, all of whose experts or leaves are computed and weighted
    dense   a plain perceptron, or a plain Transformer, of as many parameters
The last is what somebody would train instead. Ratios are above 1 where choosing is faster.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.rounds import Contender, interleaved, ratio
from deepen.models import mlp, neural_tree, transformer_classifier
from deepen.nn.shapes import ImageShape, TextShape
from deepen.nn.summary import num_parameters

IMAGE, TEXT = ImageShape(1, 28, 28), TextShape(1000, longest=64)
LEAST_SECONDS = 0.02  # of a measurement


@dataclass(frozen=True)
class Trio:
    """Three networks for the same inputs: one that chooses, the same one soft, and a plain one of like size."""

    name: str
    hard: nn.Module
    soft: nn.Module
    dense: nn.Module
    inputs: Callable[[int], tuple[Tensor, ...]]


def images(count: int) -> tuple[Tensor, ...]:
    """Random images."""
    return (torch.randn(count, IMAGE.channels, IMAGE.height, IMAGE.width),)


def texts(count: int) -> tuple[Tensor, ...]:
    """Random texts of full length."""
    return torch.randint(2, 1000, (count, 64)), torch.ones(count, 64, dtype=torch.bool)


def mixture(experts: int, gate: mlp.Gate, hidden: tuple[int, ...] = (256, 128)) -> Trio:
    """Perceptrons; the dense one's hidden layers are wider until it has as many parameters."""

    def built(which: mlp.Gate) -> nn.Module:
        return mlp.build("mlp", IMAGE, 10, mlp.Options(hidden=hidden, experts=experts, gate=which))

    hard, soft = built(gate), built("soft")
    soft.load_state_dict(hard.state_dict())
    return Trio(f"mlp, {experts} experts, {gate}", hard, soft, perceptron(num_parameters(hard)), images)


def tree(depth: int, leaf_hidden: int) -> Trio:
    """Trees."""

    def built(routing: str) -> nn.Module:
        options = neural_tree.Options(depth=depth, leaf_hidden=leaf_hidden, routing=routing)  # type: ignore[arg-type]
        return neural_tree.build("neural-tree", IMAGE, 10, options)

    hard, soft = built("hard"), built("soft")
    soft.load_state_dict(hard.state_dict())
    name = f"neural-tree, depth {depth}, leaf-hidden {leaf_hidden}"
    return Trio(name, hard, soft, perceptron(num_parameters(hard)), images)


def transformer(experts: int, gate: mlp.Gate) -> Trio:
    """Transformers; the dense one's feed-forward networks are as wide as all experts together."""

    def built(hidden: int, experts: int, which: mlp.Gate) -> nn.Module:
        options = transformer_classifier.Options(hidden=hidden, experts=experts, gate=which)
        return transformer_classifier.build("transformer-encoder", TEXT, 7, options)

    hard, soft = built(256, experts, gate), built(256, experts, "soft")
    soft.load_state_dict(hard.state_dict())
    name = f"transformer-encoder, {experts} experts, {gate}"
    return Trio(name, hard, soft, built(256 * experts, 0, "top1"), texts)


def perceptron(parameters: int) -> nn.Module:
    """The smallest one with layers of 2 w and w units that has at least as many parameters."""
    width = next(w for w in range(1, 10_000) if 784 * 2 * w + 2 * w * w + 13 * w + 10 >= parameters)
    return mlp.build("mlp", IMAGE, 10, mlp.Options(hidden=(2 * width, width)))


def seconds(model: nn.Module, inputs: tuple[Tensor, ...]) -> float:
    """Of one call, from as many as take LEAST_SECONDS."""
    with torch.inference_mode():
        model(*inputs)
        calls, began = 0, time.perf_counter()
        while (taken := time.perf_counter() - began) < LEAST_SECONDS or calls == 0:
            model(*inputs)
            calls += 1
    return taken / calls


def measured(trio: Trio, batch: int, rounds: int) -> dict[str, object]:
    """Milliseconds of the three, and how many times as long as choosing the others took."""
    inputs = trio.inputs(batch)
    models = {"hard": trio.hard.eval(), "soft": trio.soft.eval(), "dense": trio.dense.eval()}
    contenders = [Contender(name, lambda model=model: seconds(model, inputs)) for name, model in models.items()]
    times = interleaved(contenders, rounds=rounds)
    return {
        "network": trio.name,
        "parameters": num_parameters(trio.hard),
        "batch": batch,
        **{f"{name}_ms": round(1e3 * sorted(each)[len(each) // 2], 3) for name, each in times.items()},
        "soft": str(ratio(times["soft"], times["hard"])),
        "dense": str(ratio(times["dense"], times["hard"])),
    }


def main() -> None:
    """Prints a table; writes JSON lines with --out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    trios = [
        lambda: mixture(8, "top1"),
        lambda: mixture(8, "top2"),
        lambda: mixture(32, "top1"),
        lambda: transformer(8, "top1"),
        lambda: transformer(8, "top2"),
        lambda: tree(5, 32),
        lambda: tree(7, 32),
        lambda: tree(7, 0),
        lambda: tree(12, 0),
    ]
    found = []
    print(
        "| network | parameters | batch | ms | soft, times as long | dense, times as long |\n|---|---|---|---|---|---|"
    )
    for make in trios:
        trio = make()
        for batch in (1, 32, 256) if trio.inputs is images else (1, 32):
            row = measured(trio, batch, arguments.rounds)
            found.append(row)
            columns = ("network", "parameters", "batch", "hard_ms", "soft", "dense")
            print("| " + " | ".join(str(row[name]) for name in columns) + " |", flush=True)
    if arguments.out:
        arguments.out.write_text("".join(json.dumps(row) + "\n" for row in found), "utf-8")


if __name__ == "__main__":
    main()
