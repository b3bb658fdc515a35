"""`deepen check TASK DATA`: every fault of the data, the worst first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from deepen.cli.arguments import parse, take, wants_help
from deepen.cli.output import write, write_json
from deepen.cli.pages import verb_page
from deepen.cli.tasks import known_model, known_task, training_groups
from deepen.core.errors import EXIT_DONE, EXIT_USER
from deepen.core.faults import LEVELS, Fault, Level, grouped
from deepen.core.options import fields_of
from deepen.core.units import plural

if TYPE_CHECKING:
    from deepen.verbs.check import CheckResult
    from deepen.verbs.shift import Shift

SUMMARY = "look at data and say everything that is wrong with it, before training does"
USAGE = "deepen check TASK DATA [--options]"
EXAMPLES = (
    "deepen check image-classification photos/",
    "deepen check tabular-classification adult.csv --target income --json",
)
TITLES = {
    "error": "errors",
    "sample": "bad samples (--skip-bad leaves them out)",
    "warning": "warnings",
    "note": "notes",
}
KEYS: dict[Level, str] = {"error": "errors", "sample": "samples", "warning": "warnings", "note": "notes"}


@dataclass(frozen=True)
class Own:
    """This command"""

    against: str | None = field(
        default=None,
        metadata={"help": "a run or other data: has the distribution of inputs or classes shifted since?"},
    )
    config: str | None = field(default=None, metadata={"help": "a JSON file of options, or another run's folder"})
    json: bool = field(default=False, metadata={"help": "print the result as one JSON object, every fault by itself"})


def run(argv: list[str]) -> int:
    """Checks; 2 if training would refuse the data, else 0."""
    if wants_help(argv):
        note = "It takes the options of `deepen train TASK`, such as --target; `deepen train TASK --help` lists them."
        write(verb_page(SUMMARY, USAGE, EXAMPLES, (Own,), notes=(note,)))
        return EXIT_DONE
    task = known_task(argv, USAGE)
    groups = training_groups(task, known_model(argv))
    arguments = parse(argv, fields_of(Own, *groups))
    _, data = take(arguments.words, ("TASK", "DATA"), usage=USAGE)

    from deepen.verbs.check import check

    own = {name: arguments.values[name] for name in ("against", "config") if name in arguments.values}
    result = check(task, data, arguments.only(fields_of(*groups)), **own, flags=True)
    if arguments.values.get("json"):
        write_json(as_json(result))
    else:
        write(as_text(result))
    return EXIT_DONE if result.passed else EXIT_USER


def as_json(result: CheckResult) -> dict[str, Any]:
    """Every fault under its level, each with its place and its whole sentence."""
    found: dict[str, Any] = {"layout": result.layout, "split": result.split, "counts": result.counts}
    for level in LEVELS:
        found[KEYS[level]] = [_entry(fault) for fault in result.faults if fault.level == level]
    if result.shift is not None:
        found["shift"] = _shift(result.shift)
    return found


def as_text(result: CheckResult) -> str:
    """The layout and the split, then the faults in groups, the worst first, and what they come to."""
    lines = [result.layout, result.split]
    shown: Level | None = None
    for group in grouped(result.faults):
        if group.level != shown:
            lines.append(f"{TITLES[group.level]}:")
            shown = group.level
        lines.append(f"  {group.sentence()}")
    return "\n".join(line for line in [*lines, _verdict(result.faults)] if line)


def _shift(shift: Shift) -> dict[str, Any]:
    """The numbers behind the sentences."""
    labels = shift.labels
    shares = {} if labels is None else dict(zip(shift.names, zip(labels.old, labels.new, strict=True), strict=True))
    return {
        "auc": shift.told.auc,
        "p": shift.told.p,
        "moved": [asdict(each) for each in shift.moved],
        "labels": {name: [float(share) for share in both] for name, both in shares.items()},
        "labels_p": None if labels is None else labels.p,
        "labels_are": shift.how,
    }


def _verdict(faults: Sequence[Fault]) -> str:
    counts = {level: sum(fault.level == level for fault in faults) for level in LEVELS}
    words = [
        plural(counts[level], noun)
        for level, noun in (("error", "error"), ("sample", "bad sample"), ("warning", "warning"))
        if counts[level]
    ]
    return ", ".join(words) + "." if words else "nothing is wrong."


def _entry(fault: Fault) -> dict[str, Any]:
    entry = {name: value for name, value in asdict(fault).items() if name != "level"}
    return {**entry, "sentence": fault.sentence()}
