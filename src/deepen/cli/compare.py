"""`deepen compare RUN RUN...`: runs side by side on the same samples, and whether their difference is real."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deepen.cli.arguments import parse, wants_help
from deepen.cli.output import cell, say, table, write, write_json
from deepen.cli.pages import verb_page
from deepen.cli.reading import run_folders, using_groups
from deepen.core.errors import EXIT_DONE, OptionError
from deepen.core.options import fields_of

if TYPE_CHECKING:
    from deepen.report.comparison import Comparison, Side

SUMMARY = "compare runs on the same samples, and test whether the difference is real"
USAGE = "deepen compare RUN RUN... [--data DATA] [--out PAGE.html] [--options]"
EXAMPLES = (
    "deepen compare runs/digits-lenet runs/digits-mlp --out comparison.html",
    "deepen compare runs/photos-resnet18 runs/photos-wren --data photos/test",
    "deepen compare runs/adult-tabm-folds runs/adult-mlp-folds",
)
NOTE = (
    "Without --data the runs are compared on the test split that they have in common, and folders of --folds fold by\n"
    "fold. On --data the folds of such a folder answer as one ensemble."
)


@dataclass(frozen=True)
class Own:
    """This command"""

    data: str | None = field(
        default=None, metadata={"help": "the samples to compare on; default: the runs' common test split"}
    )
    out: str | None = field(
        default=None, metadata={"help": "write the comparison as a page: a name that ends in .html"}
    )
    skip_bad: bool = field(default=False, metadata={"help": "leave out samples that cannot be used, and count them"})
    json: bool = field(default=False, metadata={"help": "print the comparison as one JSON object"})


def run(argv: list[str]) -> int:
    """Compares; the exit code."""
    if wants_help(argv):
        write(verb_page(SUMMARY, USAGE, EXAMPLES, (Own, *using_groups()), notes=(NOTE,)))
        return EXIT_DONE
    groups = using_groups()
    arguments = parse(argv, fields_of(Own, *groups))
    own = arguments.values
    if len(arguments.words) < 2:
        raise OptionError(f"{'a second RUN' if arguments.words else 'RUN'} is missing; usage: {USAGE}")
    out = own.get("out")
    if out is not None and not out.lower().endswith((".html", ".htm")):
        raise OptionError(f"--out {out}: expected a name that ends in .html.")
    run_folders(*arguments.words[:1], arguments.words[1:])

    from deepen.verbs.compare import compare

    given = arguments.only(fields_of(*groups))
    skip_bad = own.get("skip_bad", False)
    found = compare([*arguments.words], own.get("data"), given, out=out, skip_bad=skip_bad, flags=True)
    say("\n".join(found.warnings))
    write_json(as_json(found)) if own.get("json") else write(as_text(found))
    if out is not None:
        say(f"the comparison as a page: {out}")
    return EXIT_DONE


def as_json(found: Comparison) -> dict[str, Any]:
    """All of it but the curves, which stand in the runs' own metrics.jsonl."""
    from deepen.report.comparison import NO_OPTION

    runs = [_fields(side, leave=("history", "options")) for side in found.runs]
    pairs = [{**_fields(pair, leave=("difference",)), **_fields(pair.difference)} for pair in found.pairs]
    options = {
        name: [None if value is NO_OPTION else value for value in values] for name, values in found.options.items()
    }
    return {
        **{name: getattr(found, name) for name in ("task", "layout", "over", "count", "objective")},
        "runs": runs,
        "pairs": pairs,
        "options": options,
        "sentences": found.sentences(),
        "notes": found.notes,
    }


def as_text(found: Comparison) -> str:
    """Figures, size and speed, and differing options in one table, then the differences, then what to make of them."""
    from deepen.report.comparison import cost_rows, figure_names, options_table, pairs_table

    names = [run.name for run in found.runs]
    rows: list[list[Any]] = [[name, *(_figure(run, name) for run in found.runs)] for name in figure_names(found)]
    rows += [row for row in cost_rows(found) if len(set(row[1:])) > 1 or row[0] != "model"]
    rows += [row for row in options_table(found).rows if row[0] != "model"]
    parts = [table(["", *names], rows), f"over {found.over}; in brackets 95 % intervals, the best run first"]
    if found.pairs:
        tests = pairs_table(found)
        parts += ["", table(tests.columns, tests.rows)]
    return "\n".join([*parts, "", *found.sentences(), *found.notes])


def _figure(run: Side, name: str) -> str:
    value = run.metrics.get(name)
    if value is None:
        return "–"
    ends = run.intervals.get(name)
    return f"{cell(value)} ({cell(ends[0])} to {cell(ends[1])})" if ends else cell(value)


def _fields(value: Any, *, leave: tuple[str, ...] = ()) -> dict[str, Any]:
    return {each.name: getattr(value, each.name) for each in dataclasses.fields(value) if each.name not in leave}
