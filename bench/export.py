"""What an export costs beside one made by hand: `python -m bench.export [--models wren,resnet18] [--rounds 15]`.

For each network on pictures of 3 x 32 x 32, in one process, in turns, on one thread, at batches of 1 and 32:

    eager        the network in PyTorch, on pixels that are normalized before the clock starts
    by hand      torch.onnx.export of that network as anyone would, run by ONNX Runtime on the same pixels
    deepen       our graph, from uint8 pixels, the normalization inside, run by ONNX Runtime
    by hand + n  "by hand" with the normalization in numpy on the clock, which is what it takes from the same pixels

The aim: deepen is no slower than "by hand + n", and as fast as "by hand" but for the normalization.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch

from deepen.engine.task import Exported
from deepen.export.graph import onnx_model, traced
from deepen.models import lenet, resnet, wren
from deepen.nn.shapes import ImageShape
from deepen.prepare.image_graph import ImageGraph, examples
from deepen.runtime import engines

MODELS = {"lenet": lenet, "wren": wren, "resnet18": resnet}
STATE = {"size": [32, 32], "channels": 3, "mean": [0.49, 0.48, 0.45], "std": [0.25, 0.24, 0.26], "normalize": "mean"}
BATCHES = (1, 32)


def main(argv: list[str]) -> int:
    """Prints a line for each network and batch: milliseconds, and the ratio within a round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="lenet,wren,resnet18")
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args(argv)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print("network   batch  eager ms  by hand  by hand + n   deepen   deepen / by hand (least..most)")
    for name in chosen.models.split(","):
        for batch, line in rows(name, chosen.rounds):
            print(f"{name:9} {batch:5}  {line}", flush=True)
    return 0


def rows(name: str, rounds: int) -> list[tuple[int, str]]:
    """The lines of a network."""
    torch.manual_seed(0)
    network = MODELS[name].build(name, ImageShape(3, 32, 32), 10).eval()
    theirs, ours = by_hand(network), by_deepen(network)
    scale = 1 / (255 * np.array(STATE["std"], np.float32).reshape(1, 3, 1, 1))
    shift = -np.array(STATE["mean"], np.float32).reshape(1, 3, 1, 1) / np.array(STATE["std"], np.float32).reshape(
        1, 3, 1, 1
    )
    found = []
    for batch in BATCHES:
        pixels = np.random.default_rng(0).integers(0, 256, (batch, 32, 32, 3)).astype(np.uint8)
        floats = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2) * scale + shift)
        tensor = torch.from_numpy(floats).contiguous(memory_format=torch.channels_last)

        def eager(tensor: torch.Tensor = tensor) -> np.ndarray:
            with torch.inference_mode():
                return network(tensor).numpy()

        ways: list[Callable[[], np.ndarray]] = [
            eager,
            lambda floats=floats: theirs.run([floats]),
            lambda pixels=pixels: theirs.run([np.ascontiguousarray(pixels.transpose(0, 3, 1, 2) * scale + shift)]),
            lambda pixels=pixels: ours.run([pixels]),
        ]
        own = ways[0]()
        assert all(np.abs(way() - own).max() <= 1e-3 * max(1.0, np.abs(own).max()) for way in ways), name
        taken = in_turns(ways, rounds)
        ratio = taken[:, 3] / taken[:, 1]
        middle = np.median(taken, 0)
        times = f"{middle[0]:8.3f}  {middle[1]:7.3f}  {middle[2]:11.3f}  {middle[3]:7.3f}"
        found.append((batch, f"{times}   {np.median(ratio):.3f} ({ratio.min():.3f}..{ratio.max():.3f})"))
    return found


def by_hand(network: torch.nn.Module) -> engines.Engine:
    """The exporter's own words, as its documentation has them."""
    written = torch.onnx.export(
        network,
        (torch.zeros(2, 3, 32, 32),),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        opset_version=20,
        verbose=False,
    )
    assert written is not None
    held = io.BytesIO(written.model_proto.SerializeToString())
    return engines.opened(held.getvalue(), place="by hand", engine="onnxruntime", threads=1)


def by_deepen(network: torch.nn.Module) -> engines.Engine:
    """What `deepen export` writes."""
    wanted = Exported(
        network=ImageGraph(network, STATE).eval(),
        inputs=examples(STATE),
        free={"pixels": {0: "batch"}},
        preparation={},
        answer={},
        outputs=lambda model, batch: model(batch["pixels"]),
    )
    content = onnx_model(traced(wanted, place="deepen", for_onnx=True), wanted, place="deepen")
    return engines.opened(content, place="deepen", engine="onnxruntime", threads=1)


def in_turns(ways: list[Callable[[], np.ndarray]], rounds: int) -> np.ndarray:
    """Milliseconds [rounds, ways]: in each round every way is called for 0.1 s, another first; one is lost."""
    taken = np.zeros((rounds + 1, len(ways)))
    for turn in range(rounds + 1):
        for place in range(len(ways)):
            index = (turn + place) % len(ways)
            calls, start = 0, time.process_time()
            while calls < 2 or time.process_time() - start < 0.1:
                ways[index]()
                calls += 1
            taken[turn, index] = 1000 * (time.process_time() - start) / calls
    return taken[1:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
