"""How long the commands take that need no network and no data: `deepen --help` and `deepen list`."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

from bench.rounds import Contender, append, interleaved, say_machine, table
from deepen.core.clock import Stopwatch

AIM_SECONDS = 0.3


def main() -> None:
    """Measures and prints a table."""
    arguments = _arguments()
    say_machine()
    commands = {
        "deepen --help": [*_deepen(), "--help"],
        "deepen list": [*_deepen(), "list"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    contenders = [Contender(name, lambda command=command: _seconds(command)) for name, command in commands.items()]
    times = interleaved(contenders, rounds=arguments.rounds)
    print("\n" + _table(times), flush=True)
    append(arguments.out, {"bench": "startup", "seconds": times})


def _deepen() -> list[str]:
    """The installed command of this environment, or the package where it is not installed."""
    installed = Path(sys.executable).parent / "deepen"
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "deepen"]


def _seconds(command: list[str]) -> float:
    watch = Stopwatch()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return watch.seconds()


def _table(times: dict[str, list[float]]) -> str:
    rows = [
        [
            name,
            f"{statistics.median(seconds):.3f} ({min(seconds):.3f} to {max(seconds):.3f})",
            f"< {AIM_SECONDS}" if name.startswith("deepen") else "",
        ]
        for name, seconds in times.items()
    ]
    return table(["command", "seconds, median (least to most)", "aim"], rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.startup", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--out", help="a file that gets one JSON line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
