"""`deepen VERB ...`: finds the verb, runs it, and turns whatever happens into a sentence and an exit code.

0 done, 2 the user's fault, 1 ours (the only one with a traceback), 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from types import FrameType, ModuleType

from deepen import __version__
from deepen.cli import output, pages
from deepen.cli.output import OutputError, discard, say, write
from deepen.core import errors
from deepen.core.errors import DeepenError, OptionError
from deepen.core.names import did_you_mean

VERBS = (
    "check",
    "train",
    "tune",
    "evaluate",
    "compare",
    "predict",
    "generate",
    "explain",
    "compress",
    "export",
    "serve",
    "fetch",
    "list",
    "show",
)
USAGE = "deepen VERB ... [--options]      deepen VERB --help"
EXAMPLES = (
    "deepen train image-classification digits",
    "deepen check image-classification photos/",
    "deepen train image-classification photos/ --model resnet18 --time 10m",
    "deepen evaluate runs/photos-resnet18 photos/test",
    "deepen predict runs/photos-resnet18 cat.jpg holiday/",
)
REPORT = "this is a fault of deepen, not of your data or your command; please report it with what follows:"
WITHOUT_TORCH = (
    "this needs PyTorch, which is not installed here: pip install torch. Without it deepen predicts, evaluates and "
    "shows with .onnx files alone."
)
# What the system refuses, by its number, is nobody's mistake in a program: a full disk, a missing right, a limit.
SYSTEM = {
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EACCES", "EPERM", "EROFS", "EMFILE", "ENFILE", "EIO", "ENOMEM", "ESTALE")
}


class Terminated(BaseException):
    """SIGTERM outside of a training step; within one, the engine saves first."""


def main(argv: list[str] | None = None) -> int:
    """The exit code of a command line; without `argv`, the process's own, whose signals and streams it then sets up."""
    if argv is None:
        argv = sys.argv[1:]
        _set_up_process()
    code = guarded(lambda: _run(argv))
    return code if _is_flushed() else errors.EXIT_OURS


def guarded(call: Callable[[], int]) -> int:
    """The call's own exit code, or that of what it raised, with a sentence on stderr."""
    try:
        return call()
    except DeepenError as error:
        complain(str(error))
        return errors.EXIT_USER
    except OutputError as error:
        complain(str(error))
        return errors.EXIT_OURS
    except KeyboardInterrupt:
        complain("interrupted.")
        return errors.EXIT_INTERRUPTED
    except Terminated:
        complain("terminated.")
        return errors.EXIT_TERMINATED
    except MemoryError:
        return _out_of_memory()
    except Exception as error:
        return _unexpected(error)
    except BaseException as error:
        return _stopped(error)


def complain(text: str) -> None:
    """Each sentence on a line of its own, after `deepen: `."""
    say("\n".join(f"deepen: {line}" for line in text.split("\n") if line.strip()))


def _run(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        write(page())
        return errors.EXIT_DONE if argv else errors.EXIT_USER
    if argv[0] in ("--version", "-V", "version"):
        write(f"deepen {__version__}")
        return errors.EXIT_DONE
    verb = argv[0]
    if verb not in VERBS:
        kind = "option; a verb comes first" if verb.startswith("-") else "verb"
        raise OptionError(f"{verb!r}: no such {kind}{did_you_mean(verb, VERBS)}")
    return verb_module(verb).run(list(argv[1:]))


def page() -> str:
    """The help of deepen itself."""
    rows = [(verb, verb_module(verb).SUMMARY) for verb in VERBS]
    parts = [
        f"deepen {__version__}: from raw files to a deployed model.",
        f"usage: {USAGE}",
        pages.names_block("verbs:", rows),
        "\n".join(["examples:", *(f"  {line}" for line in EXAMPLES)]),
        "`deepen list` names every task and model. Every verb knows --help, and those with results --json.",
    ]
    return "\n\n".join(parts)


def verb_module(verb: str) -> ModuleType:
    """The verb's file in this folder."""
    return importlib.import_module(f"deepen.cli.{verb}")


def _unexpected(error: Exception) -> int:
    if isinstance(error, BrokenPipeError):
        discard(sys.stdout)
        return errors.EXIT_DONE
    if isinstance(error, OSError) and error.errno in SYSTEM:
        place = f"{error.filename}: " if error.filename else ""
        complain(f"{place}the system refuses: {(error.strerror or str(error)).lower()}.")
        return errors.EXIT_USER
    if isinstance(error, RuntimeError) and "allocate memory" in str(error):  # PyTorch's own word for it
        return _out_of_memory()
    if isinstance(error, ModuleNotFoundError) and str(error.name).split(".")[0] == "torch":
        complain(WITHOUT_TORCH)
        return errors.EXIT_USER
    complain(REPORT)
    command = " ".join(["deepen", *sys.argv[1:]])
    say(f"{command}\ndeepen {__version__}, Python {sys.version.split()[0]}\n{traceback.format_exc().rstrip()}")
    return errors.EXIT_OURS


def _out_of_memory() -> int:
    complain("out of memory; a smaller --batch-size or a smaller model needs less.")
    return errors.EXIT_USER


def _stopped(error: BaseException) -> int:
    """The exit code of what stops a program on purpose: the engine's Interrupted (saved already), SystemExit."""
    from deepen.engine.signals import Interrupted

    if isinstance(error, Interrupted):
        return 128 + error.signal
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else errors.EXIT_OURS if error.code else errors.EXIT_DONE
    raise error


def _is_flushed() -> bool:
    """Whether all output reached its place; a reader that went away counts as such."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
        return True
    except BrokenPipeError:
        output.discard(sys.stdout)
        return True
    except (OSError, ValueError):
        output.discard(sys.stdout)
        complain("standard output: cannot be written.")
        return False


def _set_up_process() -> None:
    """Closed streams lead nowhere, not into the next file; what cannot be encoded is escaped; SIGTERM raises."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _on_terminate)


def _on_terminate(_number: int, _frame: FrameType | None) -> None:
    raise Terminated
