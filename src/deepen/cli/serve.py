"""`deepen serve RUN [RUN ...]`: answers over HTTP, and a page for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deepen.cli.arguments import parse, wants_help
from deepen.cli.output import say, write, write_json
from deepen.cli.pages import verb_page
from deepen.cli.reading import run_folder
from deepen.core.errors import EXIT_DONE, OptionError
from deepen.core.options import fields_of

if TYPE_CHECKING:
    from deepen.serve.server import Told

SUMMARY = "answer over HTTP with one run or several, and show a page to try them on"
USAGE = "deepen serve RUN [RUN ...] [--port N] [--options]"
EXAMPLES = (
    "deepen serve runs/digits-lenet",
    "deepen serve runs/digits-lenet runs/adult-tabm --port 9000",
    "deepen serve runs/photos-resnet18 --host 0.0.0.0 --allowed-hosts photos.example",
)
NOTE = (
    "The page is at /, the forms of requests at /docs. It listens on this machine alone; with another --host clients\n"
    "need a token, which is printed once where none is given. SIGTERM or Ctrl-C lets it end what it began."
)


@dataclass(frozen=True)
class Own:
    """This command"""

    json: bool = field(default=False, metadata={"help": "say where it listens as one JSON object"})


def groups() -> tuple[type, ...]:
    """The option dataclasses of this verb. Imports nothing heavy."""
    from deepen.serve.limits import ServeOptions

    return (ServeOptions,)


def run(argv: list[str]) -> int:
    """Serves until it is told to end; the exit code."""
    if wants_help(argv):
        write(verb_page(SUMMARY, USAGE, EXAMPLES, (Own, *groups()), notes=(NOTE,)))
        return EXIT_DONE
    known = groups()
    arguments = parse(argv, fields_of(Own, *known))
    if not arguments.words:
        raise OptionError(f"RUN is missing; usage: {USAGE}")
    for folder in arguments.words:
        run_folder(folder)

    from deepen.verbs.serve import serve

    as_json = arguments.values.get("json", False)

    def ready(told: Told) -> None:
        if as_json:
            write_json({"address": told.address, "port": told.port, "token": told.token})
        else:
            write(sentence(told))

    say("loading ...")
    serve(list(arguments.words), arguments.only(fields_of(*known)), flags=True, say=say, on_ready=ready)
    return EXIT_DONE


def sentence(told: Told) -> str:
    """Where it listens; a token that was made up stands behind #, where no server and no log sees it."""
    if not told.token:
        return f"serving at {told.address} (Ctrl-C ends it)"
    return (
        f"serving at {told.address}#token={told.token} (Ctrl-C ends it)\n"
        f"It can be reached from other machines, so clients must send: Authorization: Bearer {told.token}"
    )
