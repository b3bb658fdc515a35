"""Under real limits: memory that runs out (F22), and a user who may not read everything (F10)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import deepen as package
from tests.faults.harness import deepen
from tests.faults.pictures import encoded, photos

SOURCE = Path(package.__file__).parents[1]
LIMITED = """
import os, resource, sys
import deepen.verbs.check, deepen.verbs.train, deepen.models.linear, deepen.tasks.image_classification, torch
from deepen.cli.main import main
held = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (held + {room},) * 2)
sys.exit(main(sys.argv[1:]))
"""
ROOM = 1_000 << 20  # address space, of which each thread reserves 72 MiB
NOBODY = 65_534
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@linux
def test_pixels_that_do_not_fit_are_streamed(tmp_path: Path) -> None:
    """F22: 480 pictures of 512 x 512 are 360 MiB, more than a quarter of what may be taken."""
    for name, bright in (("cat", 60), ("dog", 190)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(240):
            picture = np.full((8, 8, 3), bright, np.uint8)
            picture[number // 8 % 8, number % 8] = number
            (tmp_path / "photos" / name / f"{number}.png").write_bytes(encoded(picture))
    words = ("--image-size", "512", "--model", "softmax-regression", "--steps", "2", "--batch-size", "4")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED.format(room=ROOM), "train", "image-classification", "photos", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "DEEPEN_CACHE": "off"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("kind", ["file", "folder", "root"])
def test_what_may_not_be_read_is_named(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F10, as a user without privileges: a file is a bad sample, a folder an error."""
    monkeypatch.setenv("DEEPEN_CACHE", "off")
    root = photos(tmp_path)
    assert deepen("check", "image-classification", root).code == 0  # and all is imported that the child cannot read
    forbidden = {"file": root / "cat" / "3.png", "folder": root / "dog", "root": root}[kind]
    closed = [folder for folder in tmp_path.parents if folder.stat().st_mode & 0o005 != 0o005]
    for folder in (tmp_path, *closed):
        folder.chmod(0o755)
    forbidden.chmod(0)
    code, said = as_nobody(("check", "image-classification", str(root)))
    forbidden.chmod(0o755)
    assert code == 2, said
    words = {
        "file": "3.png: may not be read by this user; change its permissions.",
        "folder": "dog: this folder cannot be read (permission denied); change its permissions.",
        "root": "photos: this folder cannot be read (permission denied); change its permissions.",
    }
    assert words[kind] in said


def as_nobody(words: tuple[str, ...]) -> tuple[int, str]:
    """The exit code and output of the command line in a child process that has given up all privileges."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            outcome = deepen(*words)
            os.write(writer, (outcome.out + outcome.err)[:60_000].encode())
            code = outcome.code
        finally:
            os._exit(code)
    os.close(writer)
    with open(reader, "rb") as file:
        said = file.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said
