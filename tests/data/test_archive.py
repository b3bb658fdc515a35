"""S10, S11: only the files that were asked for leave an archive, each under a plain name."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from deepen.core.errors import FileError
from deepen.data.archive import extract

CONTENT = np.random.default_rng(5).bytes(50_021)


def packed(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member, content in members:
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.mode = kind, link, 0o6777
    return found


def test_the_wanted_files_come_out_as_they_were_and_nothing_else(tmp_path: Path) -> None:
    told: list[int] = []
    path = packed(
        tmp_path / "a.tar.gz",
        (member("set/"), b""),
        (member("set/a.bin"), CONTENT),
        (member("set/extra.bin"), b"extra"),
        (member("set/b.txt"), b"cats\ndogs\n"),
    )
    (out := tmp_path / "out").mkdir()
    extract(path, ("set/a.bin", "set/b.txt"), out, progress=told.append)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == {"a.bin": CONTENT, "b.txt": b"cats\ndogs\n"}
    assert (out / "a.bin").stat().st_mode & 0o7111 == 0
    assert told[-1] == len(CONTENT) + 10


EVIL = [
    member("../evil"),
    member("/tmp/evil"),
    member("set/link", tarfile.SYMTYPE, "/etc"),
    member("set/link/evil"),
    member("set/hard", tarfile.LNKTYPE, "../../evil"),
    member("set/pipe", tarfile.FIFOTYPE),
    member("set/device", tarfile.CHRTYPE),
    member("/".join(["d" * 247] * 9) + "/evil"),
    member("set\\..\\evil"),
    member("C:\\evil"),
    member("a.bin"),
]


@pytest.mark.parametrize("evil", EVIL, ids=lambda m: m.name[:20])
def test_whatever_else_is_in_it_stays_in_it(evil: tarfile.TarInfo, tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar.gz", (evil, b"evil"), (member("set/a.bin"), CONTENT), (evil, b"evil"))
    (out := tmp_path / "deep" / "out").mkdir(parents=True)
    extract(path, ("set/a.bin",), out)
    assert [str(each.relative_to(tmp_path)) for each in sorted(tmp_path.rglob("*"))] == [
        "a.tar.gz",
        "deep",
        "deep/out",
        "deep/out/a.bin",
    ]
    assert (out / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE])
def test_a_wanted_name_that_is_no_plain_file_is_refused(kind: bytes, tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar.gz", (member("set/a.bin", kind, "/etc/passwd"), b""))
    with pytest.raises(FileError, match=r"'set/a.bin' is no plain file"):
        extract(path, ("set/a.bin",), tmp_path)
    assert not (tmp_path / "a.bin").exists()


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar.gz", (member("set/a.bin"), CONTENT), (member("set/a.bin"), b"other"))
    with pytest.raises(FileError, match=r"'set/a.bin' stands in it twice"):
        extract(path, ("set/a.bin",), tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar.gz", (member("set/a.bin"), CONTENT))
    with pytest.raises(FileError, match=r"expected 'set/b.bin' in it"):
        extract(path, ("set/a.bin", "set/b.bin"), tmp_path)


def test_a_bomb_is_refused_by_what_it_claims(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar.gz", (member("set/zeros"), bytes(30_000_000)), (member("set/a.bin"), CONTENT))
    with pytest.raises(FileError, match=r"'set/zeros' would unpack to 30.0 MB, more than 200 times the archive"):
        extract(path, ("set/a.bin",), tmp_path)
    assert not (tmp_path / "a.bin").exists()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.99])
def test_a_cut_archive_is_a_sentence_and_leaves_no_half_file(share: float, tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar.gz", (member("set/a.bin"), CONTENT), (member("set/b.bin"), CONTENT))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FileError, match="damaged or cut"):
        extract(path, ("set/a.bin", "set/b.bin"), tmp_path)
    assert [file for file in tmp_path.iterdir() if file != path] == []


def test_flipped_bytes_never_give_a_wrong_file_in_silence(tmp_path: Path) -> None:
    """gzip's check sum stands at the end, so the stream is read whole even where the wanted files end earlier."""
    path = packed(tmp_path / "a.tar.gz", (member("set/a.bin"), CONTENT))
    content = path.read_bytes()
    draw = np.random.default_rng(3)
    for _ in range(40):
        place = int(draw.integers(20, len(content)))
        path.write_bytes(
            content[:place] + bytes([content[place] ^ (1 << int(draw.integers(8)))]) + content[place + 1 :]
        )
        try:
            extract(path, ("set/a.bin",), tmp_path)
        except FileError:
            assert not (tmp_path / "a.bin").exists()
            continue
        assert (tmp_path / "a.bin").read_bytes() == CONTENT
