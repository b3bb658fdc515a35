"""`deepen show MODEL`: a network's parameters, multiply-adds and layers; `deepen show RUN` those of a trained one, and
`deepen show FILE.onnx` what an exported file says of itself."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deepen.cli.arguments import parse, take, wants_help
from deepen.cli.output import cell, table, write, write_json
from deepen.cli.pages import verb_page
from deepen.cli.tasks import network_groups
from deepen.core import names
from deepen.core.errors import EXIT_DONE, OptionError
from deepen.core.options import fields_of, flat

SUMMARY = "show a model's size and layers, those of a run, or what an exported file holds"
USAGE = "deepen show MODEL|RUN|FILE.onnx [--options]"
NOTE = (
    "`deepen show schedule` draws schedules of the learning rate, and `deepen show rates TASK DATA` looks for a good\n"
    "rate; both know --help. `deepen show MODEL --help` adds the options of that network."
)
EXAMPLES = (
    "deepen show resnet18",
    "deepen show lenet --input-shape 1,8,8 --outputs 10",
    "deepen show resnet18 --graph resnet18.svg",
    "deepen show resnet50 --input-shape 1,28,28 --network.stem 7x7",
    "deepen show runs/photos-resnet18 --json",
    "deepen show photos.onnx",
)
FURTHER = {"schedule": "show_schedule", "rates": "show_rates"}  # a run folder of such a name is ./schedule


@dataclass(frozen=True)
class Own:
    """This command"""

    input_shape: tuple[int, ...] = field(
        default=(), metadata={"help": "channels,height,width instead of the paper's, such as 3,64,64", "least": 1}
    )
    outputs: int | None = field(default=None, metadata={"help": "classes instead of the paper's", "least": 1})
    graph: str | None = field(
        default=None, metadata={"help": "draw the network into this file, a picture (.svg) or a page (.html)"}
    )
    json: bool = field(default=False, metadata={"help": "print the result as one JSON object"})


def run(argv: list[str]) -> int:
    """Prints the network, or what else can be shown."""
    if argv and argv[0] in FURTHER:
        return importlib.import_module(f"deepen.cli.{FURTHER[argv[0]]}").run(argv)
    model = next((word for word in argv if word in names.models()), None)
    own_network = network_groups(model) if model else ()
    groups = (Own, *own_network)
    if wants_help(argv):
        write(verb_page(SUMMARY, USAGE, EXAMPLES, groups, notes=(NOTE,)))
        return EXIT_DONE
    arguments = parse(argv, fields_of(*groups))
    (what,) = take(arguments.words, ("MODEL|RUN|FILE.onnx",), usage=USAGE)
    if what not in names.models() and not os.path.exists(what):
        raise OptionError(f"{what!r}: neither a model nor a run folder{names.did_you_mean(what, names.models())}")

    own = arguments.values
    if what.endswith(".onnx") and not os.path.isdir(what):
        from deepen.cli.show_file import described

        result = described(what, own)
    else:
        from deepen.verbs.show import show

        given = arguments.only(fields_of(*own_network))
        stated = {name: own[name] for name in ("input_shape", "outputs", "graph") if name in own}
        result = show(what, given, flags=True, **stated)
    if own.get("json"):
        write_json(result)
    else:
        write(as_text(result))
    return EXIT_DONE


def as_text(result: Mapping[str, Any]) -> str:
    """The layers as a table, then the sums, and whatever else is known, one line each."""
    layers = result.get("layers", [])
    parts = []
    if layers:
        columns = list(layers[0])
        parts.append(table(columns, [[_cell(layer.get(name)) for name in columns] for layer in layers]))
    rest = flat({name: value for name, value in result.items() if name != "layers"})
    parts.append("\n".join(f"{name}: {cell(_cell(value))}" for name, value in rest.items()))
    return "\n\n".join(parts)


def _cell(value: Any) -> Any:
    return "x".join(map(str, value)) if isinstance(value, (list, tuple)) else value
