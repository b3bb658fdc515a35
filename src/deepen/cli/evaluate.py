"""`deepen evaluate RUN [DATA]`: the figures of merit of a run, on its own test split or on other data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deepen.cli.arguments import parse, take, wants_help
from deepen.cli.output import say, table, write, write_json
from deepen.cli.pages import verb_page
from deepen.cli.reading import Ensemble, Running, exported_file, run_folders, using_groups, weights_of
from deepen.core.errors import EXIT_DONE, RunError
from deepen.core.faults import grouped
from deepen.core.options import fields_of
from deepen.core.units import plural

if TYPE_CHECKING:
    from deepen.runtime.evaluation import EvaluationResult

SUMMARY = "score a run on its own test split, or on other data"
USAGE = "deepen evaluate RUN [DATA] [--options]"
EXAMPLES = (
    "deepen evaluate runs/digits-lenet",
    "deepen evaluate runs/photos-resnet18 photos/test --json",
    "deepen evaluate runs/digits-lenet --with runs/digits-mlp",
    "deepen evaluate photos.onnx photos/test",
    "deepen evaluate runs/wiki-lstm --with runs/wiki-ngram --learn-weights",
)


@dataclass(frozen=True)
class Own:
    """This command"""

    skip_bad: bool = field(default=False, metadata={"help": "leave out samples that cannot be used, and count them"})
    json: bool = field(default=False, metadata={"help": "print the result as one JSON object"})


def run(argv: list[str]) -> int:
    """Scores the run; the exit code."""
    if wants_help(argv):
        write(verb_page(SUMMARY, USAGE, EXAMPLES, (Own, Ensemble, Running, *using_groups())))
        return EXIT_DONE
    groups = using_groups()
    arguments = parse(argv, fields_of(Own, Ensemble, Running, *groups))
    words = arguments.words if len(arguments.words) != 1 else (*arguments.words, "")
    folder, data = take(words, ("RUN", "[DATA]"), usage=USAGE)
    given = arguments.only(fields_of(*groups))
    own = arguments.values
    weights, skip_bad = weights_of(own), own.get("skip_bad", False)
    if exported_file(folder, own.get("ensemble", ())):
        if not data:
            raise RunError(f"{folder}: holds no data of its own; name the data to evaluate on.")

        from deepen.runtime import load

        program = load(folder, engine=own.get("engine", "auto"), threads=own.get("threads"))
        result = program.evaluate(data, given, skip_bad=skip_bad, flags=True)
    else:
        runs = run_folders(folder, own.get("ensemble", ()))

        from deepen.verbs.evaluate import evaluate

        result = evaluate(runs, data or None, given, weights=weights, skip_bad=skip_bad, flags=True)
    say("\n".join([result.layout, *(group.sentence() for group in grouped(result.faults))]))
    write_json(as_json(result)) if arguments.values.get("json") else write(as_text(result))
    return EXIT_DONE


def as_json(result: EvaluationResult) -> dict[str, Any]:
    """The figures, their intervals, the number of samples, what they are over, and of several runs their weights."""
    names = ("metrics", "intervals", "count", "split", "layout", *(("weights",) if result.weights else ()))
    return {name: getattr(result, name) for name in names}


def as_text(result: EvaluationResult) -> str:
    """One row per figure, with its interval where there is one."""
    columns = ["metric", "value", "low", "high"]
    rows = [[name, value, *_interval(result.intervals.get(name))] for name, value in result.metrics.items()]
    counted = f"\nthe runs count {', '.join(f'{each:.3f}' for each in result.weights)}" if result.weights else ""
    return f"{table(columns, rows)}\n{_over(result)}{counted}"


def _over(result: EvaluationResult) -> str:
    interval = "; low and high bound a 95 % interval" if result.intervals else ""
    return f"over {plural(result.count, 'sample')} ({result.split}){interval}"


def _interval(interval: tuple[float, float] | None) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else (interval[0], interval[1])
