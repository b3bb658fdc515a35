"""`deepen explain RUN [INPUT...]`: what a run's answers go by, as a page with pictures and numbers."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deepen.cli.arguments import parse, wants_help
from deepen.cli.output import say, table, write, write_json
from deepen.cli.pages import names_block, verb_page
from deepen.cli.reading import run_folder, using_groups
from deepen.cli.terminal import Terminal
from deepen.core.errors import EXIT_DONE, OptionError
from deepen.core.faults import grouped
from deepen.core.options import fields_of

if TYPE_CHECKING:
    from deepen.verbs.explain import ExplanationResult

SUMMARY = "show what a run's answers go by: pixels, layers, columns or words"
USAGE = "deepen explain RUN [INPUT...] [--method NAME,...] [--out FOLDER] [--options]"
EXAMPLES = (
    "deepen explain runs/digits-wren",
    "deepen explain runs/photos-resnet18 cat.jpg --method grad-cam,smoothgrad",
    "deepen explain runs/digits-lenet --method filters,activations --layer maps.0",
    "deepen explain runs/adult-tabm new.csv --method shapley --out why",
    "deepen explain runs/reviews-textcnn new.txt --method occlusion",
)
METHODS = (
    (
        "pictures",
        "integrated-gradients, grad-cam, occlusion, saliency (these if none is named); smoothgrad, activations, "
        "filters",
    ),
    ("tables", "permutation, partial-dependence, shapley (these if none is named); occlusion"),
    ("texts", "integrated-gradients, occlusion, attention (these if none is named); gradient-x-input"),
    ("language models", "surprise, attention, occlusion (these if none is named); gradient-x-input"),
    ("word vectors", "shares, cosines (these if none is named)"),
    ("codes of pictures", "reconstruction, occlusion, filters (these if none is named); saliency, activations"),
    ("clusters of pictures", "prototypes, centres, occlusion (these if none is named)"),
    ("clusters of tables", "prototypes, centres, permutation, occlusion (these if none is named)"),
    ("clusters of texts", "prototypes (these if none is named)"),
)
NOTE = (
    "Without INPUT the run's own test split is explained: the whole of it, then its worst answers and some at random.\n"
    "The folder (RUN/explanation, or --out) holds explanation.html, every picture and explanation.json."
)


@dataclass(frozen=True)
class Own:
    """This command"""

    out: str | None = field(default=None, metadata={"help": "the folder to make; default: RUN/explanation"})
    skip_bad: bool = field(default=False, metadata={"help": "leave out samples that cannot be used, and count them"})
    json: bool = field(default=False, metadata={"help": "print the numbers as one JSON object"})


def groups() -> tuple[type, ...]:
    """The option dataclasses of this verb. Imports pyarrow, not torch."""
    from deepen.explain.explaining import ExplainOptions

    return (ExplainOptions, *using_groups())


def run(argv: list[str]) -> int:
    """Explains; the exit code."""
    if wants_help(argv):
        notes = (names_block("methods:", METHODS), NOTE)
        write(verb_page(SUMMARY, USAGE, EXAMPLES, (Own, *groups()), notes=notes))
        return EXIT_DONE
    known = groups()
    arguments = parse(argv, fields_of(Own, *known))
    if not arguments.words:
        raise OptionError(f"RUN is missing; usage: {USAGE}")
    folder, *inputs = arguments.words
    run_folder(folder)

    from deepen.verbs.explain import explain

    own = arguments.values
    result = explain(
        folder,
        inputs,
        arguments.only(fields_of(*known)),
        out=own.get("out"),
        skip_bad=own.get("skip_bad", False),
        flags=True,
        command=shlex.join(["deepen", "explain", *argv]),
        events=Terminal(),
    )
    say("\n".join([result.layout, *(group.sentence() for group in grouped(result.faults)), *result.notes]))
    write_json(as_json(result)) if own.get("json") else write(as_text(result))
    return EXIT_DONE


def as_json(result: ExplanationResult) -> dict[str, Any]:
    """The numbers of every method and sample, and where the page is."""
    named = {name: getattr(result, name) for name in ("methods", "samples", "notes", "split", "layout")}
    return {"folder": str(result.folder), "page": str(result.page), **named}


def as_text(result: ExplanationResult) -> str:
    """The columns by importance where there are any, one line per sample, and the page's path last."""
    parts = []
    for name, numbers in result.methods.items():
        columns = numbers.get("columns")
        if columns:
            rows = [[column, each["importance"], each["deviation"]] for column, each in columns.items()]
            parts.append(table([f"{name}: column", numbers.get("metric", "importance"), "deviation"], rows))
    if result.samples:
        names = [name for name in result.samples[0] if name not in ("source", "answer", "truth", "probability")]
        facts = [name for name in ("truth", "answer", "probability") if name in result.samples[0]]
        rows = [
            [each["source"], *(each.get(fact) for fact in facts), *(_short(each.get(name)) for name in names)]
            for each in result.samples
        ]
        parts.append(table(["source", *facts, *names], rows))
    return "\n\n".join([*parts, str(result.page)])


def _short(found: Mapping[str, Any] | None) -> str:
    """What a method found about a sample in a few words: where the most is, or the column that says the most."""
    if not found:
        return ""
    if "most" in found:
        return str(found["most"])
    if "peak" in found:
        return f"at y {found['peak'][0]}, x {found['peak'][1]}"
    columns = found.get("columns")
    if columns:
        first = max(columns, key=lambda name: abs(columns[name]))
        return f"{first} {columns[first]:+.3g}"
    return ", ".join(found)
