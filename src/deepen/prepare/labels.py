"""Class names: learned from the training table's target column, then each label as its number.

Rules. Blanks around a label do not count. Where all labels are numbers, 1, "1" and 1.0 are one class. Classes stand in
natural order ("9" before "10"). A null label is a fault of that sample. A label with one or two samples whose name is
near that of a class at least twenty times as large is a warning; with given names any other label is an error.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from deepen.core.class_names import NUMBER, in_order, merged
from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.names import nearest

if TYPE_CHECKING:
    from torch import Tensor

RARE = 2
TIMES_LARGER = 20
NEAR = 0.7
MOST_CLASSES = 10_000


def learn(table: pa.Table, column: str, *, faults: list[Fault], given: Sequence[str] = ()) -> list[str]:
    """The class names in their order: the given ones, else all that occur in the training table.

    Adds warnings for probable typing errors and for names that differ only in case. Raises DataError if fewer than two
    classes are left, or so many that the column cannot be a class.
    """
    if given:
        return list(given)
    counts, places = _counted(table, column)
    if not counts:
        raise DataError(f"column {column!r}: no training row has a label; give some.")
    if len(counts) == 1:
        name = next(iter(counts))
        raise DataError(f"all {counts[name]:,} training samples have the label {name!r}; expected at least 2 classes.")
    if len(counts) > MOST_CLASSES:
        raise DataError(
            f"column {column!r}: has {len(counts):,} different labels; at most {MOST_CLASSES:,} classes can be learned."
        )
    _warn_typos(counts, places, faults)
    _warn_case(counts, places, faults)
    return in_order(counts)


def encode(
    table: pa.Table, column: str, names: Sequence[str], split: str, faults: list[Fault], *, given: bool = False
) -> tuple[Tensor, np.ndarray]:
    """Each row's class number as a tensor, and which rows have one: see `codes`."""
    import torch

    found, kept = codes(table, column, names, split, faults, given=given)
    return torch.from_numpy(found), kept


def codes(
    table: pa.Table, column: str, names: Sequence[str], split: str, faults: list[Fault], *, given: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Each row's class number, and which rows have one.

    given    whether the names were given, so that any other label is an error; otherwise a label that was never in
             training leaves its row out of the score with a warning, since no output stands for it
    returns  [N] int64 and the rows of the table it belongs to, [N] int64 ascending
    """
    indices, texts = _coded(table, column)
    known = {name: index for index, name in enumerate(names)}
    class_of = merged(text for text in texts if text)
    rows = np.array([known.get(text or "", known.get(class_of.get(text or "", ""), -1)) for text in texts])[indices]
    for row in np.flatnonzero(rows < 0).tolist():
        faults.append(_unknown(texts[indices[row]], table.column("source")[row].as_py(), names, split, row, given))
    kept = np.flatnonzero(rows >= 0)
    return rows[kept], kept


def _coded(table: pa.Table, column: str) -> tuple[np.ndarray, list[str | None]]:
    """[N] int64, each row's place in the list of trimmed texts; a blank or missing one is None there."""
    values = table.column(column)
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    encoded = values.cast(pa.string()).combine_chunks().dictionary_encode()
    encoded = pa.concat_arrays(encoded.chunks) if isinstance(encoded, pa.ChunkedArray) else encoded
    texts = [text.strip() or None for text in encoded.dictionary.to_pylist()]
    indices = encoded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    return indices.astype(np.int64), [*texts, None]


def _counted(table: pa.Table, column: str) -> tuple[dict[str, int], dict[str, str]]:
    """How often each class occurs, and the source of its first row."""
    indices, texts = _coded(table, column)
    class_of = merged(text for text in texts if text)
    counts: dict[str, int] = {}
    rows: dict[str, int] = {}
    for code, first, count in zip(*np.unique(indices, return_index=True, return_counts=True), strict=True):
        text = texts[code]
        if text:
            name = class_of[text]
            counts[name] = counts.get(name, 0) + int(count)
            rows[name] = min(rows.get(name, int(first)), int(first))
    return counts, {name: table.column("source")[row].as_py() for name, row in rows.items()}


def _warn_typos(counts: dict[str, int], places: dict[str, str], faults: list[Fault]) -> None:
    largest = max(counts.values())
    rare = sorted(name for name, count in counts.items() if count <= RARE and count * TIMES_LARGER <= largest)
    for name in rare:
        if NUMBER.match(name):
            continue
        large = [other for other, count in counts.items() if count >= TIMES_LARGER * counts[name]]
        found = difflib.get_close_matches(
            name.casefold(), sorted(other.casefold() for other in large), n=1, cutoff=NEAR
        )
        near = next((other for other in sorted(large) if found and other.casefold() == found[0]), None)
        if near:
            message = (
                f"label {name!r} has {counts[name]} sample{'s' if counts[name] > 1 else ''} and is near {near!r} "
                f"with {counts[near]:,}; mend the row if it is a typing error."
            )
            faults.append(Fault("warning", "label-typo", places[name], message))


def _warn_case(counts: dict[str, int], places: dict[str, str], faults: list[Fault]) -> None:
    first: dict[str, str] = {}
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        other = first.setdefault(name.casefold(), name)
        if other != name and counts[name] > RARE:
            pair = f"{name!r} ({counts[name]:,}) and {other!r} ({counts[other]:,})"
            message = f"labels {pair} differ only in case; they are two classes."
            faults.append(Fault("warning", "label-case", places[name], message))


def _unknown(text: str | None, place: str, names: Sequence[str], split: str, row: int, given: bool) -> Fault:
    if text is None:
        return Fault("sample", "label-missing", place, "has no label; give it one or remove the row.", split, row)
    near = nearest(text, names)
    hint = f"; nearest is {near!r}" if near else ""
    known = f"label {text!r} is not one of the {len(names)} known{hint}."
    if given:
        return Fault("error", "label-unknown", place, f"{known} Fix the row or pass --labels.", split, row)
    return Fault(
        "warning", "label-unseen", place, f"{known} It is left out of the score: no output stands for it.", split, row
    )
