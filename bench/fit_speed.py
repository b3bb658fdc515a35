"""How fast `engine.fit` trains on Fashion-MNIST, against a bare loop, a DataLoader, Keras and Lightning.

All contenders take turns in one process: each round, each of them trains a fresh network for the same number of steps
after a few that are not counted, and each round begins with another one. Evaluation is left out for all. What is
compared are ratios within a round.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence

import torch

from bench import fashion, loops, peers
from bench.places import data_set
from bench.rounds import Contender, append, interleaved, ratio, say_machine, table

AIMS = {"bare": "<= 1.05", "DataLoader": ">= 3 (lenet)", "Keras": ">= 1.5 (lenet)", "Lightning": ">= 1.5 (lenet)"}


def main() -> None:
    """Measures and prints a table for each network."""
    arguments = _arguments()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    say_machine()
    for model in arguments.models:
        measure(model, arguments)


def measure(model: str, arguments: argparse.Namespace) -> None:
    """One network: all contenders in turns, then a table of them."""
    data = data_set("fashion_mnist", arguments.data)
    problem, recipe = fashion.problem(data, model), fashion.problem(data, model, recipe=True)
    contenders = _contenders(problem, recipe, arguments)
    times = interleaved(contenders, rounds=arguments.rounds)
    print(
        f"\n{model}, batches of {problem.options.batch_size}, {len(problem.labels):,} images an epoch; "
        f"{arguments.rounds} rounds of {arguments.steps} steps each\n"
    )
    print(_table(times, arguments.steps, problem.steps_per_epoch), flush=True)
    record = {"bench": "fit_speed", "model": model, "steps": arguments.steps, "seconds": times}
    append(arguments.out, record)


def _contenders(problem: fashion.Problem, recipe: fashion.Problem, arguments: argparse.Namespace) -> list[Contender]:
    steps = arguments.steps
    found, missing = ([], ["keras", "lightning"]) if arguments.no_peers else peers.available(problem, steps)
    if missing:
        why = "as asked" if arguments.no_peers else "not installed here; `make bench` has an environment with them"
        print(f"left out: {' and '.join(missing)} ({why})")
    return [
        loops.deepen(problem, steps),
        loops.bare(problem, steps),
        loops.deepen(recipe, steps, "deepen, its whole recipe"),
        loops.data_loader(problem, steps),
        *found,
    ]


def _table(times: Mapping[str, Sequence[float]], steps: int, steps_per_epoch: int) -> str:
    reference = times["deepen"]
    rows = []
    for name, seconds in times.items():
        epoch = statistics.median(seconds) / steps * steps_per_epoch
        aim = next((aim for start, aim in AIMS.items() if name.startswith(start)), "")
        of_bare = name.startswith("bare")
        compared = ratio(reference, seconds) if of_bare else ratio(seconds, reference)
        what = "deepen / it" if of_bare else "it / deepen"
        rows.append([name, f"{epoch:.2f}", "" if name == "deepen" else f"{what} {compared}", aim])
    return table(["contender", "seconds per epoch", "time, median (least to most)", "aim"], rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.fit_speed", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", nargs="?", help="the folder of Fashion-MNIST")
    parser.add_argument("--models", nargs="+", default=["lenet", "wren"], help="deepen's networks")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=150, help="timed steps of each contender in a round")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch; default: its own choice")
    parser.add_argument("--no-peers", action="store_true", help="leave Keras and Lightning out")
    parser.add_argument("--out", help="a file that gets one JSON line for each network")
    return parser.parse_args()


if __name__ == "__main__":
    main()
