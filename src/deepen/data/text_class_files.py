"""Files whose names tell the class of every line in them.

    rt-polarity.pos, rt-polarity.neg           what differs: pos and neg
    pos.txt, neg.txt
    quote.tok.gt9.5000, plot.tok.gt9.5000
    train.pos, train.neg, test.pos, test.neg   words of splits are no part of it

Names are cut at dots, dashes and underscores; what all of them begin and end with is no part of the class.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from deepen.data import text_names
from deepen.data.dataset import SPLITS
from deepen.data.text_names import split_of

MOST_FILES = 200


def classes_of(files: Sequence[Path]) -> dict[str, dict[str, Path]]:
    """The file of each class by split ("all" where names tell none); {} where names tell no classes."""
    parts = {file: _parts(file.name) for file in files}
    splits = {file: split_of(file.name) for file in files}
    if not 2 <= len(files) <= MOST_FILES or len({split is None for split in splits.values()}) > 1:
        return {}
    bodies = {file: [part for part in parts[file] if split_of(part) is None] for file in files}
    names = _differing(list(bodies.values()))
    found: dict[str, dict[str, Path]] = {}
    for file, name in zip(bodies, names, strict=True):
        if not name or name in found.setdefault(splits[file] or "all", {}):
            return {}
        found[splits[file] or "all"][name] = file
    if len({tuple(sorted(each)) for each in found.values()}) > 1 or min(map(len, found.values())) < 2:
        return {}
    if "all" not in found and "train" not in found:
        return {}
    return {split: found[split] for split in ("all", *SPLITS) if split in found}


def may_be_class_file(file: Path) -> bool:
    """Whether a file is plain text by its name and its first bytes."""
    return text_names.ending(file.name) not in text_names.OTHER_ENDINGS and bool(text_names.head_lines(file))


def _parts(name: str) -> list[str]:
    return [part for part in re.split(r"[._\-\s]+", name.removesuffix(".gz")) if part]


def _differing(names: Sequence[Sequence[str]]) -> list[str]:
    """What stands between the parts that all names begin with and those that all end with."""
    unique = {tuple(name) for name in names}
    if not all(unique):
        return ["" for _ in names]
    shortest = min(map(len, unique))
    first = next((i for i in range(shortest) if len({name[i] for name in unique}) > 1), shortest)
    most = shortest - first
    last = next((i for i in range(most) if len({name[-1 - i] for name in unique}) > 1), most)
    return [".".join(name[first : len(name) - last]) for name in names]
