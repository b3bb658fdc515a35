"""`deepen show schedule [KIND|all]`: the learning rate over training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deepen.cli.arguments import parse, wants_help
from deepen.cli.output import say, write, write_json
from deepen.cli.pages import shown, verb_page
from deepen.core.errors import EXIT_DONE, OptionError
from deepen.core.options import fields_of

SUMMARY = "draw a schedule of the learning rate"
USAGE = "deepen show schedule [KIND|all] [--out FILE.svg] [--options]"
EXAMPLES = (
    "deepen show schedule one-cycle --schedule.warm-up 0.2 --optimizer.lr 0.2 --epochs 20",
    "deepen show schedule multi-step --schedule.milestones 0.5,0.75",
    "deepen show schedule all --out schedules.svg",
)


@dataclass(frozen=True)
class Own:
    """This command"""

    out: str | None = field(default=None, metadata={"help": "write the picture to an .svg file"})
    json: bool = field(default=False, metadata={"help": "print the result as one JSON object"})


def run(argv: list[str]) -> int:
    """Draws the schedule; `argv` begins with the word "schedule"."""
    from deepen.verbs.show_schedule import Drawing

    if wants_help(argv):
        write(verb_page(SUMMARY, USAGE, EXAMPLES, (Own, Drawing)))
        return EXIT_DONE
    arguments = parse(argv[1:], fields_of(Own, Drawing))
    if len(arguments.words) > 1:
        raise OptionError(f"{arguments.words[1]!r}: one word too many; usage: {USAGE}")
    own, out = arguments.values, svg_name(arguments.values.get("out"))

    from deepen.verbs.show_schedule import show_schedule

    kind = arguments.words[0] if arguments.words else ""
    result = show_schedule(kind, arguments.only(fields_of(Drawing)), out=out, flags=True)
    if out is not None:
        say(f"the picture: {out}")
    if own.get("json"):
        write_json(result)
    elif out is None or len(result["schedules"]) == 1:
        write(as_text(result))
    return EXIT_DONE


def svg_name(out: str | None) -> str | None:
    """The name of a picture to write. Raises OptionError at once where it is none."""
    if out is not None and not out.lower().endswith(".svg"):
        raise OptionError(f"--out {out}: expected a name that ends in .svg.")
    return out


def as_text(result: Mapping[str, Any]) -> str:
    """Each schedule as a chart of signs, with the options that it reads."""
    from deepen.report.text_chart import chart
    from deepen.verbs.show_schedule import figures

    parts = []
    for figure, one in zip(figures(result), result["schedules"].values(), strict=True):
        said = "  ".join(f"{name.replace('_', '-')} {shown(value)}" for name, value in one["options"].items())
        parts.append("\n".join(part for part in (chart(figure), said, one["note"]) if part))
    return "\n\n".join(parts)
