"""Texts in one folder per class, a file each; or in one file per class, a line each.

aclImdb/train/pos/0_9.txt                      the class is the folder; unsup, which has no class, is left out
aclImdb/test/neg/1_3.txt                       splits by the names of the folders above
20news/sci.space/60116                         files may have no ending
rt_polarity/rt-polarity.pos, rt-polarity.neg   the class is what differs in the names, a text is a line
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.units import plural
from deepen.data import text_names
from deepen.data.dataset import SPLIT_NAMES, SPLITS, Dataset
from deepen.data.read import ReadOptions, short_name
from deepen.data.text_class_files import classes_of, may_be_class_file
from deepen.data.text_classes import class_names, layout, say_empty, text_table
from deepen.data.text_encoding import decoded, lines_of, read_text
from deepen.data.text_file import file_bytes
from deepen.data.walk import is_litter, walk

LOOKS_FOR = "texts in one folder per class, or in one file per class with a text a line"
ENDINGS = (".txt", ".text", "")
UNLABELLED = ("unsup", "unlabelled", "unlabeled")
ENTRIES_LOOKED = 100
THREADS = 8


def recognizes(path: Path) -> bool:
    """Whether the folder has two or more folders of texts, below a folder for a split or not, or a file per class."""
    try:
        if not path.is_dir():
            return False
        return bool(_class_folders(path)) or bool(_split_folders(path)) or bool(_class_files(path))
    except OSError:
        return False


def read(path: Path, options: ReadOptions) -> Dataset:
    """Columns text, label, source (the file, with the line where a line is a text) and key.

    Raises DataError if there is no text, and for a file whose encoding is not sure.
    """
    faults: list[Fault] = []
    tables, kind = _from_folders(path, options, faults), "text folder"
    if not tables:
        tables, kind = _from_files(path, options, faults), "one file per class"
        classes = list(dict.fromkeys(name for files in _class_files(path).values() for name in sorted(files)))
        if classes:
            shown = ", ".join(classes[:5]) + (", ..." if len(classes) > 5 else "")
            faults.append(Fault("note", "classes-files", str(path), f"classes are what differs in the names: {shown}."))
    if not any(table.num_rows for table in tables.values()):
        raise DataError(f"{path}: holds no text in a folder or a file per class; give a folder that does.")
    for split, table in tables.items():
        say_empty(table, split, faults)
    names = class_names(path, options, faults) if options.labels else ()
    return Dataset(short_name(path), layout(kind, {}, tables), tables, names, tuple(faults))


def _from_files(path: Path, options: ReadOptions, faults: list[Fault]) -> dict[str, pa.Table]:
    tables = {}
    for split, files in _class_files(path).items():
        texts, labels, sources, blank = [], [], [], 0
        for label, file in sorted(files.items()):
            for number, line in enumerate(lines_of(read_text(file, options.encoding, faults)), start=1):
                if not line or line.isspace():
                    blank += 1
                    continue
                texts.append(line.strip())
                labels.append(label)
                sources.append(f"{file.name}, line {number}")
        if blank:
            faults.append(Fault("note", "line-blank", str(path), f"{plural(blank, 'blank line')} passed over."))
        tables[split] = text_table(texts, labels, sources)
    return tables


def _from_folders(path: Path, options: ReadOptions, faults: list[Fault]) -> dict[str, pa.Table]:
    """A text per file; {} if no folder holds any."""
    splits = _split_folders(path)
    if not splits and not _class_folders(path):
        return {}
    found = walk(path)
    faults.extend(found.faults)
    if found.litter:
        message = f"{plural(found.litter, 'file')} that systems leave behind (.DS_Store and the like) ignored."
        faults.append(Fault("note", "litter", str(path), message))
    listed: dict[str, list[tuple[str, str]]] = {}
    left = unlabelled = 0
    for file in found.files:
        parts = file.split("/")
        split = "all"
        if splits and parts[0] in splits:
            split, parts = splits[parts[0]], parts[1:]
        if len(parts) < 2 or (splits and split == "all") or not _is_document(parts[-1]):
            left += 1
        elif parts[0].lower() in UNLABELLED:
            unlabelled += 1
        else:
            listed.setdefault(split, []).append((file, parts[0]))
    _say_left_out(path, left, unlabelled, faults)
    order = ("all", *SPLITS)
    return {split: _table(path, listed[split], options, faults) for split in order if split in listed}


def _table(path: Path, listed: Sequence[tuple[str, str]], options: ReadOptions, faults: list[Fault]) -> pa.Table:
    with ThreadPoolExecutor(THREADS) as pool:
        data = list(pool.map(lambda row: file_bytes(path / row[0]), listed, chunksize=64))
    noticed: list[Fault] = []
    rows = zip(listed, data, strict=True)
    texts = [decoded(content, options.encoding, file, noticed).rstrip("\n") for (file, _), content in rows]
    faults.extend(_once_each(noticed))
    return text_table(texts, [label for _, label in listed], [file for file, _ in listed])


def _once_each(faults: Sequence[Fault]) -> list[Fault]:
    """One fault of each kind, with how many files it is about."""
    first: dict[str, list[Fault]] = {}
    for fault in faults:
        first.setdefault(fault.kind, []).append(fault)
    found = []
    for same in first.values():
        more = f" {plural(len(same), 'file')} like this." if len(same) > 1 else ""
        found.append(Fault(same[0].level, same[0].kind, same[0].place, same[0].message + more))
    return found


def _say_left_out(path: Path, left: int, unlabelled: int, faults: list[Fault]) -> None:
    if unlabelled:
        message = f"{plural(unlabelled, 'text')} in folders such as {UNLABELLED[0]}, which have no class, left out."
        faults.append(Fault("note", "unlabelled", str(path), message))
    if left:
        message = f"{plural(left, 'file')} outside the class folders, or not of plain text, not read."
        faults.append(Fault("note", "other-files", str(path), message))


def _split_folders(path: Path) -> dict[str, str]:
    """The split of each folder that names one and has folders of texts; {} without one for training."""
    found = {}
    for folder in _folders(path):
        split = SPLIT_NAMES.get(folder.name.lower())
        if split and len(_class_folders(folder)) > 1:
            found[folder.name] = split
    return found if "train" in found.values() else {}


def _class_folders(path: Path) -> list[str]:
    """The folders of a folder that begin with texts, if there are at least two and none is called train."""
    found = [folder.name for folder in _folders(path) if _holds_documents(folder)]
    labelled = [name for name in found if name.lower() not in UNLABELLED]
    if len(labelled) < 2 or {SPLIT_NAMES.get(name.lower(), "") for name in labelled} <= set(SPLITS):
        return []
    return found


def _folders(path: Path) -> list[Path]:
    return sorted(each for each in path.iterdir() if not is_litter(each.name) and each.is_dir())


def _holds_documents(folder: Path) -> bool:
    """Whether the first file of a folder that may be a text by its name is one, be it empty."""
    entries = [entry for _, entry in zip(range(ENTRIES_LOOKED), os.scandir(folder), strict=False)]
    for entry in entries:
        if _is_document(entry.name) and entry.is_file():
            return text_names.may_be_text(text_names.head(folder / entry.name))
    return False


def _is_document(name: str) -> bool:
    """Whether a name is that of a text: the ending .txt, or none that is known (20news names files by numbers)."""
    kind = text_names.ending(name)
    return text_names.may_hold_data(name) and (kind in ENDINGS or kind[1:].isdigit())


def _class_files(path: Path) -> dict[str, dict[str, Path]]:
    if not path.is_dir():
        return {}
    names = [e.name for e in os.scandir(path) if e.is_file() and text_names.may_hold_data(e.name)]
    if len(names) > text_names.FILES_LOOKED:
        return {}
    return classes_of([file for file in (path / name for name in sorted(names)) if may_be_class_file(file)])
