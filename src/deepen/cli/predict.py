"""`deepen predict RUN INPUT...`: answers for files, folders and tables."""

from __future__ import annotations

from dataclasses import dataclass, field

from deepen.cli.answers import OUT_FORMATS, columns_and_rows, format_of, records, write_file
from deepen.cli.arguments import parse, wants_help
from deepen.cli.output import say, table, write, write_json
from deepen.cli.pages import verb_page
from deepen.cli.reading import (
    Cascade,
    Ensemble,
    Running,
    cascade_of,
    exported_file,
    others_of,
    run_folders,
    using_groups,
    weights_of,
)
from deepen.core.errors import EXIT_DONE, OptionError
from deepen.core.faults import Fault, grouped
from deepen.core.files import write_bytes
from deepen.core.options import fields_of
from deepen.core.units import plural

SUMMARY = "answer for new samples with a run: files, folders or tables"
USAGE = "deepen predict RUN INPUT... [--out FILE] [--options]"
EXAMPLES = (
    "deepen predict runs/photos-resnet18 cat.jpg holiday/",
    "deepen predict runs/adult-tabm new.csv --out answers.csv",
    "deepen predict runs/digits-lenet image.png --with runs/digits-mlp,runs/digits-wren",
    "deepen predict runs/digits-mlp image.png --then runs/digits-lenet --thresholds 0.97",
    "deepen predict photos.onnx cat.jpg --engine onnxruntime",
    "head -3 reviews.txt | deepen predict runs/reviews-textcnn - --json",
)
NOTE = (
    "Where an INPUT is -, standard input is read to its end, as one file.\n"
    "In a .csv, text that begins with = + - or @ gets an apostrophe before it, so that no spreadsheet takes it for a\n"
    "formula; --raw writes it as it is."
)


@dataclass(frozen=True)
class Own:
    """This command"""

    out: str | None = field(
        default=None,
        metadata={"help": f"write the answers to a file: {', '.join(OUT_FORMATS)}, or in a format of the task"},
    )
    raw: bool = field(default=False, metadata={"help": "no apostrophe before text that looks like a formula"})
    skip_bad: bool = field(default=False, metadata={"help": "leave out samples that cannot be read, and count them"})
    json: bool = field(default=False, metadata={"help": "print the answers as one JSON object"})


def run(argv: list[str]) -> int:
    """Answers; the exit code."""
    if wants_help(argv):
        write(verb_page(SUMMARY, USAGE, EXAMPLES, (Own, Ensemble, Cascade, Running, *using_groups()), notes=(NOTE,)))
        return EXIT_DONE
    groups = using_groups()
    arguments = parse(argv, fields_of(Own, Ensemble, Cascade, Running, *groups))
    own = arguments.values
    if len(arguments.words) < 2:
        raise OptionError(f"{'INPUT' if arguments.words else 'RUN'} is missing; usage: {USAGE}")
    folder, *inputs = arguments.words
    cascade = cascade_of(own)
    is_exported = exported_file(folder, others_of(own))
    runs = folder if is_exported else run_folders(folder, others_of(own))
    out = own.get("out")
    further, program = {}, None
    if is_exported:
        from deepen.runtime import load

        program = load(folder, engine=own.get("engine", "auto"), threads=own.get("threads"))
        further = program.formats
    elif out is not None and not out.lower().endswith(OUT_FORMATS):
        from deepen.verbs.formats import formats

        further = formats(runs if isinstance(runs, str) else runs[0])
    ending = "" if out is None else format_of(out, further)  # what cannot be written is said before anything is read

    faults: list[Fault] = []
    given = arguments.only(fields_of(*groups))
    weights, skip_bad = weights_of(own), own.get("skip_bad", False)
    if program is not None:
        found = list(program.predict(inputs, given, skip_bad=skip_bad, flags=True, faults=faults))
    else:
        from deepen.verbs.predict import predict

        keywords = {"weights": weights, "skip_bad": skip_bad, "flags": True, "faults": faults, **cascade}
        found = list(predict(runs, [*inputs], given, **keywords))
    rows = records(found)
    say("\n".join(group.sentence() for group in grouped(faults)))
    if out is not None:
        if ending in further:
            write_bytes(out, further[ending](found).encode("utf-8", "backslashreplace"))
        else:
            write_file(out, rows, raw=own.get("raw", False))
        say(f"{plural(len(rows), 'answer')} in {out}")
    if own.get("json"):
        write_json({"answers": rows})
    elif out is None:
        write(table(*columns_and_rows(rows)))
    return EXIT_DONE
