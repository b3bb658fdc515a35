"""`deepen train TASK DATA`: a run folder."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

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
    from deepen.verbs.train import train

    own = arguments.values
    run = train(
        task,
        data,
        arguments.only(fields_of(*groups)),
        out=own.get("out"),
        resume=own.get("resume", False),
        config=own.get("config"),
        skip_bad=own.get("skip_bad", False),
        events=Terminal(),
        command=command,
        flags=True,
    )
    if own.get("json"):
        write_json({"run": str(run.folder), "metrics": run.metrics})
        return
    if run.metrics:
        write(table(["metric", "value"], list(run.metrics.items())))
    write(str(run.folder))
