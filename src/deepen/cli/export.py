"""`deepen export RUN`: one file that answers without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deepen.cli.arguments import parse, take, wants_help
from deepen.cli.output import say, table, write, write_json
from deepen.cli.pages import verb_page
from deepen.cli.reading import run_folder
from deepen.cli.terminal import Terminal
from deepen.core.errors import EXIT_DONE
from deepen.core.options import fields_of
from deepen.core.units import plural, size

if TYPE_CHECKING:
    from deepen.verbs.export import ExportResult

SUMMARY = "write a run as one file that answers without PyTorch"
USAGE = "deepen export RUN [--out FILE] [--format onnx|pt2|aoti] [--options]"
EXAMPLES = (
    "deepen export runs/photos-resnet18",
    "deepen predict runs/photos-resnet18.onnx cat.jpg",
    "deepen export runs/adult-tabm --out adult.onnx --tolerance 1e-5",
    "deepen export runs/photos-resnet18 --format pt2",
)
NOTE = (
    "The file is written only if it answers as the run does: its own test split is scored both ways before. An .onnx\n"
    "file works with `deepen predict` and `deepen evaluate` in place of a run."
)


@dataclass(frozen=True)
class Own:
    """This command"""

    out: str | None = field(default=None, metadata={"help": "the file to write; default: RUN and the format's ending"})
    data: str | None = field(
        default=None, metadata={"help": "data to check the file on; default: the run's own test split"}
    )
    json: bool = field(default=False, metadata={"help": "print the result as one JSON object"})


def run(argv: list[str]) -> int:
    """Exports; the exit code."""
    from deepen.verbs.export import ExportOptions

    if wants_help(argv):
        write(verb_page(SUMMARY, USAGE, EXAMPLES, (Own, ExportOptions), notes=(NOTE,)))
        return EXIT_DONE
    known = fields_of(ExportOptions)
    arguments = parse(argv, {**fields_of(Own), **known})
    (folder,) = take(arguments.words, ("RUN",), usage=USAGE)
    run_folder(folder)

    from deepen.verbs.export import export

    own = arguments.values
    given = {name: value for name, value in own.items() if name in known}
    result = export(folder, given, out=own.get("out"), data=own.get("data"), flags=True, events=Terminal())
    say("\n".join(result.notes))
    write_json(as_json(result)) if own.get("json") else write(as_text(result))
    return EXIT_DONE


def as_json(result: ExportResult) -> dict[str, Any]:
    """All of it."""
    named = ("format", "num_bytes", "opset", "count", "split", "before", "after", "apart", "tolerance", "latency")
    return {"path": str(result.path), **{name: getattr(result, name) for name in named}, "notes": list(result.notes)}


def as_text(result: ExportResult) -> str:
    """Figures before and after, latencies, and the path last."""
    figures = [[name, value, result.after.get(name)] for name, value in result.before.items()]
    sizes = list(next(iter(result.latency.values())))
    latencies = [[name, *(times[size] for size in sizes)] for name, times in result.latency.items()]
    opset = f", opset {result.opset}" if result.opset else ""
    return "\n".join(
        [
            table(["metric", "run", "file"], figures),
            f"over {plural(result.count, 'sample')} ({result.split}); largest difference of an answer "
            f"{result.apart:.2g} (allowed {result.tolerance:g})",
            "",
            table(["milliseconds at batch", *sizes], latencies),
            "",
            f"{result.path} ({result.format}{opset}, {size(result.num_bytes)})",
        ]
    )
