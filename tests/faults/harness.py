"""What a planted fault is, and the promises that each one is held to through the command line.

A case builds a broken thing in a folder and says which verdict it must get:

    E  refused (exit 2), among the errors
    K  refused (exit 2), among the bad samples; --skip-bad leaves them out
    W  accepted (exit 0), among the warnings
    N  accepted (exit 0), no error, bad sample or warning; the same samples as the clean twin where there is one
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from deepen.cli.main import main

LEVEL_OF = {"E": "errors", "K": "samples", "W": "warnings", "N": "notes"}
LIBRARY_WORDS = (
    "Traceback",
    "Error:",
    "Error(",
    "Exception",
    "errno",
    "PIL",
    "pyarrow",
    "numpy.",
    "torch.",
    "0x7f",
    "<class",
    "NoneType",
    "object at",
)
TINY_MODELS = {
    "image-classification": "softmax-regression",
    "tabular-classification": "softmax-regression",
    "tabular-regression": "linear-regression",
}
ONLY_CHECKED = ("split-near-duplicate",)
MOST_SECONDS = 10.0
MOST_EXTRA_KIB = 300 * 1024
SOURCES = {"Linux": "/proc/self/fd"}


@dataclass(frozen=True)
class Case:
    """One planted fault.

    id       the row of the catalogue, and a word where a row has several cases: "I01-half"
    build    makes the broken thing in an empty folder and returns what stands for DATA on the command line
    words    must all occur in the sentences of the verdict's level
    verdict  E, K, W or N
    options  further words of the command line
    twin     makes the clean twin, for N: its samples must have the same labels and number
    """

    id: str
    build: Callable[[Path], Path | str]
    words: tuple[str, ...]
    verdict: Literal["E", "K", "W", "N"]
    task: str = "image-classification"
    options: tuple[str, ...] = ()
    twin: Callable[[Path], Path | str] | None = None


@dataclass(frozen=True)
class Outcome:
    """What one call of the command line did."""

    code: int
    out: str
    err: str

    @property
    def found(self) -> dict[str, Any]:
        """The JSON object that was printed."""
        return json.loads(self.out)


def deepen(*words: str | Path) -> Outcome:
    """Runs the command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(word) for word in words])
    return Outcome(code, out.getvalue(), err.getvalue())


def check(case: Case, data: Path | str) -> Outcome:
    """`deepen check` with JSON."""
    return deepen("check", case.task, data, "--json", *case.options)


def sentences(found: dict[str, Any], level: str) -> str:
    """All sentences of one level, a line each."""
    return "\n".join(entry["sentence"] for entry in found[level])


def assert_promises(case: Case, folder: Path) -> None:
    """Every promise that can be checked for one case in one process."""
    data = case.build(folder)
    before = listing(folder)
    threads, files, memory, start = threading.active_count(), open_files(), peak_kib(), time.monotonic()
    first = check(case, data)
    took = time.monotonic() - start
    assert first.out, first.err
    assert_verdict(case, first)
    for word in LIBRARY_WORDS:
        assert word not in first.out + first.err, (word, first.out + first.err)
    assert took < MOST_SECONDS, took
    assert peak_kib() - memory < MOST_EXTRA_KIB
    assert threading.active_count() <= threads
    assert open_files() <= files
    assert check(case, data).out == first.out, "two runs say different things"
    if case.verdict in "EK":
        assert_refused(case, data, folder, first)
    elif case.task in TINY_MODELS:
        assert_trained(case, data, folder, first)
    assert listing(folder) == before, "the user's own files were changed"


def assert_verdict(case: Case, outcome: Outcome) -> None:
    """The exit code, and the words in the right place."""
    found = outcome.found
    bad = {level: sentences(found, level) for level in ("errors", "samples")}
    assert outcome.code == (2 if case.verdict in "EK" else 0), (outcome.code, bad)
    said = sentences(found, LEVEL_OF[case.verdict])
    for word in case.words:
        assert word in said, (word, found)
    if case.verdict == "K":
        assert found["samples"] and not found["errors"], found
    if case.verdict == "N":
        assert not found["warnings"], found["warnings"]


def assert_refused(case: Case, data: Path | str, folder: Path, checked: Outcome) -> None:
    """`train` says the same first sentence before the first step, and leaves nothing behind."""
    out = folder.parent / "run"
    outcome = deepen("train", case.task, data, "--out", out, "--steps", "1", "--json", *case.options)
    assert outcome.code == 2, outcome.err
    first = sentences(checked.found, LEVEL_OF[case.verdict]).split("\n")[0]
    places = [entry["place"] for entry in checked.found[LEVEL_OF[case.verdict]]]
    assert first in outcome.err or any(place and place in outcome.err for place in places), (first, outcome.err)
    assert not out.exists(), "a refused training left a folder"


def assert_trained(case: Case, data: Path | str, folder: Path, checked: Outcome) -> None:
    """`train` takes the data, comes to an end, and says the same warnings but for those that only `check` looks for."""
    out = folder.parent / "run"
    words = ("--out", out, "--epochs", "1", "--model", TINY_MODELS[case.task], "--device", "cpu", *case.options)
    outcome = deepen("train", case.task, data, *words)
    assert outcome.code == 0, outcome.err
    for word in LIBRARY_WORDS:
        assert word not in outcome.out + outcome.err, (word, outcome.out + outcome.err)
    said = json.loads((out / "run.json").read_text("utf-8"))["extra"]["warned"]
    for entry in checked.found["warnings"]:
        known = any(entry["sentence"] in text or entry["place"] in text for text in said)
        assert known or entry["kind"] in ONLY_CHECKED, (entry, said)
    numbers = (out / "metrics.jsonl").read_text("utf-8")
    assert "NaN" not in numbers and "Infinity" not in numbers


def leave_room(patch: pytest.MonkeyPatch, num_bytes: int) -> None:
    """From now on files take so many bytes in all; the write that is one too many is done in part, as disks do it."""
    left, real = [num_bytes], os.write

    def write(descriptor: int, content: bytes) -> int:
        fits = bytes(content)[: left[0]]
        if not fits:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= len(fits)
        return real(descriptor, fits)

    patch.setattr(os, "write", write)


def listing(folder: Path) -> dict[str, str]:
    """Every entry below a folder with a hash of its content (or its kind)."""
    found = {}
    for root, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = os.path.join(root, name)
            if os.path.islink(path):
                found[path] = "-> " + os.readlink(path)
            elif os.path.isfile(path) and os.access(path, os.R_OK):
                with open(path, "rb") as file:
                    found[path] = hashlib.file_digest(file, "blake2b").hexdigest()
            else:
                found[path] = "folder or special"
    return found


def open_files() -> int:
    """How many files this process has open, 0 where the system does not say."""
    place = SOURCES.get("Linux") if sys.platform == "linux" else None
    return len(os.listdir(place)) if place else 0


def peak_kib() -> int:
    """The most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
