"""A cascade against its runs, `python -m bench.cascade SMALL LARGE`: accuracy and time on their common test split.

Each line is one wish on validation, by its thresholds; each run alone and each cascade scores the same samples in
turns, so that whatever else the machine does meets all alike. Times are of batches and networks, without reading files.
`--rows 1` asks one sample at a time, which is latency; by default as many together as `evaluate` takes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import torch

from bench.rounds import Contender, append, interleaved, ratio, say_machine, table
from deepen.core.errors import DeepenError
from deepen.engine.evaluate import evaluate
from deepen.parallel.ranks import Alone
from deepen.prepare.encoded import Encoded
from deepen.verbs.cascade import CascadeTask, cascade_of
from deepen.verbs.ensemble import Together
from deepen.verbs.evaluate import samples_for
from deepen.verbs.loaded import Loaded

WISHES = ("-0%", "-0.2%", "-0.5%", "-1%")


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.cascade", description=__doc__)
    parser.add_argument("runs", nargs="+", help="cheapest first")
    parser.add_argument(
        "--wishes", default=",".join(WISHES), help="accuracies; those that end in x are parts of the time"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=None, help="samples asked together")
    parser.add_argument("--samples", type=int, default=None, help="only the first so many of the test split")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="a file that gets the figures as a line of JSON")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    say_machine()
    members, whole = cascade_of(chosen.runs, {"thresholds": [1.0] * (len(chosen.runs) - 1)})
    table_of = samples_for(members, None, {}).table
    encoded = whole.task.encode(table_of.slice(0, chosen.samples), "test", [])
    assert isinstance(encoded, Together)
    sides: dict[str, tuple[Loaded, Encoded]] = {
        str(member.folder): (member, part) for member, part in zip(members, encoded.parts, strict=True)
    }
    for wish in chosen.wishes.split(","):
        given = {"cost_share": float(wish[:-1])} if wish.endswith("x") else {"accuracy": wish}
        try:
            _, cascade = cascade_of(chosen.runs, given)
        except DeepenError as error:
            print(f"{wish}: {error}")
            continue
        assert isinstance(cascade.task, CascadeTask)
        sides[f"{wish}: {', '.join(f'{each:.4f}' for each in cascade.task.thresholds)}"] = (cascade, encoded)
    _compare(sides, str(members[-1].folder), len(encoded), chosen)


def _compare(sides: dict[str, tuple[Loaded, Encoded]], reference: str, count: int, chosen: argparse.Namespace) -> None:
    """Every side scores all samples in every round."""
    accuracy: dict[str, float] = {}

    def timed(name: str) -> float:
        run, encoded = sides[name]
        start = time.perf_counter()
        found = evaluate(
            run.task, run.model, encoded, device=run.device, ranks=Alone(), batch_size=chosen.rows
        ).result()
        taken = time.perf_counter() - start
        accuracy[name] = found["accuracy"]
        return taken

    times = interleaved([Contender(name, lambda name=name: timed(name)) for name in sides], rounds=chosen.rounds)
    rows = []
    for name, own in times.items():
        found = ratio(own, times[reference])
        rows.append([name, f"{accuracy[name]:.4f}", f"{1000 * sorted(own)[len(own) // 2] / count:.4f}", str(found)])
        figures = {"side": name, "accuracy": accuracy[name], "seconds": own, "count": count, "rows": chosen.rows}
        append(chosen.out, figures)
    print(table(["run, or wish: thresholds", "accuracy", "ms a sample", "time of the last run"], rows))


if __name__ == "__main__":
    main()
