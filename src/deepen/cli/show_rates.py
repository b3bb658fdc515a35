"""`deepen show rates TASK DATA`: a learning-rate range test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deepen.cli.arguments import parse, take, wants_help
from deepen.cli.output import say, write, write_json
from deepen.cli.pages import verb_page
from deepen.cli.show_schedule import svg_name
from deepen.cli.tasks import known_model, known_task, recipe, task_word, training_groups
from deepen.cli.terminal import Terminal
from deepen.core.errors import EXIT_DONE
from deepen.core.options import fields_of

if TYPE_CHECKING:
    from deepen.verbs.find_rate import FoundRate

SUMMARY = "look for a good learning rate: it rises over real batches, and the loss is watched"
USAGE = "deepen show rates TASK DATA [--options of train]"
EXAMPLES = (
    "deepen show rates image-classification digits",
    "deepen show rates image-classification photos/ --model resnet18 --optimizer.kind sgd --out rates.svg",
)
NOTE = (
    "Takes the options of `train`, so that the test is of that training; its budget, schedule and peak rate are not\n"
    "read. A network of its own is trained and thrown away; nothing is written but --out."
)


@dataclass(frozen=True)
class Own:
    """This command"""

    from_rate: float = field(default=1e-6, metadata={"help": "the rate of the first update", "above": 0.0})
    to_rate: float = field(default=10.0, metadata={"help": "the rate of the last update", "above": 0.0})
    num_steps: int = field(default=150, metadata={"help": "updates, unless the loss explodes before", "least": 20})
    out: str | None = field(default=None, metadata={"help": "write the picture to an .svg file"})
    config: str | None = field(default=None, metadata={"help": "a JSON file of options, or a run's folder"})
    skip_bad: bool = field(default=False, metadata={"help": "leave out samples that cannot be used, and count them"})
    json: bool = field(default=False, metadata={"help": "print the result as one JSON object"})


def run(argv: list[str]) -> int:
    """Tests the rates; `argv` begins with the word "rates"."""
    argv = argv[1:]
    if wants_help(argv):
        write(_page(argv))
        return EXIT_DONE
    task = known_task(argv, USAGE)
    groups = training_groups(task, known_model(argv))
    arguments = parse(argv, fields_of(Own, *groups))
    _, data = take(arguments.words, ("TASK", "DATA"), usage=USAGE)
    own = {name: value for name, value in arguments.values.items() if name in fields_of(Own)}
    as_object, out = own.pop("json", False), svg_name(own.get("out"))

    from deepen.verbs.find_rate import find_rate

    found = find_rate(task, data, arguments.only(fields_of(*groups)), **own, events=Terminal(), flags=True)
    if out is not None:
        say(f"the picture: {out}")
    write_json(as_json(found)) if as_object else write(as_text(found))
    return EXIT_DONE


def as_json(found: FoundRate) -> dict[str, Any]:
    """The test's numbers, and the command."""
    test = found.test
    names = ("suggested", "lowest", "steepest", "diverged", "rates", "losses", "smoothed")
    return {**{name: getattr(test, name) for name in names}, "command": found.command}


def as_text(found: FoundRate) -> str:
    """The chart, what is read from it and by what rule, and the command."""
    from deepen.report.text_chart import chart
    from deepen.verbs.find_rate import figure

    test = found.test
    ended = "ended early: the loss exploded" if test.diverged else "went to its end: the loss did not explode"
    return "\n".join(
        [
            chart(figure(found)),
            "",
            f"lowest loss      at rate {test.lowest:.2g}   (smoothed over about ten batches)",
            f"steepest descent at rate {test.steepest:.2g}   (over the logarithm of the rate, before the lowest loss)",
            f"suggested peak   {test.suggested:.2g}   (a tenth of the rate of the lowest loss)",
            f"{len(test.rates)} updates; the test {ended}",
            "",
            found.command,
        ]
    )


def _page(argv: list[str]) -> str:
    if task_word(argv) is None:
        note = "`deepen show rates TASK --help` lists the options of a task."
        return verb_page(SUMMARY, USAGE, EXAMPLES, (Own,), notes=(NOTE, note))
    task, model = known_task(argv, USAGE), known_model(argv)
    groups = (Own, *training_groups(task, model))
    return verb_page(SUMMARY, USAGE, EXAMPLES, groups, notes=(NOTE,), defaults=recipe(task, model))
