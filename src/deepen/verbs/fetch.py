"""`fetch`: a well-known data set from its authors' address into a folder, verified; the only verb that goes online."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deepen.core.disk import file_error
from deepen.core.errors import FileError
from deepen.core.files import check_writable, sha256_file, sweep, write_text
from deepen.core.lock import FolderLock
from deepen.core.units import size
from deepen.data.archive import extract
from deepen.data.catalogue import Entry, RemoteFile, entry
from deepen.data.download import Patience, download

SUMS = "SHA256SUMS"
ABOUT = "ABOUT.txt"
PATIENCE = Patience()


@dataclass(frozen=True)
class Fetched:
    """Where a data set lies now.

    is_new    False where it had been there already, and every file is as it should be
    num_bytes what its files take on the disk
    """

    name: str
    folder: Path
    task: str
    is_new: bool
    num_bytes: int


def fetch(
    name: str,
    out: str | Path | None = None,
    *,
    progress: Callable[[float, str], None] = lambda _done, _words: None,
    patience: Patience = PATIENCE,
    schemes: tuple[str, ...] = ("https",),
) -> Fetched:
    """The data set in a folder of its own, which appears only when every file in it is verified.

    out       the folder; default data/NAME
    progress  called with the part of the bytes that is there, 0 to 1, and a few words

    What an interrupted call left is gone on with. Raises OptionError for an unknown name, FetchError for what cannot be
    downloaded, FileError for a folder that holds something else or cannot be written.
    """
    found = entry(name)
    folder = Path(out) if out is not None else Path("data", found.name)
    if folder.exists():
        return _standing(found, folder)
    check_writable(folder.parent)
    with FolderLock(folder.parent):
        if folder.exists():  # another process has just put it there
            return _standing(found, folder)
        part = folder.with_name(f".{folder.name}.deepen-part")
        _make(part)
        for place in (folder.parent, part):
            sweep(place)
        if not _is_sealed(found, part):
            _download(found, part, progress, patience, schemes)
            _seal(found, part)
        try:
            _remove_archives(found, part)
            os.replace(part, folder)
        except OSError as error:
            raise file_error(error, folder) from error
    return Fetched(found.name, folder, found.task, True, _num_bytes(folder))


def _download(
    found: Entry,
    part: Path,
    progress: Callable[[float, str], None],
    patience: Patience,
    schemes: tuple[str, ...],
) -> None:
    done = 0
    for file in found.files:
        before = done
        target = part / file.name

        def came(num_bytes: int, file: RemoteFile = file, before: int = before) -> None:
            part_done = (before + num_bytes) / found.num_bytes
            progress(part_done, f"{file.name}  {size(num_bytes)} of {size(file.num_bytes)}")

        download(file, target, progress=came, patience=patience, schemes=schemes)
        if file.members:
            progress((before + file.num_bytes) / found.num_bytes, f"unpacking {file.name}")
            extract(target, file.members, part)
        done += file.num_bytes


def _seal(found: Entry, part: Path) -> None:
    """Leaves the list of digests that `check --hashes` and the next `fetch` compare with: the last to be written."""
    write_text(part / ABOUT, f"{found.name}: {found.about}\nfrom {found.home}\nterms of use: {found.terms}\n")
    write_text(part / SUMS, "".join(f"{sha256_file(part / name)}  {name}\n" for name in _names(found)))


def _is_sealed(found: Entry, part: Path) -> bool:
    """Whether a fetch was interrupted when all was there: its archives may be gone then, and are not needed again."""
    expected = _expected(found, part) if (part / SUMS).exists() else None
    return expected is not None and _changed(part, expected) is None


def _remove_archives(found: Entry, part: Path) -> None:
    for file in found.files:
        if file.members:
            (part / file.name).unlink(missing_ok=True)


def _standing(found: Entry, folder: Path) -> Fetched:
    """What lies there already, if it is this data set and whole."""
    expected = _expected(found, folder)
    if expected is None:
        raise FileError(
            f"{folder}: expected nothing there, or {found.name} as it was fetched, but it holds something else; "
            "name another folder with --out."
        )
    if changed := _changed(folder, expected):
        raise FileError(
            f"{folder / changed}: is missing or has changed since it was fetched; remove {folder} and fetch it again."
        )
    return Fetched(found.name, folder, found.task, False, _num_bytes(folder))


def _expected(found: Entry, folder: Path) -> dict[str, str] | None:
    """Digests by name, from the catalogue as far as it knows them, else from what the fetch wrote down."""
    if not any(file.members for file in found.files):
        known = {file.name: file.sha256 for file in found.files}
        return known if any((folder / name).exists() for name in known) else None
    try:
        lines = (folder / SUMS).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    read = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    return read if sorted(read) == _names(found) else None


def _changed(folder: Path, expected: dict[str, str]) -> str | None:
    """The first file that is missing or has another digest."""
    for name, digest in expected.items():
        if not (folder / name).is_file() or sha256_file(folder / name) != digest:
            return name
    return None


def _names(found: Entry) -> list[str]:
    """The files of the data set, sorted: what is in its archives, and those that come as they are."""
    return sorted(Path(name).name for file in found.files for name in (file.members or (file.name,)))


def _make(part: Path) -> None:
    try:
        part.mkdir(exist_ok=True)
    except OSError as error:
        raise file_error(error, part) from error
    if part.is_symlink():
        raise FileError(f"{part}: expected a folder, but is a link; remove it.")


def _num_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
