"""`deepen tune TASK DATA`: the options that do best on validation, found by trying."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from deepen.cli.arguments import Arguments, parse, take, wants_help
from deepen.cli.output import table, write, write_json
from deepen.cli.pages import names_block, verb_page
from deepen.cli.tasks import known_model, known_task, recipe, task_word, training_groups
from deepen.cli.terminal import Terminal
from deepen.core import names
from deepen.core.errors import EXIT_DONE, OptionError
from deepen.core.options import fields_of

if TYPE_CHECKING:
    from deepen.verbs.tune import TuneResult
    from deepen.verbs.tuning_study import TrialRecord

SUMMARY = "search options that do better on validation; every trial is a run"
USAGE = "deepen tune TASK DATA [--search NAME=SPEC ...] [--trials N] [--tune-time 1h] [--options]"
EXAMPLES = (
    "deepen tune tabular-classification adult.csv --target income --trials 40",
    "deepen tune image-classification digits --search optimizer.lr=1e-4..1e-1:log --search model=lenet,mlp",
    "deepen tune image-classification photos/ --tune-time 2h --out runs/search --resume",
)
NOTES = (
    "--search may be given several times: NAME=LOW..HIGH, with :log for a logarithmic scale, :powers for powers of\n"
    "two, :times for multiples of what the training would have anyway; NAME=A,B,C for these values (A;B where the\n"
    "option is a list); the word default for what the options themselves propose, which is also searched where no\n"
    "--search is given.",
)


@dataclass(frozen=True)
class Own:
    """This command"""

    search: tuple[str, ...] = field(default=(), metadata={"help": "NAME=SPEC: what to search; may be given often"})
    trials: int | None = field(
        default=None,
        metadata={"help": "trials in all, over all workers; default: 20, or what --tune-time allows", "least": 1},
    )
    tune_time: str | None = field(
        default=None, metadata={"help": "no trial begins that would likely end after this long, such as 1h"}
    )
    pruner: Literal["median", "asha", "none"] = field(
        default="median",
        metadata={
            "help": "stop trials that do worse than half of the others did at the same point, or by halving (asha)"
        },
    )
    keep: int = field(default=3, metadata={"help": "trials whose weights are kept, beside the first one's", "least": 1})
    storage: str | None = field(
        default=None, metadata={"help": "a database URL that several workers share; default: study.db in --out"}
    )
    study: str | None = field(default=None, metadata={"help": "the study's name in the storage; default: by the data"})
    out: str | None = field(default=None, metadata={"help": "the study's folder; else runs/DATA-MODEL-tune"})
    resume: bool = field(default=False, metadata={"help": "only go on with a study, never begin one"})
    config: str | None = field(
        default=None, metadata={"help": "a JSON file of options, or another run's folder, to search from"}
    )
    skip_bad: bool = field(default=False, metadata={"help": "leave out samples that cannot be used, and count them"})
    json: bool = field(default=False, metadata={"help": "print the result as one JSON object"})


def run(argv: list[str]) -> int:
    """Searches; the exit code."""
    if wants_help(argv):
        write(page(argv))
        return EXIT_DONE
    rest, search = without_searches(argv)
    task = known_task(rest, USAGE)
    groups = training_groups(task, known_model(rest))
    arguments = parse(rest, fields_of(Own, *groups))
    _, data = take(arguments.words, ("TASK", "DATA"), usage=USAGE)
    _tune(task, data, arguments, groups, search, shlex.join(["deepen", "tune", *argv]))
    return EXIT_DONE


def page(argv: list[str]) -> str:
    """The help: with a task, all of its options; without, which tasks there are."""
    if task_word(without_searches(argv)[0]) is None:
        tasks = names_block("tasks:", [(name, named.summary) for name, named in names.tasks().items()])
        note = "It takes the options of `deepen train TASK` too; what is stated stays as it is."
        return verb_page(SUMMARY, USAGE, EXAMPLES, (Own,), notes=(*NOTES, tasks, note))
    task, model = known_task(argv, USAGE), known_model(argv)
    groups = (Own, *training_groups(task, model))
    return verb_page(SUMMARY, USAGE, EXAMPLES, groups, notes=NOTES, defaults=recipe(task, model))


def without_searches(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The command line without its --search options, and their values: the only option that may be given often."""
    rest, found = [], []
    words = iter(argv)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word.startswith("--search="):
            found.append(word.partition("=")[2])
        elif word == "--search":
            value = next(words, "--")
            if value.startswith("--"):
                raise OptionError("--search: needs a value: NAME=SPEC such as optimizer.lr=1e-4..1e-1:log.")
            found.append(value)
        else:
            rest.append(word)
    return rest, found


def _tune(
    task: str, data: str, arguments: Arguments, groups: tuple[type, ...], search: list[str], command: str
) -> None:
    from deepen.verbs.tune import tune

    own = {name: arguments.values[name] for name in fields_of(Own) if name in arguments.values and name != "json"}
    given = arguments.only(fields_of(*groups))
    result = tune(task, data, given, search=search, **own, events=Terminal(), command=command, flags=True)
    if arguments.values.get("json"):
        write_json(as_json(result))
        return
    write(as_text(result))


def as_json(result: TuneResult) -> dict[str, Any]:
    """The best trial, what it gained, and every trial's state."""
    return {
        "folder": str(result.folder),
        "study": result.study,
        "run": str(result.run_folder),
        "objective": result.objective[0],
        "best": _of_trial(result.best),
        "default": _of_trial(result.default) if result.default else None,
        "gain": result.gain,
        "metrics": result.metrics,
        "importance": result.importance,
        "command": result.command,
        "trials": [{"trial": each.number, "state": each.state, "value": each.value} for each in result.trials],
        "others": result.others,
    }


def _of_trial(record: TrialRecord) -> dict[str, Any]:
    return {"trial": record.number, "value": record.value, "options": record.options}


def as_text(result: TuneResult) -> str:
    """Figures and options of the default and the best trial, what mattered, how to get the best again, and its run."""
    parts = [table(["figure", "default", "best", "difference"], _figures(result))]
    parts.append(table(["option", "default", "best", "importance"], _options(result)))
    parts += [f"again: {result.command}", str(result.run_folder)]
    return "\n".join(parts)


def _figures(result: TuneResult) -> list[list[Any]]:
    rows = []
    for split in ("val", "test"):
        default, best = (result.metrics[name].get(split, {}) for name in ("default", "best"))
        for name in {**best, **default}:
            before, after = default.get(name), best.get(name)
            gain = None if before is None or after is None else after - before
            rows.append([f"{split} {name}", before, after, gain])
    return rows


def _options(result: TuneResult) -> list[list[Any]]:
    before, after = result.default.options if result.default else {}, result.best.options
    missing = result.default is None
    shares = {key.removeprefix("log2 of "): share for key, share in result.importance.items()}
    return [
        [name, None if missing else _text(before.get(name)), _text(after.get(name)), shares.get(name)]
        for name in dict.fromkeys([*after, *before])
    ]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
