"""A data set as a whole: the folder appears when all of it is right, and is recognized afterwards."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deepen.cli import main
from deepen.core.errors import FileError, OptionError
from deepen.core.lock import FolderLock
from deepen.data import catalogue
from deepen.data.catalogue import RemoteFile
from deepen.data.download import FetchError
from deepen.verbs.fetch import SUMS, fetch
from tests.data.remote import Server, cut_at, refuses, serving, whole

RECORD = 1 + 3072


def cifar() -> bytes:
    """The archive of CIFAR-10 with seven pictures in each file."""
    draw, held = np.random.default_rng(0), io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        for number, name in enumerate([*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]):
            pixels = draw.integers(0, 256, (70, RECORD), dtype=np.uint8)
            pixels[:, 0] = (np.arange(70) + number) % 10
            _add(archive, name, pixels.tobytes())
        _add(archive, "readme.html", b"<p>")
        _add(archive, "batches.meta.txt", "\n".join(f"class{n}" for n in range(10)).encode() + b"\n")
    return held.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


CONTENT = cifar()


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
    assert found.passed and sum(found.counts.values()) == 420
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


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(OptionError, match="'cifar-1O': no such data set to fetch; did you mean cifar10"):
        fetch("cifar-1O")


def test_the_command_line_names_what_there_is_and_refuses_the_rest(capsys) -> None:
    assert main.main(["fetch"]) == 2
    assert "fashion-mnist" in capsys.readouterr().out
    assert main.main(["fetch", "mnits"]) == 2
    assert "did you mean mnist?" in capsys.readouterr().err


def test_the_command_line_says_what_to_do_next(server: Server, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("deepen.verbs.fetch.fetch.__kwdefaults__", {**fetch.__kwdefaults__, "schemes": ("http",)})
    assert main.main(["fetch", "cifar10", "--out", str(tmp_path / "c")]) == 0
    said = capsys.readouterr().out
    assert "every file verified" in said and f"deepen train image-classification {tmp_path / 'c'}" in said
