"""Images in one folder per class, with or without folders for train, val and test above them.

    photos/cat/1.jpg                    all images in one table
    photos/train/cat/1.jpg              the split as given; val, valid, validation and dev are one name

The class is the first folder below; folders further down belong to it. A folder called "train" is a class where it
stands among classes: split names count only if train is there and is alone or has another split beside it.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pyarrow as pa

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.units import plural
from deepen.data.dataset import SPLIT_NAMES, SPLITS, Dataset
from deepen.data.image_files import foreign, is_foreign, is_image, look, wrong_endings
from deepen.data.pixels import read_class_names
from deepen.data.read import ReadOptions, short_name
from deepen.data.walk import Walk, is_litter, walk

LOOKS_FOR = "images in one folder per class"
DEPTH_LOOKED = 3
ENTRIES_LOOKED = 2_000
Listed = tuple[str, str | None]  # relative path, class


def recognizes(path: Path) -> bool:
    """Whether this is an image file, or an image lies in the first three levels of the folder."""
    if path.is_dir():
        return _holds_image(str(path), DEPTH_LOOKED)
    return is_image(path.name) or is_foreign(path.name)


def read(path: Path, options: ReadOptions) -> Dataset:
    """Columns image (path), label, source and key; files that cannot be opened are left out as faults of level sample.

    Raises DataError if there is no image, or no folder per class where classes are needed.
    """
    names = read_class_names(Path(options.labels)) if options.labels else ()
    if not path.is_dir():
        return _dataset(path.parent, path, {"all": [(path.name, None)]}, names, [])
    found = walk(path)
    faults = [*found.faults, *_ignored(path, found)]
    listed = _listed(path, found, options, faults)
    if not any(listed.values()):
        raise DataError(
            f"{path}: 0 images under it; it holds {len(found.files):,} other files and {len(found.folders):,} folders."
        )
    return _dataset(path, path, listed, names, faults)


def _dataset(
    root: Path, path: Path, listed: dict[str, list[Listed]], names: tuple[str, ...], faults: list[Fault]
) -> Dataset:
    tables = {split: _table(root, rows, faults) for split, rows in listed.items()}
    labels = sorted({label for rows in listed.values() for _, label in rows if label is not None})
    count = sum(table.num_rows for table in tables.values())
    if count == 0 and any(fault.level == "sample" for fault in faults):
        bad = [fault for fault in faults if fault.level == "sample"]
        raise DataError(f"{bad[0].sentence()} No other image is left.", bad)
    classes = f", {len(labels)} classes" if labels else ""
    return Dataset(short_name(path), f"image folder: {count:,} images{classes}", tables, names, tuple(faults))


def _table(root: Path, rows: list[Listed], faults: list[Fault]) -> pa.Table:
    rows = [row for row in rows if _usable(root, row[0], faults)]
    paths = [os.path.join(root, relative) for relative, _ in rows]
    looked = look(paths, paths)
    faults.extend(seen.fault for seen in looked if seen.fault)
    good = [index for index, seen in enumerate(looked) if seen.fault is None]
    faults.extend(wrong_endings([paths[index] for index in good], [looked[index] for index in good]))
    kept = pa.array([paths[index] for index in good], pa.string())
    return pa.table(
        {
            "image": kept,
            "label": pa.array([rows[index][1] for index in good], pa.string()),
            "source": kept,
            "key": pa.array([looked[index].key for index in good], pa.string()),
        }
    )


def _usable(root: Path, relative: str, faults: list[Fault]) -> bool:
    place = os.path.join(root, relative)
    if not relative.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in relative):
        shown = os.fsencode(place).decode("utf-8", "backslashreplace")
        faults.append(Fault("sample", "name-encoding", shown, "the name of this file is not UTF-8; rename it."))
        return False
    if is_foreign(relative):
        faults.append(foreign(place))
        return False
    return True


def _listed(root: Path, found: Walk, options: ReadOptions, faults: list[Fault]) -> dict[str, list[Listed]]:
    """The files by split, each with its class."""
    images = [file for file in found.files if is_image(file) or is_foreign(file)]
    top = [folder for folder in found.folders if "/" not in folder]
    splits = _splits(top)
    if not splits:
        return {"all": _classed(root, "", images, found, options, faults)}
    listed: dict[str, list[Listed]] = {}
    for folder, split in splits.items():
        inside = [file for file in images if file.startswith(folder + "/")]
        listed.setdefault(split, []).extend(_classed(root, folder + "/", inside, found, options, faults))
    outside = sum(file.split("/", 1)[0] not in splits for file in images)
    if outside:
        message = f"{outside:,} images lie outside {', '.join(splits)} and are not read."
        faults.append(Fault("warning", "image-outside", str(root), message))
    return {split: listed[split] for split in SPLITS if split in listed}


def _splits(top: list[str]) -> dict[str, str]:
    """The split of each top folder that names one, or {} if they are classes."""
    found = {folder: SPLIT_NAMES[folder.lower()] for folder in top if folder.lower() in SPLIT_NAMES}
    if "train" not in found.values():
        return {}
    return found if len(set(found.values())) > 1 or len(top) == 1 else {}


def _classed(
    root: Path, start: str, files: list[str], found: Walk, options: ReadOptions, faults: list[Fault]
) -> list[Listed]:
    """Each file with the first folder below `start` as its class; None where it lies in none and none is needed."""
    loose = [file for file in files if "/" not in file[len(start) :]]
    inside = [(file, file[len(start) :].split("/", 1)[0]) for file in files if "/" in file[len(start) :]]
    place = str(root / start)
    if not options.targets_needed:
        return sorted([*inside, *((file, None) for file in loose)])
    if loose and not inside:
        raise DataError(f"{place}: {len(loose):,} images lie directly in it; put them in one folder per class.")
    if loose:
        message = f"{len(loose):,} images lie in no class folder ({loose[0]}) and are not read."
        faults.append(Fault("warning", "image-outside", place, message))
    _check_depth(place, inside, len(start))
    _warn_empty(root, start, {label for _, label in inside}, found, faults)
    return list(inside)


def _check_depth(place: str, inside: list[tuple[str, str]], start: int) -> None:
    """Refuses one single class folder that holds only folders: the classes lie one level further down."""
    labels = {label for _, label in inside}
    below = {file[start:].split("/")[1] for file, _ in inside if file[start:].count("/") > 1}
    if len(labels) == 1 and len(below) > 1 and all(file[start:].count("/") > 1 for file, _ in inside):
        label = next(iter(labels))
        raise DataError(
            f"{place}: has one folder, {label!r}, with {len(below)} folders of images in it; "
            f"the classes seem to be those, so give {os.path.join(place, label)}."
        )


def _warn_empty(root: Path, start: str, labels: set[str], found: Walk, faults: list[Fault]) -> None:
    for folder in found.folders:
        name = folder[len(start) :]
        if folder.startswith(start) and name and "/" not in name and name not in labels:
            message = "no image is in this folder, so there is no such class; fill or remove it."
            faults.append(Fault("warning", "class-empty", str(root / folder), message))


def _ignored(root: Path, found: Walk) -> list[Fault]:
    """One note on litter, one on files of other kinds."""
    notes = []
    if found.litter:
        message = f"{plural(found.litter, 'file')} that systems leave behind (.DS_Store and the like) ignored."
        notes.append(Fault("note", "litter", str(root), message))
    others = Counter(
        os.path.splitext(file)[1].lower() or "without ending"
        for file in found.files
        if not is_image(file) and not is_foreign(file)
    )
    if others:
        shown = ", ".join(f"{count:,} {ending}" for ending, count in sorted(others.items())[:5])
        notes.append(Fault("note", "other-files", str(root), f"files that are not images ignored: {shown}."))
    return notes


def _holds_image(folder: str, depth: int) -> bool:
    """Whether an image lies in the folder, or in folders below it to this depth."""
    try:
        entries = [entry for _, entry in zip(range(ENTRIES_LOOKED), os.scandir(folder), strict=False)]
    except OSError:
        return True  # it is there but may not be read: `read` says so
    if any(is_image(entry.name) or is_foreign(entry.name) for entry in entries):
        return True
    below = sorted(entry.path for entry in entries if not is_litter(entry.name) and _is_folder(entry))
    return depth > 0 and any(_holds_image(path, depth - 1) for path in below)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
