"""`serve`: runs as a server on this machine, each in a worker process of its own.

The process that listens imports no torch. A worker loads its run and is asked through its standard input
(serve/worker.py); what it does with rows is what `predict` does with files: the task's own encoding, batches, answers.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepen.bundle.header import PREPARE_FILE, RUN_FILE, WEIGHTS_FILE
from deepen.core import options as option_rules
from deepen.core import processor
from deepen.core.errors import OptionError
from deepen.serve.limits import ServeOptions

if TYPE_CHECKING:
    from deepen.serve.keeper import Model
    from deepen.serve.server import Told

STARTED_BY = "import sys; sys.path[:] = {path!r}; from deepen.verbs.serve import worker; worker(*{arguments!r})"
STEPS_BACK = 5  # how nice an explainer is to the workers that answer


def serve(
    runs: str | Path | Sequence[str | Path],
    given: Mapping[str, Any] | None = None,
    *,
    flags: bool = False,
    say: Callable[[str], None] = lambda text: None,
    on_ready: Callable[[Told], None] = lambda told: None,
) -> None:
    """Serves until SIGTERM or Ctrl-C, or until there is a reason why it cannot.

    runs      one run or several; the first answers where a request names none
    given     ServeOptions
    say       gets a line for whatever happens: a worker that ended, a run that was replaced
    on_ready  is told where it listens once every run can answer

    Raises OptionError, or RunError for a run that cannot be loaded.
    """
    _server(runs, given, flags=flags, say=say, on_ready=on_ready).run()


@contextlib.contextmanager
def serving(
    runs: str | Path | Sequence[str | Path],
    given: Mapping[str, Any] | None = None,
    *,
    say: Callable[[str], None] = print,
) -> Generator[Told]:
    """A server on a thread of this process, for as long as the block lasts: where it listens."""
    ready: queue.Queue[Told | BaseException] = queue.Queue()
    server = _server(runs, given, flags=False, say=say, on_ready=ready.put)

    def run() -> None:
        try:
            server.run()
        except BaseException as error:
            ready.put(error)

    thread = threading.Thread(target=run, name="deepen serve", daemon=True)
    thread.start()
    told = ready.get()
    if isinstance(told, BaseException):
        thread.join()
        raise told
    try:
        yield told
    finally:
        server.stop()
        thread.join()


def _server(
    runs: str | Path | Sequence[str | Path],
    given: Mapping[str, Any] | None,
    *,
    flags: bool,
    say: Callable[[str], None],
    on_ready: Callable[[Told], None],
) -> Any:
    values = option_rules.resolve(option_rules.fields_of(ServeOptions), given or {}, flags=flags)
    options = option_rules.build(ServeOptions, values)
    try:
        from deepen.serve.server import Server
    except ImportError as error:
        raise OptionError(
            f"serve: needs a package that is not here ({error.name}); pip install deepen[serve]."
        ) from None
    folders = [Path(each) for each in ([runs] if isinstance(runs, (str, Path)) else runs)]
    if not folders:
        raise OptionError("serve: expected a run to serve, but none is named.")
    return Server(models(folders, options), options, say, on_ready)


def models(folders: Sequence[Path], options: ServeOptions) -> list[Model]:
    """Each run by the name of its folder, with the commands that start its workers."""
    from deepen.serve.keeper import Model
    from deepen.serve.process import Command

    cores = processor.available_cores()
    threads = options.threads or max(1, (cores - 1) // len(folders))
    found: list[Model] = []
    for folder in folders:
        stem = folder.resolve().name
        names = [model.name for model in found]
        name = next(each for each in (stem, *(f"{stem}-{n}" for n in range(2, 1000))) if each not in names)
        arguments = (str(folder.resolve()), options.batch_size, options.max_megapixels)
        answers = Command(_words(*arguments, "answer"), threads)
        explainer = Command(_words(*arguments, "explain"), threads) if options.explain else None
        found.append(Model(name, folder, (RUN_FILE, PREPARE_FILE, WEIGHTS_FILE), answers, explainer))
    return found


def _words(*arguments: Any) -> tuple[str, ...]:
    """The command line of a worker; nothing from the working folder is imported."""
    path = [each for each in sys.path if each] + [str(Path(__file__).parents[2])]
    return (sys.executable, "-I", "-c", STARTED_BY.format(path=path, arguments=arguments))


def worker(folder: str, batch_size: int, max_megapixels: float, role: str) -> None:
    """What a worker process does from its beginning to its end. role: "answer" or "explain"."""
    from deepen.prepare.image_guard import guarded
    from deepen.serve.worker import work
    from deepen.verbs.loaded import loaded
    from deepen.verbs.run_answers import RunAnswers

    def make() -> RunAnswers:
        made = RunAnswers(loaded(folder), max_pixels=int(max_megapixels * 1e6))
        if role == "explain":
            os.nice(STEPS_BACK)
        return made

    with guarded():
        work(make, batch_size=batch_size, measures=role == "answer")
