"""`deepen evaluate RUN [DATA]`: the figures of merit of a run, on its own test split or on other data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from deepen.cli.arguments import parse, take, wants_help
from deepen.cli.output import say, table, write, write_json
from deepen.cli.pages import verb_page
from deepen.cli.reading import (
    Cascade,
    Ensemble,
    Running,
    cascade_of,
    exported_file,
    others_of,
    run_folders,
    using_groups,
    weights_of,
)
from deepen.cli.terminal import Terminal
from deepen.core.errors import EXIT_DONE, RunError
from deepen.core.faults import grouped
from deepen.core.options import fields_of
from deepen.core.units import plural

if TYPE_CHECKING:
    from deepen.runtime.evaluation import CascadeFigures, EvaluationResult

SUMMARY = "score a run on its own test split, or on other data"
USAGE = "deepen evaluate RUN [DATA] [--options]"
EXAMPLES = (
    "deepen evaluate runs/digits-lenet",
    "deepen evaluate runs/photos-resnet18 photos/test --json",
    "deepen evaluate runs/digits-lenet --with runs/digits-mlp",
    "deepen evaluate runs/digits-mlp --then runs/digits-lenet --accuracy -0.2%",
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
        write(verb_page(SUMMARY, USAGE, EXAMPLES, (Own, Ensemble, Cascade, Running, *using_groups())))
        return EXIT_DONE
    groups = using_groups()
    arguments = parse(argv, fields_of(Own, Ensemble, Cascade, Running, *groups))
    words = arguments.words if len(arguments.words) != 1 else (*arguments.words, "")
    folder, data = take(words, ("RUN", "[DATA]"), usage=USAGE)
    given = arguments.only(fields_of(*groups))
    own = arguments.values
    weights, cascade, skip_bad = weights_of(own), cascade_of(own), own.get("skip_bad", False)
    if exported_file(folder, others_of(own)):
        if not data:
            raise RunError(f"{folder}: holds no data of its own; name the data to evaluate on.")

        from deepen.runtime import load

        program = load(folder, engine=own.get("engine", "auto"), threads=own.get("threads"))
        result = program.evaluate(data, given, skip_bad=skip_bad, flags=True)
    else:
        runs = run_folders(folder, others_of(own))

        from deepen.verbs.evaluate import evaluate

        result = evaluate(
            runs, data or None, given, weights=weights, skip_bad=skip_bad, flags=True, events=Terminal(), **cascade
        )
    say("\n".join([result.layout, *(group.sentence() for group in grouped(result.faults))]))
    write_json(as_json(result)) if arguments.values.get("json") else write(as_text(result))
    return EXIT_DONE


def as_json(result: EvaluationResult) -> dict[str, Any]:
    """The figures, their intervals, the number of samples, what they are over; of several runs how they answer."""
    names = ("metrics", "intervals", "count", "split", "layout", *(("weights",) if result.weights else ()))
    found = {name: getattr(result, name) for name in names}
    told = result.cascade
    return found if told is None else {**found, "cascade": {**asdict(told), "lost": told.lost, "saved": told.saved}}


def as_text(result: EvaluationResult) -> str:
    """One row per figure, with its interval where there is one."""
    columns = ["metric", "value", "low", "high"]
    rows = [[name, value, *_interval(result.intervals.get(name))] for name, value in result.metrics.items()]
    counted = f"\nthe runs count {', '.join(f'{each:.3f}' for each in result.weights)}" if result.weights else ""
    told = f"\n\n{_told(result.cascade)}" if result.cascade else ""
    return f"{table(columns, rows)}\n{_over(result)}{counted}{told}"


def _told(cascade: CascadeFigures) -> str:
    """One row per run and one of the cascade, and what is saved and lost."""
    columns = ["run", "threshold", "asked", "accuracy", "ms a sample"]
    rows = [
        [each.run, each.threshold, f"{each.asked:.1%}", each.accuracy, f"{1000 * each.seconds:.4f}"]
        for each in cascade.stages
    ]
    rows.append(["the cascade", None, "", cascade.accuracy, f"{1000 * cascade.seconds:.4f}"])
    thresholds = ",".join(repr(each.threshold) for each in cascade.stages[:-1])
    time = f"{abs(cascade.saved):.1%} of the time {'saved' if cascade.saved >= 0 else 'more'}"
    accuracy = f"{abs(cascade.lost):.4f} of accuracy {'lost' if cascade.lost >= 0 else 'won'}"
    return (
        f"{table(columns, rows)}\nagainst the last run alone: {time}, {accuracy}\n"
        f"the same again without validation: --thresholds {thresholds}"
    )


def _over(result: EvaluationResult) -> str:
    interval = "; low and high bound a 95 % interval" if result.intervals else ""
    return f"over {plural(result.count, 'sample')} ({result.split}){interval}"


def _interval(interval: tuple[float, float] | None) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else (interval[0], interval[1])
