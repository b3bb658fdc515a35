"""How long commands take that do almost nothing: `deepen --help` and `deepen list`, which import no PyTorch.

python -m bench.startup --verbs    five updates of tiny trainings and what follows them too, beside `import torch`
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.rounds import Contender, append, interleaved, say_machine, table
from deepen.core.clock import Stopwatch

AIM_SECONDS = 0.3
MARK = "-NUMBER"  # in place of it each call gets a number of its own
NEW = "{}/new" + MARK
_numbers = itertools.count()


def main() -> None:
    """Measures and prints a table."""
    arguments = _arguments()
    say_machine()
    commands = {
        "deepen --help": [*_deepen(), "--help"],
        "deepen list": [*_deepen(), "list"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    with tempfile.TemporaryDirectory() as folder:
        if arguments.verbs:
            commands |= _verbs(folder)
        contenders = [Contender(name, lambda command=command: _seconds(command)) for name, command in commands.items()]
        times = interleaved(contenders, rounds=arguments.rounds)
    print("\n" + _table(times), flush=True)
    append(arguments.out, {"bench": "startup", "seconds": times})


def _verbs(folder: str) -> dict[str, list[str]]:
    """Commands on made-up data; `train` names its run anew each time, the others read one."""
    train = [*_deepen(), "train", "image-classification", "tiny", "--model", "lenet", "--threads", "1", "--steps", "5"]
    texts = [*_deepen(), "train", "text-classification", "tiny", "--threads", "1", "--steps", "5"]
    subprocess.run([*train, "--out", f"{folder}/run"], stdout=subprocess.DEVNULL, check=True)
    return {
        "deepen train image-classification tiny --model lenet --steps 5": [*train, "--out", NEW.format(folder)],
        "deepen train text-classification tiny --steps 5": [*texts, "--out", NEW.format(folder)],
        "deepen evaluate RUN": [*_deepen(), "evaluate", f"{folder}/run"],
        "deepen predict RUN tiny": [*_deepen(), "predict", f"{folder}/run", "tiny"],
        "deepen show resnet152": [*_deepen(), "show", "resnet152"],
        "python -c 'import torch'": [sys.executable, "-c", "import torch"],
    }


def _deepen() -> list[str]:
    """The installed command of this environment, or the package where it is not installed."""
    installed = Path(sys.executable).parent / "deepen"
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "deepen"]


def _seconds(command: list[str]) -> float:
    command = [f"{word[: -len(MARK)]}{next(_numbers)}" if word.endswith(MARK) else word for word in command]
    watch = Stopwatch()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return watch.seconds()


def _table(times: dict[str, list[float]]) -> str:
    rows = [
        [
            name,
            f"{statistics.median(seconds):.3f} ({min(seconds):.3f} to {max(seconds):.3f})",
            f"< {AIM_SECONDS}" if name in ("deepen --help", "deepen list") else "",
        ]
        for name, seconds in times.items()
    ]
    return table(["command", "seconds, median (least to most)", "aim"], rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.startup", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--verbs", action="store_true", help="measure tiny trainings and what follows them, too")
    parser.add_argument("--out", help="a file that gets one JSON line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
