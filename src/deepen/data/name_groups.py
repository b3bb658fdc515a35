"""Groups that file names suggest: `anna_01.jpg` and `anna_02.jpg` may show one person, or come from one session.

A name's prefix is what stands before its last number. Prefixes are taken for groups only if they divide the data in a
way that neither the classes nor a camera's numbering does:

    most names have one                          `anna_01`, `s07-3`, but not `3fa9c` or `0001`
    it is no word for a picture                  not `IMG_0001`, `train_12`, `frame 7`
    a class has several of them                  not `cat_01` in cat/ and `dog_01` in dog/
    a group has a few samples                    not one for every picture, nor one for all
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import pyarrow as pa

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.names import did_you_mean
from deepen.core.units import plural
from deepen.data.dataset import Dataset, Schema
from deepen.data.split_checks import label_texts
from deepen.data.target import mark_group

NAME_PREFIX = "name-prefix"
PREFIX = re.compile(r"(.*?[^\d\W_].*?)[ _.\-]*\d+[a-z]?")
NUMBERED = re.compile(r"(person|subject|subj|patient|speaker|session|user|sub|ses|pat|p|s|id)[ _\-]?\d+", re.IGNORECASE)
PLAIN_WORDS = frozenset(
    (
        *("img", "image", "images", "photo", "photos", "pic", "pics", "picture", "pict", "dsc", "dscn", "dscf", "dcim"),
        *("mvi", "vid", "wp", "pxl", "gopr", "file", "scan", "screenshot", "frame", "untitled", "data", "item", "crop"),
        *("sample", "train", "training", "val", "valid", "validation", "test", "testing", "digit", "tile", "patch"),
    )
)
LEAST_SHARE = 0.8
LEAST_GROUPS = 3
MOST_SHARE_OF_ONE = 0.5


def prefix(path: str) -> str | None:
    """What stands before the last number of a file's name, or None where there is no number or nothing before it.

    >>> [prefix(name) for name in ("a/anna_01.jpg", "s07-3.png", "0001.png", "IMG_20300102_0304.jpg")]
    ['anna', 's07', None, None]
    """
    matched = PREFIX.fullmatch(os.path.splitext(os.path.basename(path))[0])
    if matched is None:
        return None
    found = matched[1].rstrip(" _.-")
    words = re.split(r"[\d _.\-]+", found.lower())
    return None if all(word in PLAIN_WORDS or not word for word in words) else found


def warn_name_groups(given: Sequence[str], tables: Mapping[str, pa.Table], schema: Schema, faults: list[Fault]) -> None:
    """A warning where names suggest groups, and a split that we made has cut through them.

    given  the splits that the layout itself names
    """
    cut = [name for name in ("test", "val") if name in tables and name not in given]
    if not cut or schema.group or not _are_files(tables["train"]):
        return
    names = {split: [prefix(path) for path in table.column("image").to_pylist()] for split, table in tables.items()}
    if not _suggest_groups(names, {split: label_texts(table, schema) for split, table in tables.items()}):
        return
    trained = dict(zip(reversed(names["train"]), reversed(_sources(tables["train"])), strict=True))
    for split in cut:
        pairs = zip(_sources(tables[split]), names[split], strict=True)
        torn = [(source, name) for source, name in pairs if name is not None and name in trained]
        if torn:
            source, name = torn[0]
            message = (
                f"its name begins with {name!r} like that of {trained[name]} in train, and so it is with "
                f"{plural(len(torn), 'sample')} of {split}; if such names mean one person or one session, the score is "
                f"flattered: keep them together with --group {NAME_PREFIX}."
            )
            faults.append(Fault("warning", "split-name-group", source, message))
            return


def with_groups(dataset: Dataset, group: str) -> Dataset:
    """The data set whose tables have the column to group by; "name-prefix" is made from the names of image files.

    Raises DataError for another column that is not there, naming the nearest.
    """
    tables = dict(dataset.tables)
    for split, table in tables.items():
        if group == NAME_PREFIX and group not in table.column_names and _are_files(table):
            prefixes = [prefix(path) for path in table.column("image").to_pylist()]
            tables[split] = table.append_column(group, pa.array(prefixes, pa.string()))
        elif group not in table.column_names:
            known = [name for name in table.column_names if name not in ("image", "source", "key")]
            known += [NAME_PREFIX] if _are_files(table) else []
            raise DataError(f"--group {group}: there is no such column{did_you_mean(group, known)}")
    return dataset.with_tables({split: mark_group(table, group) for split, table in tables.items()})


def _suggest_groups(names: Mapping[str, list[str | None]], labels: Mapping[str, list[str | None] | None]) -> bool:
    every = [name for split in names for name in names[split]]
    counts = Counter(name for name in every if name is not None)
    if sum(counts.values()) < LEAST_SHARE * len(every) or len(counts) < LEAST_GROUPS:
        return False
    if max(counts.values()) > MOST_SHARE_OF_ONE * len(every) or sorted(counts.values())[len(counts) // 2] < 2:
        return False
    if not all(name.isalpha() or NUMBERED.fullmatch(name) for name in counts):
        return False
    of_class: dict[str | None, set[str | None]] = defaultdict(set)
    for split, found in names.items():
        for name, label in zip(found, labels[split] or [None] * len(found), strict=True):
            of_class[label].add(name)
    return all(len(found) >= LEAST_GROUPS - 1 for found in of_class.values())


def _are_files(table: pa.Table) -> bool:
    return "image" in table.column_names and pa.types.is_string(table.schema.field("image").type)


def _sources(table: pa.Table) -> list[str]:
    return table.column("source").to_pylist()
