"""A data set as a whole: the folder appears when all of it is right, and is recognized afterwards."""

from __future__ import annotations

import hashlib
import io
import itertools
import shutil
import tarfile
import threading
import time
from dataclasses import replace
from http.client import HTTPResponse
from pathlib import Path

import numpy as np
import pytest

from deepen.cli import main
from deepen.core.errors import FileError, OptionError
from deepen.core.files import check_writable
from deepen.core.lock import FolderLock
from deepen.data import catalogue
from deepen.data.catalogue import RemoteFile
from deepen.data.download import FetchError
from deepen.verbs.fetch import SUMS, fetch
from tests.data.remote import Server, cut_at, refuses, serving, whole
from tests.faults.harness import leave_room
from tests.torture.forks import Fork
from tests.torture.kills import content_of, killed_at, recorded

RECORD = 1 + 3072


def cifar() -> bytes:
    """The archive of CIFAR-10 with seven pictures in each file."""
    draw, held = np.random.default_rng(0), io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        for number, name in enumerate([*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]):
            pixels = draw.integers(0, 256, (7, RECORD), dtype=np.uint8)
            pixels[:, 0] = (np.arange(7) + number) % 10
            _add(archive, name, pixels.tobytes())
        _add(archive, "readme.html", b"<p>")
        _add(archive, "batches.meta.txt", "\n".join(f"class{n}" for n in range(10)).encode() + b"\n")
    return held.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


CONTENT = cifar()
ARCHIVE = "cifar-10-binary.tar.gz"


def assert_whole(place: Path) -> None:
    """There is the folder `c` and nothing else, and in it what the archive holds, byte for byte."""
    found = content_of(place / "c")
    assert [path.name for path in place.iterdir()] == ["c"] and found.pop("ABOUT.txt")
    with tarfile.open(fileobj=io.BytesIO(CONTENT)) as archive:
        files = {Path(each.name).name: archive.extractfile(each).read() for each in archive}
    assert files.pop("readme.html")
    listed = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    assert found == files | {SUMS: listed.encode()}


@pytest.fixture
def server(monkeypatch):
    """Serves a small CIFAR-10, which the catalogue then holds to be the real one."""
    with serving(Server(CONTENT)) as made:
        real = catalogue.entry("cifar10")
        (file,) = real.files
        digest = hashlib.sha256(CONTENT).hexdigest()
        small = RemoteFile(file.name, len(CONTENT), digest, (made.address,), file.members)
        monkeypatch.setattr("deepen.verbs.fetch.entry", lambda name: replace(real, files=(small,)))
        yield made


@pytest.fixture
def commands(server: Server, monkeypatch) -> Server:
    """The same server, which the command line too may ask without encryption."""
    monkeypatch.setattr("deepen.verbs.fetch.fetch.__kwdefaults__", {**fetch.__kwdefaults__, "schemes": ("http",)})
    return server


def got(folder: Path, **changes):
    return fetch("cifar10", folder, schemes=("http",), **changes)


def test_the_folder_is_complete_can_be_learned_from_and_is_known_again(server: Server, tmp_path: Path) -> None:
    from deepen.verbs.check import check

    told: list[float] = []
    first = got(tmp_path / "c", progress=lambda done, words: told.append(done))
    assert first.is_new and told == sorted(told) and told[-1] == 1
    names = sorted(path.name for path in (tmp_path / "c").iterdir())
    assert names[:3] == ["ABOUT.txt", SUMS, "batches.meta.txt"] and len(names) == 9
    found = check(first.task, first.folder, {"hashes": str(first.folder / SUMS)})
    assert found.passed and sum(found.counts.values()) == 42
    again = got(tmp_path / "c")
    assert not again.is_new and again.num_bytes == first.num_bytes and len(server.requests) == 1


def test_an_interrupted_fetch_leaves_no_folder_and_goes_on(server: Server, tmp_path: Path) -> None:
    server.ways = [cut_at(9_001), refuses(404), whole]
    with pytest.raises(FetchError, match="404"):
        got(tmp_path / "c")
    assert not (tmp_path / "c").exists()
    assert got(tmp_path / "c").is_new
    assert server.requests[2][1] == "bytes=9001-"
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_changed_file_is_found(server: Server, tmp_path: Path) -> None:
    got(tmp_path / "c")
    path = tmp_path / "c" / "test_batch.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(FileError, match=r"test_batch.bin: is missing or has changed"):
        got(tmp_path / "c")


def test_another_folder_is_left_alone(server: Server, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine.txt").write_text("mine")
    with pytest.raises(FileError, match="holds something else; name another folder with --out"):
        got(tmp_path / "c")
    assert not server.requests and (tmp_path / "c" / "mine.txt").read_text() == "mine"


def test_two_at_once(server: Server, tmp_path: Path) -> None:
    with FolderLock(tmp_path), pytest.raises(FileError, match="is working in this folder"):
        got(tmp_path / "c")
    assert not server.requests


def test_one_that_another_process_has_meanwhile_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    """It was not there when this one looked for it, and is there when this one has the lock."""

    def other_comes_first(folder: Path) -> None:
        patch.undo()
        check_writable(folder)
        assert got(tmp_path / "c").is_new

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepen.verbs.fetch.check_writable", other_comes_first)
        assert not got(tmp_path / "c").is_new
    assert len(server.requests) == 1
    assert_whole(tmp_path)


def test_the_second_of_two_processes_is_refused_and_finds_it_afterwards(commands: Server, tmp_path: Path) -> None:
    """K32: two of them at once, the first one waiting for its server."""
    server, words = commands, ["fetch", "cifar10", "--out", str(tmp_path / "c")]
    is_let = threading.Event()
    server.ways = [lambda handler, server: (is_let.wait(60), whole(handler, server))[1]]
    first = Fork(words)
    try:
        until = time.monotonic() + 60
        while not server.requests:
            assert time.monotonic() < until
            time.sleep(0.005)
        second = Fork(words)
        _, said = second.communicate(60)
        assert second.returncode == 2
        assert said.startswith(f"deepen: {tmp_path}: process {first.pid} is working in this folder; wait until it ends")
    finally:
        is_let.set()
    first.communicate(60)
    third = Fork(words)
    assert "already there" in third.communicate(60)[0]
    assert (first.returncode, third.returncode, len(server.requests)) == (0, 0, 1)
    assert_whole(tmp_path)


def test_whoever_comes_when_it_is_whole_whatever_the_moment(commands: Server, tmp_path: Path) -> None:
    """Five at once: each has it or is told who is at it, it comes over the network once, and it is whole."""
    all_of_them = [Fork(["fetch", "cifar10", "--out", str(tmp_path / "c")]) for _ in range(5)]
    for each in all_of_them:
        _, said = each.communicate(60)
        assert each.returncode == 0 or "is working in this folder; wait until it ends" in said
    assert 0 in [each.returncode for each in all_of_them] and len(commands.requests) == 1
    assert_whole(tmp_path)


def test_a_disk_that_becomes_full_anywhere(server: Server, tmp_path: Path) -> None:
    """K32: while checking, downloading, unpacking or writing down the digests; a little more room each time."""
    refused, room = 0, 3
    while refused < 99:
        try:
            with pytest.MonkeyPatch.context() as patch:
                leave_room(patch, room)
                got(tmp_path / "c")
            break
        except FileError as error:
            assert "disk full: needs " in str(error) and not (tmp_path / "c").exists()
            refused, room = refused + 1, room + 19_009
    assert refused > 5
    assert_whole(tmp_path)


@pytest.mark.parametrize("stride", [11, pytest.param(1, marks=pytest.mark.torture)])
def test_killed_at_an_operation_it_goes_on(stride: int, server: Server, tmp_path: Path, monkeypatch) -> None:
    """K33: kill -9 while it downloads, unpacks, writes down the digests, and around the rename at the end."""
    folder, part, seen = tmp_path / "c", tmp_path / ".c.deepen-part", set()
    monkeypatch.setattr("deepen.data.download.CHUNK_BYTES", 20_011)
    monkeypatch.setattr(HTTPResponse, "read1", HTTPResponse.read)  # in pieces of one size, so as many each time
    with pytest.MonkeyPatch.context() as patch:
        last = len(recorded(lambda: got(folder), patch.setattr))
    for number, torn in itertools.product({*range(1, last, stride), *range(last - 3, last + 1)}, (False, True)):
        shutil.rmtree(folder)
        assert killed_at(number, lambda: got(folder), torn=torn)
        state, asked = state_of(folder, part), len(server.requests)
        seen.add(state)
        got(folder)
        if state == "whole":  # nothing is left to do, so no lock is taken, and that of the dead waits for who takes one
            (tmp_path / ".deepen-lock").unlink(missing_ok=True)
        assert_whole(tmp_path)
        assert state == "coming" or len(server.requests) == asked, "what was here came over the network again"
    assert seen == {"coming", "unpacking", "sealed", "whole"}


def state_of(folder: Path, part: Path) -> str:
    """How far a fetch came that was killed."""
    if folder.exists():
        return "whole"
    left = content_of(part)
    return "sealed" if SUMS in left else "unpacking" if ARCHIVE in left else "coming"


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(OptionError, match="'cifar-1O': no such data set to fetch; did you mean cifar10"):
        fetch("cifar-1O")


def test_the_command_line_names_what_there_is_and_refuses_the_rest(capsys) -> None:
    assert main.main(["fetch"]) == 2
    assert "fashion-mnist" in capsys.readouterr().out
    assert main.main(["fetch", "mnits"]) == 2
    assert "did you mean mnist?" in capsys.readouterr().err


def test_the_command_line_says_what_to_do_next(commands: Server, tmp_path: Path, capsys) -> None:
    assert main.main(["fetch", "cifar10", "--out", str(tmp_path / "c")]) == 0
    said = capsys.readouterr().out
    assert "every file verified" in said and f"deepen train image-classification {tmp_path / 'c'}" in said
