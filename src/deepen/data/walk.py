"""The files under a folder, each real file once, in a fixed order, and what is better left alone."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from deepen.core.errors import DataError
from deepen.core.faults import Fault

LITTER_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx", "ehthumbs.db"})


@dataclass
class Walk:
    """What was found under a folder.

    files    relative paths with `/`, sorted
    folders  relative paths of all folders, sorted
    litter   how many files and folders were passed over as litter
    faults   loops, folders that may not be read, names that differ only in case
    """

    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    litter: int = 0
    faults: list[Fault] = field(default_factory=list)


def is_litter(name: str) -> bool:
    """Whether a name is what systems and editors leave behind: hidden, a backup, a thumbnail store.

    >>> [is_litter(name) for name in (".DS_Store", "._a.jpg", "Thumbs.db", "a.jpg~", "a.jpg")]
    [True, True, True, True, False]
    """
    return name.startswith(".") or name.endswith("~") or name.lower() in LITTER_NAMES


def walk(root: Path) -> Walk:
    """All files and folders under `root`. Links to folders are followed after the real ones, each real folder once.

    Raises DataError if `root` itself may not be read.
    """
    found = Walk()
    seen: set[tuple[int, int]] = {_identity(root)}
    folders, links = [""], []
    while folders or links:
        linked = not folders
        relative = folders.pop() if folders else links.pop(0)
        if linked:
            try:
                identity = _identity(root / relative)
            except OSError:
                found.files.append(relative)  # a link that cannot be followed is for the reader to refuse
                continue
            if identity in seen:
                found.faults.append(_loop(root, relative))
                continue
            seen.add(identity)
        if relative:
            found.folders.append(relative)
        _scan(root, relative, found, seen, folders, links)
    found.files.sort()
    found.folders.sort()
    found.faults.sort(key=lambda fault: fault.place)
    return found


def normal_form(path: Path) -> list[Path]:
    """Files in the same folder whose name is the same text in another Unicode form (composed or decomposed)."""
    wanted = unicodedata.normalize("NFC", path.name)
    try:
        names = sorted(os.listdir(path.parent))
    except OSError:
        return []
    return [path.parent / name for name in names if unicodedata.normalize("NFC", name) == wanted]


def _scan(
    root: Path, relative: str, found: Walk, seen: set[tuple[int, int]], folders: list[str], links: list[str]
) -> None:
    try:
        entries = sorted(os.scandir(root / relative), key=lambda entry: entry.name)
    except OSError as error:
        message = (
            f"{root / relative}: this folder cannot be read ({(error.strerror or '').lower()}); change its permissions."
        )
        if not relative:
            raise DataError(message) from None
        found.faults.append(Fault("error", "folder-unreadable", str(root / relative), message.split(": ", 1)[1]))
        return
    names: list[str] = []
    for entry in entries:
        path = f"{relative}/{entry.name}" if relative else entry.name
        if is_litter(entry.name):
            found.litter += 1
        elif entry.is_dir(follow_symlinks=False):
            seen.add(_identity(entry.path))
            folders.append(path)
        elif entry.is_symlink() and (_is_folder(entry) or not os.path.exists(entry.path)):
            links.append(path)
        else:
            found.files.append(path)
            names.append(entry.name)
    _case(root / relative, names, found)


def _case(folder: Path, names: list[str], found: Walk) -> None:
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(name.casefold(), name)
        if other != name:
            message = f"differs from {other!r} only in case; on some systems they are one file."
            found.faults.append(Fault("warning", "name-case", str(folder / name), message))


def _loop(root: Path, relative: str) -> Fault:
    message = "is a link to a folder that is read already; each file is read once."
    return Fault("warning", "link-loop", str(root / relative), message)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(path: str | Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino
