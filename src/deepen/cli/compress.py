"""`deepen compress RUN`: a smaller or faster run, and one table of what it cost."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deepen.cli.arguments import parse, take, wants_help
from deepen.cli.output import say, table, write, write_json
from deepen.cli.pages import names_block, verb_page
from deepen.cli.reading import run_folder
from deepen.cli.terminal import Terminal
from deepen.core.errors import EXIT_DONE
from deepen.core.options import fields_of
from deepen.core.units import size

if TYPE_CHECKING:
    from deepen.verbs.compress import CompressResult

SUMMARY = "make a run smaller or faster, as a new run"
USAGE = "deepen compress RUN [--method NAME,...] [--budget WISH] [--out FOLDER] [--options]"
EXAMPLES = (
    "deepen compress runs/photos-resnet18",
    "deepen compress runs/photos-resnet18 --method channels,int8 --channels 0.5 --epochs 3",
    "deepen compress runs/photos-resnet18 --budget 'latency<2ms'",
    "deepen compress runs/photos-resnet18 --method distil --student lenet --unlabelled augment",
    "deepen compress runs/photos-resnet18 --method early-exit --exit-accuracy -0.5%",
    "deepen compress runs/digits-wren --method fixed-point --bits 6 --aware",
    "deepen compress runs/digits-a --method average --with runs/digits-b,runs/digits-c",
)
METHODS = (
    ("distil", "a network of another size (--student) learns what the run answers"),
    ("average", "the mean of the weights of several runs (--with)"),
    ("channels", "whole channels removed, with all that hangs on them, then tuned"),
    ("prune", "the smallest weights set to zero, all at once or while tuning"),
    ("low-rank", "layers as the product of two thinner ones, then tuned"),
    ("early-exit", "heads between the stages answer what they are sure of, by thresholds from validation"),
    ("int8", "weights and inputs as whole numbers of 8 bits, calibrated on validation samples"),
    ("int8-weights", "weights alone: a quarter of the size, as fast as before"),
    ("fixed-point", "dynamic fixed point of --bits"),
)
NOTE = (
    "The new run works with every verb. Its folder appears when all is done. The report shows the table, the widths\n"
    "of fixed-point, and of a search the Pareto front of latency against quality."
)


@dataclass(frozen=True)
class Own:
    """This command"""

    out: str | None = field(
        default=None, metadata={"help": "the new run folder; default: beside RUN, with the methods in its name"}
    )
    data: str | None = field(default=None, metadata={"help": "the data of RUN, where they have moved"})
    others: tuple[str, ...] = field(default=(), metadata={"help": "further runs to average with", "alias": "with"})
    layers: bool = field(default=False, metadata={"help": "a second table: each layer of the new network"})
    json: bool = field(default=False, metadata={"help": "print the result as one JSON object"})


def groups() -> tuple[type, ...]:
    """The option dataclasses of this verb."""
    from deepen.compress.options import CompressOptions

    return (CompressOptions,)


def run(argv: list[str]) -> int:
    """Compresses; the exit code."""
    if wants_help(argv):
        write(verb_page(SUMMARY, USAGE, EXAMPLES, (Own, *groups()), notes=(names_block("methods:", METHODS), NOTE)))
        return EXIT_DONE
    known = groups()
    arguments = parse(argv, fields_of(Own, *known))
    (folder,) = take(arguments.words, ("RUN",), usage=USAGE)
    own = arguments.values
    for each in (folder, *own.get("others", ())):
        run_folder(each)

    from deepen.verbs.compress import compress

    result = compress(
        folder,
        arguments.only(fields_of(*known)),
        out=own.get("out"),
        data=own.get("data"),
        others=own.get("others", ()),
        layers=own.get("layers", False),
        flags=True,
        events=Terminal(),
        command=shlex.join(["deepen", "compress", *argv]),
    )
    say("\n".join(result.notes))
    write_json(as_json(result)) if own.get("json") else write(as_text(result))
    return EXIT_DONE


def as_json(result: CompressResult) -> dict[str, Any]:
    """All of it."""
    return {
        "folder": str(result.folder),
        "split": result.split,
        "stages": [dataclasses.asdict(stage) for stage in result.stages],
        "layers": [dataclasses.asdict(layer) for layer in result.layers],
        "tried": list(result.tried),
        "bits": [{"bits": bits, **found} for bits, found in result.bits],
        "notes": list(result.notes),
    }


def as_text(result: CompressResult) -> str:
    """The table, what a search tried, the widths, the layers, and the path last."""
    names = list(result.stages[0].metrics)[:2]
    if result.objective[0] not in names:
        names = [result.objective[0], *names[:1]]
    columns = ["network", "size", "parameters", "zeros", "multiply-adds", "ms at 1", "ms at 32", *names]
    parts = [table(columns, [_row(stage, names) for stage in result.stages]) + f"\n(metrics on {result.split})"]
    if result.tried:
        objective = result.objective[0]
        rows = [
            [each["name"], size(each["size"]), each["latency"], each[objective], _mark(each)] for each in result.tried
        ]
        parts.append(table(["tried", "size", "ms at 1", f"{objective} (val)", ""], rows))
    if result.bits:
        figures = [name for name in ("accuracy", result.objective[0]) if name in result.bits[0][1]]
        parts.append(
            table(
                ["bits", *dict.fromkeys(figures)],
                [[b, *(found[n] for n in dict.fromkeys(figures))] for b, found in result.bits],
            )
        )
    if result.layers:
        rows = [
            [each.name, each.kind, each.parameters, size(each.size), each.bits, each.multiply_adds, each.milliseconds]
            for each in result.layers
        ]
        parts.append(table(["layer", "kind", "parameters", "size", "bits", "multiply-adds", "ms at 1"], rows))
    return "\n\n".join([*parts, str(result.folder)])


def _row(stage: Any, names: list[str]) -> list[Any]:
    cost = stage.cost
    return [
        stage.name,
        size(cost["size"]),
        cost["parameters"],
        f"{100 * cost['zeros']:.0f} %",
        cost["multiply_adds"],
        cost["latency"],
        cost["latency32"],
        *(stage.metrics.get(name) for name in names),
    ]


def _mark(each: dict[str, Any]) -> str:
    return "taken" if each["taken"] else "front" if each["front"] else ""
