"""K02, K34: an atomic write killed at every operation, by fork and by strace, and the order that a power loss needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deepen.core import files
from tests.torture.kills import every_kill, recorded

OLD, NEW = b"old " * 1000, b"new " * 700
SOURCE = Path(__file__).resolve().parents[2] / "src"
SCRIPT = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); from deepen.core.files import write_bytes; "
CALLS = ("openat", "write", "fchmod", "fsync", "renameat", "flock", "fstat", "close")
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


def assert_old_or_new(folder: Path) -> None:
    assert (folder / "a").read_bytes() in (OLD, NEW)
    others = set(os.listdir(folder)) - {"a"}
    assert set(files.sweep(folder)) == others
    assert os.listdir(folder) == ["a"]


def test_killed_at_every_operation_the_file_is_old_or_new(tmp_path):
    files.write_bytes(tmp_path / "a", OLD)
    seen = []
    for _number, _torn in every_kill(lambda: files.write_bytes(tmp_path / "a", NEW)):
        seen.append((tmp_path / "a").read_bytes())
        assert_old_or_new(tmp_path)
        files.write_bytes(tmp_path / "a", OLD)
    assert len(seen) >= 14 and OLD in seen and NEW in seen


def test_killed_at_every_operation_of_the_sweep(tmp_path):
    """K03: the kill that comes while the leftovers of the last one are swept."""

    def plant():
        for number in range(3):
            (tmp_path / f".deepen-{number:016x}.tmp").write_bytes(b"left")

    plant()
    for _ in every_kill(lambda: files.sweep(tmp_path)):
        files.sweep(tmp_path)
        assert os.listdir(tmp_path) == []
        plant()


def test_data_is_synced_before_the_rename_and_the_folder_after_it(tmp_path, monkeypatch):
    seen = recorded(lambda: files.write_bytes(tmp_path / "a", NEW), monkeypatch.setattr)
    monkeypatch.undo()
    names = [name for name, _ in seen]
    assert names == ["open", "open", "write", "fchmod", "fsync", "replace", "fsync", "close", "close"]
    folder, temporary = (what.rsplit(" -> ", 1)[1] for _, what in seen[:2])
    assert [what for name, what in seen if name == "fsync"] == [temporary, folder]
    assert not any(what.startswith("a -> ") for name, what in seen if name == "open")


def under_strace(folder: Path, *options: str, log: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    work = f"{SCRIPT}write_bytes({str(folder / 'a')!r}, {NEW!r})"
    where = ["-o", str(log) if log else os.devnull]
    return subprocess.run(
        ["strace", "-f", *where, *options, sys.executable, "-I", "-S", "-B", "-c", work],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        timeout=60,
        check=False,
    )


def places(lines: list[str]) -> dict[str, list[int]]:
    """For each kind of call, which of its calls (from 1) belong to the protocol, from opening the folder on."""
    start = next(
        i for i, line in enumerate(lines) if "O_DIRECTORY" in line and "/watched" in line and "NONBLOCK" not in line
    )
    stop = next(i for i, line in enumerate(lines) if i > start and "renameat" in line) + 4
    found: dict[str, list[int]] = {}
    counts: dict[str, int] = {}
    for i, line in enumerate(lines):
        called = re.match(r"(?:\d+ +)?(\w+)\(", line)
        if called is None:
            continue
        counts[called[1]] = counts.get(called[1], 0) + 1
        if start <= i < stop:
            found.setdefault(called[1], []).append(counts[called[1]])
    return found


@needs_strace
def test_under_strace_killed_and_refused_at_every_system_call(tmp_path):
    folder = tmp_path / "watched"
    folder.mkdir()
    files.write_bytes(folder / "a", OLD)
    log = tmp_path / "calls"
    assert under_strace(folder, "-e", f"trace={','.join(CALLS)}", log=log).returncode == 0
    lines = log.read_text().splitlines()
    protocol = [line for line in lines if "deepen-" in line or "fsync" in line or "fchmod" in line]
    assert [re.search(r"(\w+)\(", line)[1] for line in protocol] == ["openat", "fchmod", "fsync", "renameat", "fsync"]
    assert "O_EXCL" in protocol[0] and "0600" in protocol[0]
    assert not any(re.search(r'openat\(.*"(.*/)?a", O_(WRONLY|RDWR)', line) for line in lines)
    points = places(lines)
    assert sum(map(len, points.values())) >= 9
    states = []
    for call, numbers in points.items():
        for number in numbers:
            files.write_bytes(folder / "a", OLD)
            ended = under_strace(folder, "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}")
            assert ended.returncode in (-9, 137), (call, number, ended)
            states.append((folder / "a").read_bytes())
            assert_old_or_new(folder)
    assert OLD in states and NEW in states


@needs_strace
@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        ("write", "ENOSPC", b"disk full: needs 2.8 kB, "),
        ("write", "EIO", b"input/output error"),
        ("write", "EDQUOT", b"quota"),
        ("fsync", "EIO", b"input/output error"),
        ("openat", "EMFILE", b"too many open files"),
        ("openat", "EACCES", b"no permission"),
        ("renameat", "EXDEV", b"another file system"),
        ("renameat", "EROFS", b"read-only"),
    ],
)
def test_under_strace_every_refusal_is_said_and_the_old_file_stands(tmp_path, call, code, words):
    folder = tmp_path / "watched"
    folder.mkdir()
    files.write_bytes(folder / "a", OLD)
    log = tmp_path / "calls"
    under_strace(folder, "-e", f"trace={','.join(CALLS)}", log=log)
    files.write_bytes(folder / "a", OLD)
    number = places(log.read_text().splitlines())[call][0]
    ended = under_strace(folder, "-e", f"trace={call}", "-e", f"inject={call}:error={code}:when={number}")
    assert ended.returncode == 1 and words in ended.stderr, ended
    assert (folder / "a").read_bytes() == OLD
    assert os.listdir(folder) == ["a"]
