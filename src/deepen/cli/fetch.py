"""`deepen fetch NAME`: downloads a well-known data set, verified; the only verb that goes online."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Any

from deepen.cli.arguments import parse, take, wants_help
from deepen.cli.output import table, write, write_json
from deepen.cli.pages import names_block, verb_page
from deepen.cli.progress import bar
from deepen.core.errors import EXIT_DONE, EXIT_USER
from deepen.core.options import fields_of
from deepen.core.units import size
from deepen.data.catalogue import entries, entry

SUMMARY = "download a well-known data set and verify it; nothing else goes online"
USAGE = "deepen fetch NAME [--out FOLDER]"
EXAMPLES = ("deepen fetch fashion-mnist", "deepen fetch cifar10 --out ~/data/cifar10")


@dataclass(frozen=True)
class Own:
    """This command"""

    out: str | None = field(default=None, metadata={"help": "the folder; default: data/NAME"})
    json: bool = field(default=False, metadata={"help": "print the result as one JSON object"})


def run(argv: list[str]) -> int:
    """Downloads, or lists what can be downloaded; the exit code."""
    if wants_help(argv):
        write(verb_page(SUMMARY, USAGE, EXAMPLES, (Own,), notes=(_names(),)))
        return EXIT_DONE
    arguments = parse(argv, fields_of(Own))
    if not arguments.words:
        write(f"{_table()}\n\nNAME is missing; usage: {USAGE}")
        return EXIT_USER
    (name,) = take(arguments.words, ("NAME",), usage=USAGE)
    entry(name)

    from deepen.verbs.fetch import fetch

    with bar() as shown:
        result = fetch(name, arguments.values.get("out"), progress=shown)
    folder = str(result.folder)
    if arguments.values.get("json"):
        said: dict[str, Any] = {"name": result.name, "folder": folder, "is_new": result.is_new}
        write_json({**said, "bytes": result.num_bytes})
        return EXIT_DONE
    state = "" if result.is_new else "already there, "
    write(f"{folder}: {state}{size(result.num_bytes)}, every file verified")
    write(f"deepen train {result.task} {shlex.quote(folder)}")
    return EXIT_DONE


def _table() -> str:
    rows = [[each.name, size(each.num_bytes), each.about, each.terms] for each in entries().values()]
    return table(["data set", "download", "about", "terms"], rows)


def _names() -> str:
    return names_block(
        "data sets:", [(each.name, f"{each.about}; {size(each.num_bytes)}") for each in entries().values()]
    )
