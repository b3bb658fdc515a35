"""`deepen train TASK DATA`: a run folder."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Any

from deepen.cli.arguments import Arguments, parse, take, wants_help
from deepen.cli.output import table, write, write_json
from deepen.cli.pages import names_block, verb_page
from deepen.cli.tasks import known_model, known_task, recipe, task_word, training_groups
from deepen.cli.terminal import Terminal
from deepen.core import names
from deepen.core.errors import EXIT_DONE
from deepen.core.options import fields_of

SUMMARY = "train a model on data; makes a run folder and prints its path last"
USAGE = "deepen train TASK DATA [--options]"
EXAMPLES = (
    "deepen train image-classification digits",
    "deepen train image-classification photos/ --model resnet18 --time 10m",
    "deepen train image-classification photos/ --out runs/mine --resume",
    "deepen train tabular-regression houses.csv --target price --folds 5",
)


@dataclass(frozen=True)
class Own:
    """This command"""

    out: str | None = field(default=None, metadata={"help": "the run folder to make; else runs/DATA-MODEL"})
    resume: bool = field(
        default=False, metadata={"help": "go on with the run in --out, where it was killed or stopped"}
    )
    config: str | None = field(default=None, metadata={"help": "a JSON file of options, or another run's folder"})
    skip_bad: bool = field(default=False, metadata={"help": "leave out samples that cannot be used, and count them"})
    tensorboard: bool = field(default=False, metadata={"help": "write event files for TensorBoard into the run"})
    folds: int | None = field(
        default=None,
        metadata={"help": "cross-validate: this many runs, each tested on another part of the data", "least": 2},
    )
    json: bool = field(default=False, metadata={"help": "print the result as one JSON object"})


def run(argv: list[str]) -> int:
    """Trains; the exit code."""
    if wants_help(argv):
        write(page(argv))
        return EXIT_DONE
    task = known_task(argv, USAGE)
    groups = training_groups(task, known_model(argv))
    arguments = parse(argv, fields_of(Own, *groups))
    _, data = take(arguments.words, ("TASK", "DATA"), usage=USAGE)
    _train(task, data, arguments, groups, shlex.join(["deepen", "train", *argv]))
    return EXIT_DONE


def page(argv: list[str]) -> str:
    """The help: with a task, all of its options; without, which tasks there are."""
    if task_word(argv) is None:
        tasks = names_block("tasks:", [(name, named.summary) for name, named in names.tasks().items()])
        note = "`deepen train TASK --help` lists the options of a task, with --model those of a model."
        return verb_page(SUMMARY, USAGE, EXAMPLES, (Own,), notes=(tasks, note))
    task, model = known_task(argv, USAGE), known_model(argv)
    groups = (Own, *training_groups(task, model))
    return verb_page(SUMMARY, USAGE, EXAMPLES, groups, defaults=recipe(task, model))


def _train(task: str, data: str, arguments: Arguments, groups: tuple[type, ...], command: str) -> None:
    own = arguments.values
    given = arguments.only(fields_of(*groups))
    shared: dict[str, Any] = {
        name: own[name] for name in ("out", "resume", "config", "skip_bad", "tensorboard") if name in own
    }
    shared |= {"events": Terminal(), "command": command, "flags": True}
    if own.get("folds"):
        _cross_validate(task, data, given, own, shared)
        return
    from deepen.verbs.train import train

    run = train(task, data, given, **shared)
    if own.get("json"):
        write_json({"run": str(run.folder), "metrics": run.metrics})
        return
    if run.metrics:
        write(table(["metric", "value"], list(run.metrics.items())))
    write(str(run.folder))


def _cross_validate(task: str, data: str, given: dict[str, Any], own: dict[str, Any], shared: dict[str, Any]) -> None:
    from deepen.verbs.folds import cross_validate

    result = cross_validate(task, data, given, folds=own["folds"], **shared)
    if own.get("json"):
        said = {"metrics": result.metrics, "deviation": result.deviation, "pooled": result.pooled}
        write_json({"run": str(result.folder), **said, "failed": {str(k): v for k, v in result.failed.items()}})
        return
    others = (result.deviation, result.pooled)
    rows = [(name, value, *(each.get(name) for each in others)) for name, value in result.metrics.items()]
    write(table(["metric", "mean", "deviation", "pooled"], rows))
    write(str(result.folder))
