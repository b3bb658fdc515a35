"""K12, K27, K28, K29, K31: memory that runs out, caches, batches without targets, and clocks that jump."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

import deepen as package
from deepen.core.faults import Fault
from deepen.ops.losses import IGNORED, cross_entropy_sum, huber_sum, squared_error_sum
from deepen.prepare import cache
from tests.torture.kills import every_kill

SOURCE = Path(package.__file__).parent
ROOM = 300 << 20
WALL_CLOCKS = {
    "time.time", "time.time_ns", "time.localtime", "time.ctime", "datetime.now", "datetime.utcnow", "date.today",
}  # fmt: skip


LIMITED = """
import importlib, os, resource, sys
from pathlib import Path
import sklearn.datasets
for module in ("cli.main", "verbs.train", "models.resnet", "models.tabm", "data.readers.digits"):
    importlib.import_module(f"deepen.{module}")  # libraries take address space, too
sklearn.datasets.load_digits()
held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (held + int(sys.argv[1]),) * 2)
sys.exit(importlib.import_module("deepen.cli.main").main(sys.argv[2:]))
"""


def limited(room: int, words: tuple[object, ...]) -> subprocess.CompletedProcess[str]:
    """What deepen says in a fresh process that may take so many more bytes than are held after importing.

    Fresh, because a child of this process would also have what its earlier tests took and gave back.
    """
    line = [sys.executable, "-c", LIMITED, str(room), *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("image-classification", "digits", "--model", "resnet18", "--batch-size", "4096"),
            ("--batch-size 4096: a step needs more memory than there is", "try --batch-size 729", "--accumulate 2"),
        ),
        (("tabular-classification", "tiny", "--network.width", "200000"), ("--model: the network needs more memory",)),
        (
            ("tabular-classification", "tiny", "--network.width", str(10**18)),
            ("--model: the network needs more memory",),
        ),
    ],
    ids=["batch", "network", "beyond counting"],
)
def test_memory_that_runs_out_is_a_sentence(words: tuple[str, ...], sentence: tuple[str, ...], tmp_path: Path) -> None:
    """K28: it names the option and a value that needs less."""

    outcome = limited(ROOM, ("train", *words, "--steps", "3", "--out", tmp_path / "run"))
    assert outcome.returncode == 2, outcome
    for word in sentence:
        assert word in outcome.stderr, outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("count", [0, 5])
def test_nothing_to_learn_from_is_zero_and_not_nan(count: int) -> None:
    """K27: an empty batch, and one whose targets are all ignored."""
    logits = torch.randn(count, 3, requires_grad=True)
    loss = cross_entropy_sum(logits, torch.full((count,), IGNORED), label_smoothing=0.1)
    loss.backward()
    assert float(loss.detach()) == 0 and logits.grad is not None and not logits.grad.any()


def test_ignored_targets_change_nothing_for_the_others() -> None:
    logits, targets = torch.randn(7, 3), torch.tensor([0, IGNORED, 2, 1, IGNORED, 0, 2])
    kept = targets != IGNORED
    for smoothing in (0.0, 0.1):
        whole = cross_entropy_sum(logits, targets, label_smoothing=smoothing)
        assert torch.allclose(whole, cross_entropy_sum(logits[kept], targets[kept], label_smoothing=smoothing))


@pytest.mark.parametrize("loss", [squared_error_sum, huber_sum])
def test_an_empty_batch_of_numbers_is_zero(loss: Callable[..., torch.Tensor]) -> None:
    empty = torch.zeros(0, requires_grad=True)
    total = loss(empty, torch.zeros(0))
    total.backward()
    assert float(total.detach()) == 0


def wall_clocks(text: str) -> list[str]:
    """The calls in a source text whose answer changes when someone sets the clock."""
    called = [ast.unparse(node.func) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    imported = [
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    return [name for name in (*called, *imported) if any(f".{name}".endswith(f".{clock}") for clock in WALL_CLOCKS)]


def test_no_budget_hangs_on_a_clock_that_can_be_set() -> None:
    """K29: nothing in the package reads the wall clock; `time.monotonic` alone measures."""
    assert (
        wall_clocks("datetime.datetime.now()") and wall_clocks("from time import time") and wall_clocks("time.time()")
    )
    assert not wall_clocks("time.monotonic()")
    for path in SOURCE.rglob("*.py"):
        if path != SOURCE / "verbs" / "tuning_study.py":  # machines that share a study have no other clock in common
            assert not wall_clocks(path.read_text("utf-8")), path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEEPEN_CACHE", str(tmp_path))
    return tmp_path


def stored(name: str, value: int = 7) -> list[Fault]:
    faults: list[Fault] = []
    table = pa.table({"source": [f"{row}.png" for row in range(11)]})
    cache.store(name, torch.full((11, 5, 3, 1), value, dtype=torch.uint8), np.arange(11), [], table, faults)
    return faults


def test_the_cache_does_not_grow_without_end(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """K31."""
    stored("first")
    size = next(place.iterdir()).stat().st_size
    monkeypatch.setattr(cache, "KEPT_BYTES", 3 * size)
    for number in range(20):
        stored(f"name{number}")
        assert len(list(place.iterdir())) <= 3
    assert cache.load("name19") is not None


def test_what_killed_writers_left_in_the_cache_is_swept(place: Path) -> None:
    """K33: killed at every operation; the next one finds a whole file or none, and nothing stays."""
    for _ in every_kill(lambda: stored("name")):
        held = cache.load("name")
        assert held is None or bool((held.values == 7).all())
        assert stored("other") == []
        assert {path.name for path in place.iterdir()} <= {"name.encoded", "other.encoded"}
        for path in place.iterdir():
            path.unlink()


def test_two_processes_that_build_one_cache_file_both_get_it_right(place: Path) -> None:
    """K12."""
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            good = all(stored("name") == [] and bool((cache.load("name").values == 7).all()) for _ in range(30))  # type: ignore[union-attr]
            os._exit(0 if good else 1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    assert [path.name for path in place.iterdir()] == ["name.encoded"]
