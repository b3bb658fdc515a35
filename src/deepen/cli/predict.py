"""`deepen predict RUN INPUT...`: answers for files, folders and tables."""

from __future__ import annotations

from dataclasses import dataclass, field

from deepen.cli.answers import OUT_FORMATS, columns_and_rows, format_of, records, write_file
from deepen.cli.arguments import parse, wants_help
from deepen.cli.output import say, table, write, write_json
from deepen.cli.pages import verb_page
from deepen.cli.reading import Ensemble, run_folders, using_groups
from deepen.core.errors import EXIT_DONE, OptionError
from deepen.core.faults import Fault, grouped
from deepen.core.options import fields_of
from deepen.core.units import plural

SUMMARY = "answer for new samples with a run: files, folders or tables"
USAGE = "deepen predict RUN INPUT... [--out FILE] [--options]"
EXAMPLES = (
    "deepen predict runs/photos-resnet18 cat.jpg holiday/",
    "deepen predict runs/adult-tabm new.csv --out answers.csv",
    "deepen predict runs/digits-lenet image.png --with runs/digits-mlp,runs/digits-wren",
)
NOTE = (
    "In a .csv, text that begins with = + - or @ gets an apostrophe before it, so that no spreadsheet takes it for a\n"
    "formula; --raw writes it as it is."
)


@dataclass(frozen=True)
class Own:
    """This command"""

    out: str | None = field(default=None, metadata={"help": f"write the answers to a file: {', '.join(OUT_FORMATS)}"})
    raw: bool = field(default=False, metadata={"help": "no apostrophe before text that looks like a formula"})
    skip_bad: bool = field(default=False, metadata={"help": "leave out samples that cannot be read, and count them"})
    json: bool = field(default=False, metadata={"help": "print the answers as one JSON object"})


def run(argv: list[str]) -> int:
    """Answers; the exit code."""
    if wants_help(argv):
        write(verb_page(SUMMARY, USAGE, EXAMPLES, (Own, Ensemble, *using_groups()), notes=(NOTE,)))
        return EXIT_DONE
    groups = using_groups()
    arguments = parse(argv, fields_of(Own, Ensemble, *groups))
    own = arguments.values
    if len(arguments.words) < 2:
        raise OptionError(f"{'INPUT' if arguments.words else 'RUN'} is missing; usage: {USAGE}")
    folder, *inputs = arguments.words
    runs = run_folders(folder, own.get("ensemble", ()))
    out = own.get("out")
    if out is not None:
        format_of(out)  # a name that cannot be written is said before anything is read

    from deepen.verbs.predict import predict

    faults: list[Fault] = []
    given = arguments.only(fields_of(*groups))
    weights, skip_bad = own.get("weights", ()), own.get("skip_bad", False)
    found = predict(runs, [*inputs], given, weights=weights, skip_bad=skip_bad, flags=True, faults=faults)
    rows = records(found)
    say("\n".join(group.sentence() for group in grouped(faults)))
    if out is not None:
        write_file(out, rows, raw=own.get("raw", False))
        say(f"{plural(len(rows), 'answer')} in {out}")
    if own.get("json"):
        write_json({"answers": rows})
    elif out is None:
        write(table(*columns_and_rows(rows)))
    return EXIT_DONE
