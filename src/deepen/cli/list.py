"""`deepen list`: what there is, read from the names of files and tables in them; imports no torch.

Without a word the models are their names alone, by what they are; `deepen list models` has a line about each family.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from deepen.cli.arguments import parse, wants_help
from deepen.cli.output import write, write_json
from deepen.cli.pages import names_block, verb_page
from deepen.core import names
from deepen.core.errors import EXIT_DONE, OptionError
from deepen.core.options import fields_of

SUMMARY = "name every task, model and built-in data set"
USAGE = "deepen list [tasks|models|data]"
EXAMPLES = ("deepen list", "deepen list models", "deepen list --json")
DATA = {"digits": "1,797 handwritten digits of 8x8 pixels, in 10 classes", "tiny": "made up for a task, to try it"}
MORE = ("`deepen list models` says what each of them is,", "`deepen show MODEL` of which layers it is made.")


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
    for word in arguments.words:
        if word not in _KINDS:
            raise OptionError(f"{word!r}: nothing to list{names.did_you_mean(word, _KINDS)}")
    chosen = arguments.words or list(_KINDS)
    if arguments.values.get("json"):
        write_json({kind: sorted(_KINDS[kind]()) for kind in chosen})
    else:
        blocks = {"tasks": _tasks, "models": _families if arguments.words else _models, "data": _data}
        write("\n\n".join(blocks[kind]() for kind in chosen))
    return EXIT_DONE


_KINDS: dict[str, Callable[[], dict[str, names.Named] | dict[str, str]]] = {
    "tasks": names.tasks,
    "models": names.models,
    "data": lambda: DATA,
}


def _tasks() -> str:
    return names_block("tasks:", [(name, task.summary) for name, task in names.tasks().items()])


def _data() -> str:
    return names_block("data:", DATA.items())


def _models() -> str:
    """The names by what they are."""
    rows = [(contract, ", ".join(found)) for contract, found in _by_contract().items()]
    return "\n".join([names_block("models, by what they are:", rows), *MORE])


def _families() -> str:
    """Under what they are, the names of each file with the line about them."""
    blocks = []
    for contract, found in _by_contract().items():
        families: dict[str, list[str]] = {}
        for name in found:
            families.setdefault(names.models()[name].summary, []).append(name)
        blocks.append(names_block(f"{contract}:", [(", ".join(each), about) for about, each in families.items()]))
    return "\n\n".join(blocks)


def _by_contract() -> dict[str, list[str]]:
    """The names of the models that are each thing; a model may be several."""
    found: dict[str, list[str]] = {}
    for name, model in names.models().items():
        for contract in model.contracts:
            found.setdefault(contract, []).append(name)
    return dict(sorted(found.items()))
