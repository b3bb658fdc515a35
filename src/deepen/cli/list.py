"""`deepen list`: what there is, read from the names of files and tables in them; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from deepen.cli.arguments import parse, wants_help
from deepen.cli.output import table, write, write_json
from deepen.cli.pages import verb_page
from deepen.core import names
from deepen.core.errors import EXIT_DONE, OptionError
from deepen.core.options import fields_of

SUMMARY = "name every task, model and built-in data set"
USAGE = "deepen list [tasks|models|data]"
EXAMPLES = ("deepen list", "deepen list models", "deepen list --json")
DATA = {"digits": "1,797 handwritten digits of 8x8 pixels, in 10 classes", "tiny": "made up for a task, to try it"}
KINDS = ("tasks", "models", "data")


@dataclass(frozen=True)
class Own:
    """This command"""

    json: bool = field(default=False, metadata={"help": "print the names as one JSON object"})


def run(argv: list[str]) -> int:
    """Prints the names."""
    if wants_help(argv):
        write(verb_page(SUMMARY, USAGE, EXAMPLES, (Own,)))
        return EXIT_DONE
    arguments = parse(argv, fields_of(Own))
    chosen = arguments.words or KINDS
    for word in chosen:
        if word not in KINDS:
            raise OptionError(f"{word!r}: nothing to list{names.did_you_mean(word, KINDS)}")
    if arguments.values.get("json"):
        write_json({kind: sorted(row[0] for row in _rows(kind)) for kind in chosen})
    else:
        write("\n\n".join(table([kind, *_heads(kind)], _rows(kind)) for kind in chosen))
    return EXIT_DONE


def _heads(kind: str) -> list[str]:
    return ["is a", "about"] if kind == "models" else ["about"]


def _rows(kind: str) -> list[list[str]]:
    if kind == "data":
        return [[name, about] for name, about in DATA.items()]
    if kind == "tasks":
        return [[name, named.summary] for name, named in names.tasks().items()]
    return [[name, ", ".join(named.contracts), named.summary] for name, named in names.models().items()]
