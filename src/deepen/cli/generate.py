"""`deepen generate RUN`: what a run makes of a beginning, written as it comes."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from deepen.cli.arguments import parse, take, wants_help
from deepen.cli.output import write, write_json
from deepen.cli.pages import verb_page
from deepen.cli.reading import run_folder
from deepen.core.errors import EXIT_DONE
from deepen.core.faults import printable
from deepen.core.options import fields_of
from deepen.ops.decoding_options import DecodingOptions

SUMMARY = "go on from a beginning with a run that generates"
USAGE = "deepen generate RUN [--prompt TEXT] [--options]"
EXAMPLES = (
    'deepen generate runs/novel-lstm --prompt "The Time Traveller" --length 200',
    "deepen generate runs/novel-lstm --temperature 0.7 --top-k 40 --seed 3",
    'deepen generate runs/novel-lstm --prompt "It was" --beam 5 --length 20 --json',
)


@dataclass(frozen=True)
class Own:
    """This command"""

    prompt: str = field(default="", metadata={"help": "the beginning; default: none"})
    json: bool = field(default=False, metadata={"help": "print prompt and continuation as one JSON object"})


def run(argv: list[str]) -> int:
    """Writes the prompt and what goes on from it; the exit code."""
    if wants_help(argv):
        write(verb_page(SUMMARY, USAGE, EXAMPLES, (Own, DecodingOptions)))
        return EXIT_DONE
    arguments = parse(argv, fields_of(Own, DecodingOptions))
    (folder,) = take(arguments.words, ("RUN",), usage=USAGE)
    prompt = arguments.values.get("prompt", "")

    from deepen.verbs.generate import generate

    pieces = generate(run_folder(folder), prompt, arguments.only(fields_of(DecodingOptions)), flags=True)
    if arguments.values.get("json"):
        write_json({"prompt": prompt, "continuation": "".join(pieces)})
        return EXIT_DONE
    write(_shown(prompt), end="")
    for piece in pieces:
        write(_shown(piece), end="")
    write("")
    return EXIT_DONE


def _shown(text: str) -> str:
    """As it is, but on a terminal with what would steer it written as escapes."""
    if not sys.stdout.isatty():
        return text
    return "\n".join(printable(line) for line in text.split("\n"))
