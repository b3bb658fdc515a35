"""An engine tried in a process of its own: one that crashes on a graph takes nothing else with it.

`tried` writes a graph and inputs into a folder of its own and starts this module, which runs the engine on them at each
size of batch and leaves outputs and milliseconds there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepen.core.errors import DeepenError
from deepen.runtime import engines

GRAPH, INPUTS, OUTPUTS, TIMES = "graph.onnx", "inputs.npz", "outputs.npy", "times.json"
SECONDS = 300
SIZES = (1, 32)


@dataclass(frozen=True)
class Trial:
    """What an engine gave.

    outputs       for all the inputs together, [B, ...]
    milliseconds  of a call, by size of batch
    """

    outputs: np.ndarray
    milliseconds: dict[str, float]


def tried(engine: str, content: bytes, arrays: Mapping[str, np.ndarray], *, threads: int) -> Trial | None:
    """The engine's outputs, or None where it is not installed, refuses the graph, crashes, or takes over five minutes.

    content  a graph that was found harmless
    arrays   the graph's inputs by name, each [B, ...] with at least one row
    """
    with tempfile.TemporaryDirectory(prefix="deepen-trial-") as name:
        folder = Path(name)
        (folder / GRAPH).write_bytes(content)
        np.savez(folder / INPUTS, **arrays)  # type: ignore[arg-type]
        command = [sys.executable, "-P", "-m", "deepen.runtime.trial", engine, str(folder), str(threads)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False, cwd=folder)
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode != 0:
            return None
        return Trial(np.load(folder / OUTPUTS, allow_pickle=False), json.loads((folder / TIMES).read_text("utf-8")))


def main(engine: str, folder: Path, threads: int) -> int:
    """Runs the engine; the exit code."""
    with np.load(folder / INPUTS, allow_pickle=False) as held:
        arrays = {name: held[name] for name in held.files}
    try:
        ready = engines.opened((folder / GRAPH).read_bytes(), place=GRAPH, engine=engine, threads=threads)  # type: ignore[arg-type]
    except DeepenError:
        return 2
    times = {}
    for size in SIZES:
        rows = np.arange(size) % len(next(iter(arrays.values())))
        times[str(size)] = engines.measured(ready, [np.ascontiguousarray(arrays[each][rows]) for each in ready.inputs])
    np.save(folder / OUTPUTS, ready.run([arrays[each] for each in ready.inputs]), allow_pickle=False)
    (folder / TIMES).write_text(json.dumps(times), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
