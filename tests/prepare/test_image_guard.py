"""A decoder that crashes or never ends costs one file (I27, I23)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest
import torch

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.prepare import image, image_guard, image_worker
from tests.faults.harness import deepen, open_files
from tests.faults.pictures import encoded, photos, pixels

CRASHES = b"crash here"
STALLS = b"stall here"
HOOK = """
import os, signal, sys
sys.path[:] = {{path!r}}
from deepen.prepare import image_decode, image_worker
plain = image_decode.decode
def decode(data, **options):
    if {crashes!r} in data:
        os.kill(os.getpid(), signal.{name})
    while {stalls!r} in data:
        pass
    return plain(data, **options)
image_decode.decode, image_worker.MOST_SECONDS = decode, {seconds}
image_worker.main({{shared}})
"""


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEEPEN_CACHE", "off")
    monkeypatch.chdir(tmp_path)
    plant(monkeypatch)


def plant(monkeypatch: pytest.MonkeyPatch, name: str = "SIGSEGV", seconds: float = image_worker.MOST_SECONDS) -> None:
    """Makes workers crash with a signal, or never end until `seconds` of computing, where the file says so."""
    hook = HOOK.format(crashes=CRASHES, stalls=STALLS, name=name, seconds=seconds)
    monkeypatch.setattr(image_guard, "STARTED_BY", hook)


def file_with(seed: int, end: bytes = b"") -> bytes:
    return encoded(pixels(seed)) + end


def table(contents: list[bytes | None]) -> pa.Table:
    rows = [str(row) for row in range(len(contents))]
    return pa.table({"image": pa.array(contents, pa.binary()), "source": rows, "key": rows})


def test_workers_and_threads_decode_the_same() -> None:
    sizes = [(16, 16), (40, 31), (7, 90)] * 20
    contents = [encoded(pixels(row, height=high, width=wide)) for row, (high, wide) in enumerate(sizes)]
    images = table([*contents, None, b"text"])
    state = image.learn(images, faults=[])
    found: list[list[Fault]] = [[], []]
    plain = image.encode(images, state, "train", found[0])
    with image_guard.guarded():
        assert image.learn(images, faults=[]) == state
        guarded = image.encode(images, state, "train", found[1])
    assert plain.pixels is not None and guarded.pixels is not None
    assert torch.equal(plain.pixels, guarded.pixels) and found[0] == found[1]
    assert np.array_equal(plain.kept, guarded.kept) and len(found[0]) == 2


def test_pixels_that_do_not_fit_the_shared_memory_come_beside_it() -> None:
    contents = [encoded(np.full((2_100, 3_100, 3), row, np.uint8)) for row in range(3)]  # 3 x 19.5 MB
    images = table(contents)
    state = {**image.learn(table([file_with(0)]), faults=[]), "size": [2_100, 3_100]}
    plain = image.encode(images, state, "train", []).pixels
    with image_guard.guarded():
        guarded = image.encode(images, state, "train", []).pixels
    assert plain is not None and guarded is not None and torch.equal(plain, guarded)


@pytest.mark.parametrize("verb", ["check", "train"])
def test_a_crash_names_the_file(verb: str, tmp_path: Path) -> None:
    """I27: an error with the file's name, exit code 2, and no process left."""
    root = photos(tmp_path, count=20)
    for name in ("b.png", "c.png"):
        (root / "cat" / name).write_bytes(file_with(ord(name[0]), CRASHES))
    (root / "dog" / "text.png").write_bytes(b"text")
    before, files = psutil.Process().children(recursive=True), open_files()
    outcome = deepen(verb, "image-classification", root)
    assert outcome.code == 2
    said = outcome.out + outcome.err
    assert "png: the image decoder crashed on it (SIGSEGV); remove it, or save it again" in said
    assert "b.png" in said and "c.png" in said and "text.png: is text, not an image" in said
    assert psutil.Process().children(recursive=True) == before and open_files() <= files
    assert not (tmp_path / "runs").exists()


def test_each_crash_is_found_and_the_rest_is_decoded() -> None:
    contents = [file_with(row, CRASHES if row in (3, 4, 17, 39) else b"") for row in range(40)]
    faults: list[Fault] = []
    with image_guard.guarded():
        state = image.learn(table(contents), faults=[])
        kept = image.encode(table(contents), state, "train", faults).kept
    assert [(fault.level, fault.row) for fault in faults] == [("error", row) for row in (3, 4, 17, 39)]
    assert len(kept) == 36


def test_one_that_never_ends_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """I23: by the time that it computes, not by the clock."""
    plant(monkeypatch, seconds=0.5)
    faults: list[Fault] = []
    with image_guard.guarded():
        state = image.learn(table([file_with(0)]), faults=[])
        kept = image.encode(table([file_with(0), file_with(1, STALLS)]), state, "train", faults).kept
    assert kept.tolist() == [0]
    assert faults[0].level == "sample"
    assert "takes more than 30 seconds of computing to decode" in faults[0].sentence()


def test_being_killed_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, "SIGKILL")
    faults: list[Fault] = []
    with image_guard.guarded():
        state = image.learn(table([file_with(0)]), faults=[])
        image.encode(table([file_with(1, CRASHES)]), state, "train", faults)
    assert "was killed (SIGKILL), as happens when memory runs out" in faults[0].sentence()


def test_many_crashes_are_the_fault_of_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_guard, "MOST_CRASHES", 2)
    state = image.learn(table([file_with(0)]), faults=[])
    with image_guard.guarded(), pytest.raises(DataError, match="the image decoder crashed on this and 2 other files"):
        image.encode(table([file_with(row, CRASHES) for row in range(4)]), state, "train", [])


@pytest.mark.parametrize("program", ["/nowhere/python", sys.executable])
def test_without_workers_threads_decode(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", program)
    monkeypatch.setattr(image_guard, "STARTED_BY", "raise SystemExit")
    contents = [file_with(row) for row in range(40)]
    with image_guard.guarded():
        state = image.learn(table(contents), faults=[])
        assert len(image.encode(table(contents), state, "train", []).kept) == 40
        assert image_guard.current() is None


def test_workers_end_when_their_parent_is_killed() -> None:
    code = (
        "import os, signal\nfrom deepen.prepare.image_decode import Wanted\n"
        "from deepen.prepare.image_guard import Worker\n"
        "worker = Worker(); worker.answers([b'x'], Wanted()); print(worker.process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    source = str(Path(image.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": source}, capture_output=True, text=True
    )
    worker = int(done.stdout)
    gone, alive = psutil.wait_procs([psutil.Process(worker)] if psutil.pid_exists(worker) else [], timeout=5)
    assert not alive or alive[0].status() == psutil.STATUS_ZOMBIE, gone


def test_a_worker_imports_no_torch() -> None:
    code = "import sys, deepen.prepare.image_worker; print([name for name in sys.modules if name.startswith('torch')])"
    source = str(Path(image.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": source}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr
