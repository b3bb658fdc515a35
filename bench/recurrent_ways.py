"""The ways through one recurrent layer against each other: `python -m bench.recurrent_ways`.

Forward and backward on one thread, each way in turn, the fastest of many rounds in processor time.
Full rows: fused against step by step.
Rows of different lengths: as nn/recurrent.py does it, against packed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from deepen.nn.recurrent import Recurrent, _fused, _held, _packed, places_before, stepped
from deepen.nn.recurrent_cells import Kind

ROUNDS = 25
SHAPES = ((20, 35, 200), (32, 25, 100), (64, 40, 128))
KINDS: tuple[Kind, ...] = ("lstm", "gru", "rnn")


def main() -> int:
    """Prints a line for each shape and kind: milliseconds, and ratios to the first way."""
    torch.set_num_threads(1)
    print("B, T, H       kind  fused ms  stepped   | unequal: held ms  packed")
    for batch_size, num_places, width in SHAPES:
        for kind in KINDS:
            fused, steps, held, packed = _measured(kind, batch_size, num_places, width)
            shape = f"{batch_size}, {num_places}, {width}"
            print(f"{shape:13} {kind:5} {fused:8.2f}  x {steps / fused:5.2f}   | {held:16.2f}  x {packed / held:.2f}")
    return 0


def _measured(kind: Kind, batch_size: int, num_places: int, width: int) -> list[float]:
    torch.manual_seed(0)
    network = Recurrent(kind, width, width)
    layer = network.ahead[0]
    assert isinstance(layer, torch.nn.RNNBase)
    x = torch.randn(batch_size, num_places, width)
    state = tuple(each[:, 0] for each in network.initial_state(batch_size))
    lengths = torch.randint(num_places // 2, num_places + 1, (batch_size,))
    valid = places_before(lengths, num_places)
    ways: list[Callable[[], Tensor]] = [
        lambda: _fused(layer, kind, x, state)[0],
        lambda: stepped(layer, kind, x, None, state)[0],
        lambda: _held(layer, kind, x, valid, state)[0],
        lambda: _packed(layer, kind, x, valid, state)[0],
    ]
    best = [float("inf")] * len(ways)
    for _ in range(ROUNDS):
        for index, way in enumerate(ways):
            start = time.process_time()
            way().square().sum().backward()
            best[index] = min(best[index], 1000 * (time.process_time() - start))
    return best


if __name__ == "__main__":
    sys.exit(main())
