"""Default against tuned, at a budget of one epoch: validation chooses, the test split says what was gained.

    python -m bench.tune                          Adult and Fashion-MNIST
    python -m bench.tune digits --trials 6        to try it

One `deepen tune` per data set and seed, in build/tune; started again, it goes on where it was stopped. What is printed
is the objective and the accuracy of the first trial (the recipe at that budget) and of the best one, on both splits,
and the seconds of all trials together. The gain on the test split is the one that counts: that on validation is what
was selected for. Over several seeds each has another split, another start and another search.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.places import ROOT, data_set
from deepen.cli.output import table
from deepen.cli.terminal import Terminal
from deepen.verbs.tune import tune

OUT = ROOT / "build" / "tune"


@dataclass(frozen=True)
class Problem:
    """A training to tune.

    data     a data set's folder and, where it is one, the file in it; "digits" comes with deepen
    options  the training's, by dotted name
    """

    name: str
    task: str
    data: str
    options: dict[str, Any]

    def path(self) -> str | Path:
        """Where the data are. Ends the script with one sentence if they are not there."""
        if self.data == "digits":
            return self.data
        folder, _, file = self.data.partition("/")
        return data_set(folder) / file if file else data_set(folder)


PROBLEMS = {
    each.name: each
    for each in (
        Problem("adult", "tabular-classification", "adult/adult.data", {"header": False, "target": "column15"}),
        Problem("fashion", "image-classification", "fashion_mnist", {"model": "lenet"}),
        Problem("fashion-wren", "image-classification", "fashion_mnist", {"model": "wren"}),
        Problem("digits", "image-classification", "digits", {"model": "lenet"}),
    )
}
USUAL = ("adult", "fashion")


def main() -> None:
    """Parses the command line, tunes, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "problems", nargs="*", metavar="NAME", help=f"of {', '.join(PROBLEMS)}; default: {' '.join(USUAL)}"
    )
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", default="0", help="separated by commas")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=None)
    arguments = parser.parse_args()
    unknown = set(arguments.problems) - set(PROBLEMS)
    if unknown:
        sys.exit(f"{', '.join(sorted(unknown))}: no such problem; there is: {', '.join(PROBLEMS)}.")
    rows = []
    for name in arguments.problems or USUAL:
        seeds = [int(seed) for seed in arguments.seeds.split(",")]
        found = [_tuned(PROBLEMS[name], seed, arguments) for seed in seeds]
        rows += [row for rows_of_seed in found for row in rows_of_seed]
        rows += _means(name, found)
    print(table(["problem", "seed", "figure", "default", "best", "difference", "trials", "early", "seconds"], rows))


def _tuned(problem: Problem, seed: int, arguments: argparse.Namespace) -> list[list[Any]]:
    given = {**problem.options, "epochs": arguments.epochs, "seed": seed}
    if arguments.threads is not None:
        given["threads"] = arguments.threads
    out = OUT / f"{problem.name}-{arguments.epochs}-{seed}"
    result = tune(problem.task, problem.path(), given, trials=arguments.trials, out=out, events=Terminal())
    early = sum(each.state == "pruned" for each in result.trials)
    took = sum(each.seconds for each in result.trials)
    rows = []
    for split in ("val", "test"):
        default, best = (result.metrics[which].get(split, {}) for which in ("default", "best"))
        for figure in dict.fromkeys((result.objective[0], "accuracy")):
            before, after = default.get(figure), best.get(figure)
            if before is not None and after is not None:
                counts = [len(result.trials), early, round(took)]
                rows.append([problem.name, str(seed), f"{split} {figure}", before, after, after - before, *counts])
    return rows


def _means(name: str, found: Sequence[list[list[Any]]]) -> list[list[Any]]:
    """The mean over seeds of each figure, and the standard deviation of the difference."""
    if len(found) < 2:
        return []
    rows = []
    for same in zip(*found, strict=True):
        default, best, gain = (statistics.fmean(row[column] for row in same) for column in (3, 4, 5))
        spread = statistics.stdev(row[5] for row in same)
        rows.append([name, f"mean, gain ± {spread:.4f}", same[0][2], default, best, gain, None, None, None])
    return rows


if __name__ == "__main__":
    main()
