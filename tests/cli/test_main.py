"""Exit codes, sentences, streams that fail, and that help and lists never import what is heavy."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepen.cli.main import VERBS, guarded, main
from deepen.core.errors import DataError, OptionError
from deepen.core.faults import Fault
from deepen.engine.signals import Interrupted

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
HEAVY = ("torch", "numpy", "pyarrow", "rich", "sklearn", "scipy", "PIL", "matplotlib", "jinja2")


def run(*arguments: str, **keywords: Any) -> subprocess.CompletedProcess[str]:
    """`python -m deepen` with its output."""
    keywords = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": ENVIRONMENT, **keywords}
    return subprocess.run([sys.executable, "-m", "deepen", *arguments], text=True, timeout=60, **keywords)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["list"], 0),
        (["train", "--help"], 0),
        (["trian"], 2),
        (["train", "image-clasification", "x"], 2),
    ],
)
def test_help_lists_and_misspelt_names_import_nothing_heavy(arguments: list[str], code: int) -> None:
    probe = (
        "import sys\nfrom deepen.cli.main import main\n"
        f"code = main({arguments!r})\nheavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "print(code, heavy, file=sys.stderr)"
    )
    started = time.monotonic()
    found = subprocess.run([sys.executable, "-c", probe], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert found.stderr.splitlines()[-1] == f"{code} []", found.stderr
    assert time.monotonic() - started < 3, "0.1 s idle; loose because other work may share the machine"


def test_importing_the_package_imports_nothing_heavy() -> None:
    probe = (
        f"import sys, deepen\nassert not [name for name in {HEAVY!r} if name in sys.modules]\nprint(deepen.__version__)"
    )
    found = subprocess.run([sys.executable, "-c", probe], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    page = capsys.readouterr().out
    assert all(f"\n  {verb} " in page for verb in VERBS)
    assert main([]) == 2
    assert main(["--version"]) == 0


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    page = capsys.readouterr().out
    assert f"examples:\n  deepen {verb}" in page
    assert "--json" in page


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["trian"], "deepen: 'trian': no such verb; did you mean train?\n"),
        (["--verson"], "deepen: '--verson': no such option; a verb comes first"),
        (["list", "model"], "deepen: 'model': nothing to list; did you mean models?\n"),
        (["list", "--jsno"], "deepen: --jsno: no such option; did you mean --json?\n"),
        (["show", "resnet81"], "deepen: 'resnet81': neither a model nor a run folder; did you mean resnet18?\n"),
        (["evaluate"], "deepen: RUN is missing; usage: deepen evaluate RUN [DATA] [--options]\n"),
        (["check"], "deepen: TASK is missing; usage: deepen check TASK DATA [--options]"),
    ],
)
def test_mistakes_are_answered_at_once(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(sentence)


def raising(error: BaseException) -> Callable[[], int]:
    """A call that raises."""

    def call() -> int:
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (OptionError("--x: no."), 2, "deepen: --x: no.\n"),
        (
            DataError("a.jpg: cut.\nb.jpg: cut.", [Fault("error", "k", "a.jpg", "cut.")]),
            2,
            "deepen: a.jpg: cut.\ndeepen: b.j",
        ),
        (OptionError("a\x1b[2Jb"), 2, "deepen: a\\x1b[2Jb\n"),
        (KeyboardInterrupt(), 130, "deepen: interrupted.\n"),
        (Interrupted(signal.SIGINT), 130, ""),
        (Interrupted(signal.SIGTERM), 143, ""),
        (MemoryError(), 2, "deepen: out of memory"),
        (
            OSError(28, "No space left on device", "runs/x"),
            2,
            "deepen: runs/x: the system refuses: no space left on device.\n",
        ),
        (SystemExit(3), 3, ""),
        (SystemExit("text"), 1, ""),
        (BrokenPipeError(), 0, ""),
    ],
)
def test_exit_codes(error: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(raising(error)) == code
    shown = capsys.readouterr().err
    assert shown.startswith(text)
    assert "Traceback" not in shown
    assert text or not shown


def test_our_own_fault_says_so_before_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(raising(AssertionError("impossible"))) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("deepen: this is a fault of deepen, not of your data or your command; please report it")
    assert "Traceback" in shown
    assert "AssertionError: impossible" in shown


def test_a_reader_that_goes_away_is_no_fault() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        found = run("list", stdout=write)
    finally:
        os.close(write)
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_one_sentence() -> None:
    with open("/dev/full", "w") as full:
        found = run("list", stdout=full)
    assert found.returncode == 1
    assert found.stderr == "deepen: standard output: cannot be written: No space left on device.\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_stderr_keeps_the_exit_code() -> None:
    with open("/dev/full", "w") as full:
        assert run("trian", stderr=full).returncode == 2


@pytest.mark.parametrize("closed", [1, 2])
def test_closed_streams_are_no_fault(closed: int) -> None:
    found = subprocess.run(
        f"exec {sys.executable} -m deepen list {closed}>&-", shell=True, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert found.returncode == 0
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("columns", ["0", "1", "20"])
def test_a_bare_environment(columns: str) -> None:
    environment = {"PYTHONPATH": ENVIRONMENT["PYTHONPATH"], "LANG": "C", "LC_ALL": "C", "COLUMNS": columns}
    environment["PYTHONIOENCODING"] = "ascii"
    found = run("list", "--json", env=environment)
    assert found.returncode == 0, found.stderr
    assert "models" in json.loads(found.stdout)
    assert run("train", "--help", env=environment).returncode == 0
    assert run("show", "r\u00e9seau", env=environment).returncode == 2


def test_sigterm_and_sigint_leave_with_their_codes() -> None:
    program = (
        "import signal, sys, time\nfrom deepen.cli import main as room\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs inherit it ignored
        "def wait(argv):\n    print('ready', flush=True)\n    time.sleep(30)\n"
        "room._run = wait\nsys.exit(room.main())"
    )
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = subprocess.Popen(
            [sys.executable, "-c", program], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=90)
        assert process.returncode == code
        assert errors in ("deepen: terminated.\n", "deepen: interrupted.\n")
