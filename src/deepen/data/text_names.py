"""Which files of a folder hold the data, and which split each is, told by their names.

    train_5500.label, TREC_10.label                    train; test, since it is the other of a pair
    SICK_train.txt, SICK_trial.txt, SICK_test_annotated.txt
    wnut17train.conll, emerging.dev.conll, emerging.test.annotated
    eng.train, eng.testa, eng.testb                    train, val, test
    multinli_1.0_train.jsonl, ..._dev_matched.jsonl, ..._dev_mismatched.jsonl

A name is cut into its words, digits and signs left out; one of them has to be a split's. Texts that tell about data
(README, LICENSE, lists of classes, check sums) are no data.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deepen.core.faults import Fault
from deepen.core.units import plural
from deepen.data.dataset import SPLIT_NAMES, SPLITS
from deepen.data.text_file import refusal
from deepen.data.walk import is_litter, walk

SPLIT_WORDS = {**SPLIT_NAMES, "trial": "val", "testa": "val", "testb": "test", "mismatched": "test"}
ABOUT = frozenset(
    (
        *("readme", "license", "licence", "copying", "copyright", "notice", "changelog", "changes", "authors"),
        *(
            "citation",
            "contributing",
            "sha256sums",
            "sha1sums",
            "md5sums",
            "md5sum",
            "checksums",
            "manifest",
            "requirements",
        ),
        *("class", "classes", "labels", "label_names", "class_names", "vocab", "vocabulary", "stats"),
    )
)
ABOUT_ENDINGS = frozenset((".md", ".rst", ".pdf", ".bib", ".cff", ".py", ".sh", ".sha256", ".md5"))
OTHER_ENDINGS = frozenset(
    (
        *(".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet", ".pq", ".xlsx", ".xls", ".xml", ".html"),
        *(".yaml", ".yml", ".toml", ".jpg", ".jpeg", ".png", ".gif", ".wav", ".mp3", ".zip", ".tar", ".7z", ".npz"),
        *(".npy", ".bin", ".pt", ".safetensors", ".arpa", ".vec", ".model", ".conllu"),
    )
)
HEAD_BYTES = 1 << 16
FILES_LOOKED = 1_000
MOST_ZEROS = 0.005  # of the bytes of a text


def split_of(name: str) -> str | None:
    """The split that a file's or folder's name tells, None where it tells none or several.

    >>> [split_of(name) for name in ("wnut17train.conll", "SICK_trial.txt", "dev_mismatched.tsv", "a.txt")]
    ['train', 'val', 'test', None]
    """
    words = re.findall("[a-z]+", name.lower())
    if "mismatched" in words:
        return "test" if {"dev", "val", "validation"} & set(words) else None
    found = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return next(iter(found)) if len(found) == 1 else None


def ending(name: str) -> str:
    """The ending in small letters without .gz: ".txt" for "a.TXT.gz"."""
    name = name.lower().removesuffix(".gz")
    return os.path.splitext(name)[1]


def may_hold_data(name: str) -> bool:
    """Whether a file's name is neither litter nor that of a text about the data."""
    stem = name.lower().split(".", 1)[0]
    return not is_litter(name) and stem not in ABOUT and ending(name) not in ABOUT_ENDINGS


def head(path: Path) -> bytes:
    """The first bytes of a file, unpacked if it is a .gz; b"" where they cannot be read."""
    import gzip
    import zlib

    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except (OSError, EOFError, zlib.error):
        return b""


def may_be_text(data: bytes) -> bool:
    """Whether the first bytes of a file may be those of a text: hardly a zero byte, or a mark of wide characters."""
    return _is_wide(data) or data.count(0) <= MOST_ZEROS * len(data)


def head_lines(path: Path) -> list[str]:
    """The first whole lines of a text file that are not blank, for looking; [] for what is no text."""
    data = head(path)
    wide = _is_wide(data)
    if not may_be_text(data):
        return []
    text = data.decode("utf-16" if wide else "utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    return [line for line in (lines[:-1] if len(data) >= HEAD_BYTES and len(lines) > 1 else lines) if line.strip()]


def _is_wide(data: bytes) -> bool:
    return data[:2] in (b"\xff\xfe", b"\xfe\xff")


def data_files(path: Path, is_one: Callable[[Path], bool], *, deep: bool = False) -> list[Path]:
    """The file itself, or the files of a folder that may hold data and of which `is_one` holds, sorted.

    deep  whether to look into folders below too
    """
    if not path.is_dir():
        return [path]
    names = walk(path).files if deep else sorted(entry.name for entry in path.iterdir() if entry.is_file())
    return [path / name for name in names if may_hold_data(os.path.basename(name)) and is_one(path / name)]


def any_file(path: Path, is_one: Callable[[Path], bool]) -> bool:
    """Whether the path is such a file, or a folder with one; a cheap look that never raises."""
    try:
        if path.is_file():
            return is_one(path)
        if not path.is_dir():
            return False
        entries = [entry for _, entry in zip(range(FILES_LOOKED), os.scandir(path), strict=False)]
        return any(may_hold_data(e.name) and e.is_file() and is_one(path / e.name) for e in entries)
    except OSError:
        return False


def by_split(
    files: Sequence[Path], root: Path, faults: list[Fault], *, many: bool = False, pair: bool = False
) -> dict[str, list[Path]]:
    """The files of each split in the order train, val, test; or all of them as "all" where names tell of no training.

    many  whether several files may be one split; else only parts of one file may, whose names differ in digits alone
    pair  whether of two files of one kind, one of them for training, the other is for testing

    Where there are files to validate and to test but none to train, training takes those to validate (warning). Files
    whose names tell no split beside others that do are left out (warning). Raises DataError if two look like one split.
    """
    if len(files) == 1:
        return {"all": list(files)}
    found: dict[str, list[Path]] = {}
    others = []
    for file in files:
        split = split_of(file.name)
        (found.setdefault(split, []) if split else others).append(file)
    if pair and len(files) == 2 and len(others) == 1 and "train" in found:
        trained = found["train"][0].name
        if ending(others[0].name) == ending(trained):
            message = f"is tested on, since it stands beside {trained}, and {trained} is for training."
            faults.append(Fault("note", "split-found", others[0].name, message))
            found["test"], others = others, []
    if "train" not in found and {"val", "test"} <= set(found):
        found["train"] = found.pop("val")
        message = f"there is no file to train on beside it, so it is trained on and {found['test'][0].name} tested on."
        faults.append(Fault("warning", "train-missing", found["train"][0].name, message))
    if "train" not in found or (len(found) == 1 and not others):
        return _as_one(files, root, many)
    if others:
        count = f" {plural(len(others), 'such file')}." if len(others) > 1 else ""
        message = (
            f"its name tells no split, unlike that of {found['train'][0].name}; not read, so read it alone.{count}"
        )
        faults.append(Fault("warning", "split-unnamed", others[0].name, message))
    for split, same in found.items():
        _refuse_twice(split, same, root, many)
    return {split: found[split] for split in SPLITS if split in found}


def shown_files(files: Mapping[str, Sequence[Path]]) -> str:
    """The names of the files, for people: all of them if there are few."""
    names = [file.name for same in files.values() for file in same]
    return ", ".join(names) if len(names) <= 4 else f"{names[0]} and {len(names) - 1:,} more files"


def relative_name(file: Path, root: Path) -> str:
    """What a file is called in `source`: its path from the folder that was given, or its name."""
    return file.relative_to(root).as_posix() if file != root and file.is_relative_to(root) else file.name


def _as_one(files: Sequence[Path], root: Path, many: bool) -> dict[str, list[Path]]:
    if not many and len(files) > 1 and not _are_parts(files):
        names = ", ".join(file.name for file in files[:5])
        raise refusal(
            "many-files", root.name, f"there are {len(files)} files of data here ({names}); name one of them."
        )
    return {"all": list(files)}


def _refuse_twice(split: str, files: Sequence[Path], root: Path, many: bool) -> None:
    if len(files) > 1 and not many and not _are_parts(files):
        message = f"{files[0].name} and {files[1].name} both look like the {split} split; keep one of them."
        raise refusal("split-twice", root.name, message)


def _are_parts(files: Sequence[Path]) -> bool:
    """Whether the names are those of the parts of one file: train-00000-of-00002, train-00001-of-00002."""
    return len({re.sub(r"\d+", "0", file.name) for file in files}) == 1
