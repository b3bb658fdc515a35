"""A data set from a path in any layout the task reads, found by looking.

The readers are the files in `data/readers/`; each offers

    LOOKS_FOR                            one line: the layout it reads, for the message when nothing fits
    recognizes(path) -> bool             a cheap look that never raises
    read(path, options) -> Dataset       raises DataError where the whole data set cannot be used
"""

from __future__ import annotations

import importlib
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

from deepen.core.errors import DataError
from deepen.core.names import nearest
from deepen.data.dataset import Dataset, Schema
from deepen.data.hashes import verified
from deepen.data.name_groups import with_groups

BUILT_IN = ("digits",)
ARCHIVES = (".zip", ".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
NAME_SHOWN = 80
ENTRIES_COUNTED = 10_000


@dataclass(frozen=True)
class ReadOptions:
    """How to read raw files, where looking does not tell."""

    target: str = field(default="", metadata={"help": "the column to learn"})
    path_column: str = field(default="", metadata={"help": "the column that holds the files' paths"})
    encoding: str = field(default="", metadata={"help": "text encoding of the files; found by looking if not given"})
    separator: str = field(default="", metadata={"help": "what separates the columns; found by looking if not given"})
    decimal: str = field(default=".", metadata={"help": "the decimal mark in numbers, '.' or ','"})
    header: bool = field(default=True, metadata={"help": "whether the first line names the columns"})
    labels: str = field(
        default="", metadata={"help": "a file with one class name per line; no other label is accepted"}
    )
    sheet: str = field(default="", metadata={"help": "the sheet of an Excel file"})
    group: str = field(
        default="",
        metadata={
            "help": "a column whose equal values stay in one split; name-prefix: the names of image files up to "
            "their last number"
        },
    )
    hashes: str = field(
        default="", metadata={"help": "a list of SHA-256 as sha256sum writes it; files that differ are bad samples"}
    )
    columns: tuple[str, ...] = field(default=(), metadata={"help": "the columns to learn from; all if not given"})
    strict: bool = field(default=False, metadata={"help": "refuse what is otherwise a warning about labels"})
    targets_needed: bool = field(default=True, metadata={"internal": True})  # whether a missing target is a fault
    singly: bool = field(default=False, metadata={"internal": True})  # whether each line of a text is a sample


def read(what: str | Path, schema: Schema, options: ReadOptions | None = None) -> Dataset:
    """The data set at a path, or the built-in one of that name; an existing path of that name comes first.

    Raises DataError if nothing is there (naming the nearest sibling), if it is an archive, or if no reader of the
    schema recognizes it (saying what is there instead).
    """
    options = options or ReadOptions()
    path = Path(what)
    is_asked = not options.targets_needed  # to be answered, not learned
    options = replace(options, singly=options.singly or schema.singly or is_asked)
    dataset = _found(path, schema, options if schema.needs_target else replace(options, targets_needed=False))
    if options.hashes:
        dataset = verified(dataset, path, Path(options.hashes))
    return with_groups(dataset, options.group) if options.group and options.targets_needed else dataset


def short_name(path: Path) -> str:
    """The name that a run folder takes from a path: its last part that says something, without endings."""
    parts = [part for part in path.resolve().parts if part not in ("/", "\\")]
    name = parts[-1] if parts else "data"
    if name.lower() in ("train", "test", "val", "images", "data", "raw") and len(parts) > 1:
        name = parts[-2]
    return name.split(".", 1)[0] or name


def shortened(name: str) -> str:
    """A name short enough for a message."""
    return name if len(name) <= NAME_SHOWN else f"{name[: NAME_SHOWN // 2]}...{name[-NAME_SHOWN // 2 :]}"


def _found(path: Path, schema: Schema, options: ReadOptions) -> Dataset:
    """What the first reader makes of it that recognizes it."""
    if not _exists(path):
        if str(path) in BUILT_IN and str(path) in schema.readers:
            return _reader(str(path)).read(path, options)
        raise DataError(_missing(path, schema))
    for name in schema.readers:
        reader = _reader(name)
        if name not in BUILT_IN and reader.recognizes(path):
            return reader.read(path, options)
    raise DataError(_nothing_fits(path, schema))


def _reader(name: str) -> ModuleType:
    return importlib.import_module(f"deepen.data.readers.{name}")


def _exists(path: Path) -> bool:
    try:
        path.stat()
        return True
    except FileNotFoundError:
        return False
    except PermissionError:
        raise DataError(f"{shortened(str(path))}: may not be read by this user; change its permissions.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a possible path"
        raise DataError(f"{shortened(str(path))}: cannot be opened ({reason.lower()}); give another path.") from None


def _missing(path: Path, schema: Schema) -> str:
    if path.is_symlink():
        return f"{path}: is a link to {os.readlink(path)}, which does not exist; mend the link."
    near = _nearest_sibling(path) or nearest(str(path), [name for name in BUILT_IN if name in schema.readers])
    hint = (
        f"did you mean {near}?" if near else f"{_first_missing(path)} is not there; give a file or folder that exists."
    )
    return f"{shortened(str(path))}: no such file or folder; {hint}"


def _nearest_sibling(path: Path) -> str | None:
    try:
        siblings = sorted(os.listdir(path.parent))[:ENTRIES_COUNTED]
    except OSError:
        return None
    near = nearest(path.name, siblings)
    return str(path.parent / near) if near else None


def _first_missing(path: Path) -> str:
    gone = [folder for folder in (path, *path.parents) if not folder.exists()]
    return shortened(str(gone[-1] if gone else path))


def _nothing_fits(path: Path, schema: Schema) -> str:
    if path.is_file():
        if path.name.lower().endswith(ARCHIVES):
            return f"{path}: is an archive; unpack it, and give the folder that it unpacks to."
        return f"{path}: is not a file this task reads; it reads {_layouts(schema)}."
    if not path.is_dir():
        return f"{path}: is not a regular file or folder; give one that is."
    return f"{path}: {_thing(schema)} found under it; {_inventory(path)}. This task reads {_layouts(schema)}."


def _thing(schema: Schema) -> str:
    if any("image" in name for name in schema.readers):
        return "0 images"
    return "no text" if any("text" in name for name in schema.readers) else "no data that this task reads was"


def _layouts(schema: Schema) -> str:
    lines = [getattr(_reader(name), "LOOKS_FOR", name.replace("_", " ")) for name in schema.readers]
    return "; ".join(lines)


def _inventory(path: Path) -> str:
    """What a folder holds, in words: `412 .mp4 files are there`."""
    endings: Counter[str] = Counter()
    try:
        next(os.scandir(path), None)
    except OSError:
        return "it may not be read by this user"
    for _, _, names in os.walk(path):
        endings.update(Path(name).suffix.lower() or "unnamed-type" for name in names)
        if endings.total() > ENTRIES_COUNTED:
            break
    if not endings:
        return "it holds no files"
    shown = [f"{count:,} {ending} file{'s' if count > 1 else ''}" for ending, count in endings.most_common(3)]
    return f"{', '.join(shown)} {'is' if endings.total() == 1 else 'are'} there"
