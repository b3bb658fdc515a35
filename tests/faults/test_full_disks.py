"""K08, K10, K11, K12: disks that are full or fail, folders that go away, and two at once, during a training."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from deepen.bundle import load
from deepen.core import files
from deepen.engine.events import Silent
from tests.faults.harness import LIBRARY_WORDS, Outcome, deepen, leave_room
from tests.torture.kills import content_of, succeeds
from tests.torture.training import STEPS, assert_same, undisturbed

TASK = "tabular-classification"
WORDS = ("train", TASK, "tiny", "--steps", str(STEPS), "--checkpoint-every", "1ms", "--seed", "3", "--device", "cpu")
NOBODY = 65534
PLACES = {  # which file cannot be written, and at which of the times it is written
    "the first checkpoint": ("step-", 1),
    "a later checkpoint": ("step-", 5),
    "the metrics": ("metrics.jsonl", 1),
    "the timing": ("timing.jsonl", 2),
    "the weights": ("weights.safetensors", 1),
    "the report": ("report.html", 1),
    "the card": ("README.md", 1),
    "the header at the end": ("run.json", 3),
}


class FailingFile:
    """While in place, writing a file whose name begins with `name` fails from its n-th time on.

    call  "write" fails in the middle of a file, "fsync" at its end
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, time: int, code: int, call: str = "write") -> None:
        self.name, self.left, self.code = name, time, code
        self.files: dict[int, bool] = {}
        self.has_failed = False
        real_start, real_call = files._Descriptor.__init__, getattr(os, call)

        def start(this: object, descriptor: int, path: Path, num_bytes: int) -> None:
            self.left -= path.name.startswith(self.name)
            self.files[descriptor] = path.name.startswith(self.name) and self.left <= 0
            real_start(this, descriptor, path, num_bytes)

        def failing(descriptor: int, *rest: object) -> object:
            if self.files.get(descriptor):
                self.has_failed = True
                raise OSError(self.code, os.strerror(self.code))
            return real_call(descriptor, *rest)

        monkeypatch.setattr(files._Descriptor, "__init__", start)
        monkeypatch.setattr(os, call, failing)


def train(folder: Path, *more: str) -> Outcome:
    return deepen(*WORDS, "--out", folder, *more)


def assert_sentence(outcome: Outcome, *words: str) -> None:
    assert outcome.code == 2, outcome
    last = outcome.err.splitlines()[-1]
    assert last.startswith("deepen: "), outcome.err
    for word in words:
        assert word in last, (word, last)
    for word in LIBRARY_WORDS:
        assert word not in outcome.err, outcome.err


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The run that nothing happened to."""
    folder = tmp_path_factory.mktemp("expected") / "run"
    undisturbed(TASK, folder, {})
    return folder


@pytest.mark.parametrize("place", PLACES)
def test_a_full_disk_is_said_and_the_run_can_be_resumed(place: str, tmp_path: Path, expected: Path) -> None:
    """K08: what was saved before stands, nothing half-written is left, and the end is that of an undisturbed run."""
    name, time = PLACES[place]
    folder = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        failing = FailingFile(patch, name, time, errno.ENOSPC)
        outcome = train(folder)
    assert failing.has_failed
    assert_sentence(outcome, name, "disk full: needs ", " free at ", "free some space or choose another folder")
    assert not [left for left in content_of(folder) if ".deepen" in left]
    assert load.load_header(folder)["status"] == ("training" if name == "run.json" else "failed")
    again = train(folder, "--resume")
    assert again.code == 0, again.err
    assert_same(folder, expected)


def test_a_disk_that_stays_full_is_said_as_what_happened_first(tmp_path: Path, expected: Path) -> None:
    """Not even the status can be written; the sentence is still about the checkpoint."""
    folder = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        leave_room(patch, 40_000)
        outcome = train(folder)
    assert_sentence(outcome, "checkpoint", "disk full: needs ")
    assert load.load_header(folder)["status"] == "training"
    assert train(folder, "--resume").code == 0
    assert_same(folder, expected)


def test_a_disk_too_small_for_a_checkpoint_is_known_before_it_is_written(tmp_path: Path, monkeypatch) -> None:
    real = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=30_000))
    outcome = train(tmp_path / "run")
    assert_sentence(outcome, "checkpoint", "disk full: needs ", "30.0 kB free")
    assert list((tmp_path / "run" / "checkpoint").iterdir()) == []


@pytest.mark.parametrize(
    ("code", "call", "words"),
    [
        (errno.EIO, "fsync", "input/output error"),
        (errno.EDQUOT, "write", "quota"),
        (errno.EROFS, "write", "read-only"),
    ],
)
def test_other_refusals_of_the_disk_are_sentences(
    code: int, call: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K10: an error at the end of a file is an error, and is not tried again in silence."""
    failing = FailingFile(monkeypatch, "step-", 3, code, call)
    outcome = train(tmp_path / "run")
    assert failing.has_failed
    assert_sentence(outcome, "checkpoint/step-", words)
    assert len(list((tmp_path / "run" / "checkpoint").iterdir())) == 2, "those before stand"


def in_child(limit: Callable[[], object], check: Callable[[Outcome], object], *words: str | Path) -> None:
    """Runs the command line in a child of its own under a limit, and looks at what came of it."""

    def work() -> None:
        limit()
        check(deepen(*words))

    assert succeeds(work)


def test_a_limit_on_the_size_of_files_is_a_sentence(tmp_path: Path) -> None:
    """K10."""
    in_child(
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
        lambda outcome: assert_sentence(outcome, "checkpoint", "ulimit -f"),
        *WORDS,
        "--out",
        tmp_path / "run",
    )


def test_sixty_four_open_files_are_enough(tmp_path: Path) -> None:
    """K10: however many files the data has."""
    in_child(
        lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
        lambda outcome: [outcome.code] == [0] or pytest.fail(outcome.err),
        *WORDS,
        "--out",
        tmp_path / "run",
    )


class Meanwhile(Silent):
    """Does something to the run folder after an update."""

    def __init__(self, step: int, deed: Callable[[], object]) -> None:
        self.at, self.deed = step, deed

    def step(self, step: int, progress: float, seconds_left: float | None) -> None:
        if step == self.at:
            self.deed()


def train_meanwhile(
    folder: Path, deed: Callable[[], object], monkeypatch: pytest.MonkeyPatch, *more: str | Path
) -> Outcome:
    monkeypatch.setattr("deepen.cli.train.Terminal", lambda: Meanwhile(20, deed))
    return train(folder, *map(str, more))


def test_a_folder_that_is_removed_meanwhile_does_not_half_come_back(tmp_path: Path, monkeypatch) -> None:
    """K11."""
    folder = tmp_path / "run"
    outcome = train_meanwhile(folder, lambda: shutil.rmtree(folder), monkeypatch)
    assert_sentence(outcome, str(folder), "was removed meanwhile")
    assert not folder.exists()


def test_a_folder_that_becomes_a_file_meanwhile_is_left_alone(tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "run"
    outcome = train_meanwhile(folder, lambda: (shutil.rmtree(folder), folder.write_text("mine")), monkeypatch)
    assert_sentence(outcome, str(folder), "a part of this path is a file")
    assert folder.read_text() == "mine"


def test_a_folder_that_is_renamed_meanwhile_can_be_resumed_where_it_is(tmp_path: Path, monkeypatch, expected) -> None:
    folder, other = tmp_path / "run", tmp_path / "other"
    outcome = train_meanwhile(folder, lambda: folder.rename(other), monkeypatch)
    assert_sentence(outcome, str(folder), "was removed meanwhile")
    monkeypatch.undo()
    assert train(other, "--resume").code == 0
    assert_same(other, expected)


def test_with_a_fallback_folder_training_goes_on_there(tmp_path: Path, monkeypatch, expected) -> None:
    """K11: nothing of the training is lost, and the run in the other folder is that of an undisturbed training."""
    folder, other = tmp_path / "run", tmp_path / "other"
    outcome = train_meanwhile(folder, lambda: shutil.rmtree(folder), monkeypatch, "--fallback-dir", other, "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["run"] == str(other / "run")
    assert not folder.exists()
    for name in ("weights.safetensors", "metrics.jsonl", "prepare.json"):
        assert (other / "run" / name).read_bytes() == (expected / name).read_bytes(), name
    assert load.load_header(other / "run")["status"] == "done"


def test_a_fallback_folder_that_fails_as_well_is_said(tmp_path: Path, monkeypatch) -> None:
    other = tmp_path / "file"
    other.write_text("mine")
    folder = tmp_path / "run"
    outcome = train_meanwhile(folder, lambda: shutil.rmtree(folder), monkeypatch, "--fallback-dir", other)
    assert_sentence(outcome, str(other))
    assert other.read_text() == "mine"


@pytest.fixture
def open_path():
    """A folder that every user can reach, as pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="deepen-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_folder_without_permission_is_refused_at_the_start(mode: int, open_path: Path) -> None:
    """K11: before the data is read, not at the first checkpoint."""
    closed = open_path / "closed"
    closed.mkdir(mode)
    closed.chmod(mode)

    def check(outcome: Outcome) -> None:
        assert_sentence(outcome, "closed", "no permission")
        assert outcome.err.count("\n") == 1, outcome.err

    def leave_root() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)

    in_child(leave_root, check, *WORDS, "--out", closed / "run")


@pytest.mark.torture
def test_a_real_disk_that_is_full_at_every_size(tmp_path: Path, expected: Path) -> None:
    """K08 on a file system of its own, where whoever runs this may make one."""
    for kilobytes in range(40, 600, 40):
        disk = tmp_path / str(kilobytes)
        disk.mkdir()
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", disk], capture_output=True)
        if made.returncode:
            # mounting needs privileges that a user or a container may lack; /dev/full stands in for it elsewhere
            pytest.skip("file systems cannot be made here")
        try:
            outcome = train(disk / "run")
            if outcome.code == 0:
                assert_same(disk / "run", expected)
                continue
            assert_sentence(outcome, "disk full: needs ", " free")
            subprocess.run(["mount", "-o", "remount,size=10m", disk], check=True)
            assert train(disk / "run", "--resume").code == 0
            assert_same(disk / "run", expected)
        finally:
            subprocess.run(["umount", disk], check=True)


def test_the_second_of_two_runs_in_one_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """K12: while the first one trains, in another process, and with --resume too."""
    folder = tmp_path / "run"
    said: list[Outcome] = []

    def second(*more: str) -> None:
        note = tmp_path / f"said{len(said)}"
        succeeds(lambda: note.write_text(json.dumps(vars(train(folder, *more)))))
        said.append(Outcome(**json.loads(note.read_text())))

    def both() -> None:
        monkeypatch.undo()
        second()
        second("--resume")

    outcome = train_meanwhile(folder, both, monkeypatch)
    assert outcome.code == 0, outcome.err
    assert_sentence(said[0], "already holds a run")
    assert_sentence(said[1], f"process {os.getpid()} is working in this folder", "--out")
