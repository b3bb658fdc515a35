"""What a reader makes of raw files: Arrow tables by split, and everything it noticed on the way.

Columns of every table:
    source   string: the file, and where it holds many samples the row or line, as the user knows it
    key      string: 32 hex digits, a hash of the sample's own content; equal samples have equal keys
and those that the task's schema names. Images stand in a column `image` that is one of: string (a path), binary (an
encoded file), or a fixed-shape tensor (uint8, [H, W, C]). Several labels of one sample are a list of strings, `labels`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from deepen.core.faults import Fault

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {  # what files and folders call them
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Schema:
    """Which columns a task reads.

    readers  names of files in data/readers that can make such a table, in the order in which they are asked
    inputs   columns needed to answer; () if any columns will do (tables)
    target   the column to learn, never needed to answer; "" if there is none (or if it must be named by --target)
    group    a column whose equal values must stay in one split, or ""
    """

    readers: tuple[str, ...]
    inputs: tuple[str, ...]
    target: str
    group: str = ""
    is_category: bool = True  # the target is a class name (stratify by it), not a number
    needs_target: bool = True  # whether training cannot do without it: data without labels are then refused
    is_corpus: bool = False  # the rows are stretches of running text, and where one ends means nothing
    singly: bool = False  # whether each line of plain text is a sample in training too, not only to be answered


@dataclass(frozen=True)
class Dataset:
    """Tables by split, either {"all": ...} or some of train, val and test.

    name     a short name for run folders, from the path ("fashion_mnist")
    layout   what it was read as, said out loud: "MNIST idx: 70,000 images, 10 classes"
    labels   class names in their order, where the layout states them; else ()
    faults   what the reader noticed
    """

    name: str
    layout: str
    tables: dict[str, pa.Table]
    labels: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()

    def with_tables(self, tables: dict[str, pa.Table]) -> Dataset:
        """The same data set with other tables."""
        return replace(self, tables=tables)

    def fingerprint(self) -> str:
        """A sha256 of the content of all samples and targets, the same for any order of rows or files."""
        digest = hashlib.sha256()
        for split in sorted(self.tables):
            digest.update(f"{split}:{self.tables[split].num_rows}:".encode())
            digest.update(table_fingerprint(self.tables[split]).encode())
        return digest.hexdigest()


def table_fingerprint(table: pa.Table) -> str:
    """A sha256 over the sorted keys of a table and what is to be learned of them, as far as no key covers it."""
    keys = table.column("key")
    if "label" in table.column_names:
        labels = pc.fill_null(table.column("label").cast(pa.string()), "")
        keys = pc.call_function("binary_join_element_wise", [keys, labels, pa.scalar("\x1f")])
    if "labels" in table.column_names and pa.types.is_list(table.schema.field("labels").type):
        sets = ["\x1e".join(sorted(set(names or ()))) for names in table.column("labels").to_pylist()]
        keys = pc.call_function("binary_join_element_wise", [keys, pa.array(sets, pa.string()), pa.scalar("\x1f")])
    if {"text_a", "text_b", "score"} <= set(table.column_names):
        scores = pc.fill_null(table.column("score").cast(pa.string()), "")
        keys = pc.call_function("binary_join_element_wise", [keys, scores, pa.scalar("\x1f")])
    ordered = keys.take(pc.call_function("sort_indices", [keys], pc.SortOptions([("", "ascending")])))
    digest = hashlib.sha256()
    for value in ordered.to_pylist():
        digest.update(value.encode())
        digest.update(b"\n")
    return digest.hexdigest()


def content_key(*parts: bytes) -> str:
    """The `key` of a sample: 32 hex digits over its bytes, the lengths of the parts included."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
