"""The inputs of old and new samples as numbers by the same rules: columns, pictures, texts, stretches of a corpus."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from deepen.core.errors import DataError
from deepen.data.columns import RESERVED
from deepen.data.dataset import Schema
from deepen.data.target import group_of, listed
from deepen.data.text_blocks import block_reader
from deepen.engine.evaluate import BATCH_SIZE
from deepen.metrics import shift
from deepen.metrics.shift import Told
from deepen.prepare import text_vectors, vectors
from deepen.prepare.column_places import column_places, values_of
from deepen.prepare.encoded import Encoded
from deepen.prepare.tabular import ColumnOptions

SIDE = 32  # pictures are compared at no more than this
COMPONENTS = 32
STRETCHES = 200  # of the smaller of two corpora, as far as they may be so short
SHORTEST, LONGEST = 40, 2_000  # characters of a stretch
PASSAGES = 24  # of the smaller corpus: a stretch is like its neighbours, so these are what is compared
MOST_CHARACTERS = shift.MOST_ROWS * LONGEST  # of a corpus, from all over; more would not be looked at


@dataclass(frozen=True)
class Sides:
    """The same measures of old and new samples.

    old, new    [n, D] and [m, D]: arrays, or sparse matrices of texts
    measures    by name, old and new: what can be named to a person
    units       what one sample is called, and several
    groups      of old and new samples, where neighbours hang together: which belong to one passage
    """

    old: Any
    new: Any
    measures: tuple[dict[str, np.ndarray], dict[str, np.ndarray]]
    units: tuple[str, str] = ("sample", "samples")
    groups: tuple[np.ndarray, np.ndarray] | None = None

    def told(self, seed: int) -> Told:
        """How well a classifier tells them apart."""
        if self.groups is not None:
            return shift.grouped_classifier_test(self.old, self.new, self.groups, seed=seed)
        return shift.classifier_test(self.old, self.new, seed=seed)


def sides_of(old: pa.Table, new: pa.Table, schema: Schema, target: str) -> Sides:
    """Both as vectors, by rules learned from the old ones or from both alike, and as measures with names.

    target  the column to learn, which is no input; "" where there is none

    Raises DataError for fewer samples than can be compared, and for a corpus that is none.
    """
    if schema.is_corpus:
        return _corpora(old, new)
    if set(vectors.IMAGE_COLUMNS) <= set(old.column_names):
        return _pictures(old, new)
    return _texts(old, new, schema.inputs) if schema.inputs else _tables(old, new, target)


def _tables(old: pa.Table, new: pa.Table, target: str) -> Sides:
    """The columns; that of `--group`, whose names are new in any new data, is none of them."""
    if (group := group_of(old)) in old.column_names:
        old = old.drop_columns([group])
    state = vectors.learn(old, target, vectors.ImageRules(None, "crop"), ColumnOptions(), [])
    if state["width"] == 0:
        names = listed([name for name in old.column_names if name not in RESERVED]) or "none"
        raise DataError(f"to compare tables, expected columns of numbers, dates or categories; there is: {names}.")
    encoded = _encoded(old, new, state)
    found = [_vectors(side, state) for side in encoded]
    return Sides(found[0], found[1], (_columns(encoded[0], state), _columns(encoded[1], state)))


def _pictures(old: pa.Table, new: pa.Table) -> Sides:
    state = vectors.learn(old, "", vectors.ImageRules(_side(old), "crop"), ColumnOptions(), [])
    found = [_vectors(side, state) for side in _encoded(old, new, state)]
    return Sides(*_projected(*found), (_picture_measures(found[0]), _picture_measures(found[1])))


def _texts(old: pa.Table, new: pa.Table, columns: tuple[str, ...]) -> Sides:
    _require(old.num_rows, new.num_rows)
    both = [{column: _cells(table, column) for column in columns} for table in (old, new)]
    one, other, *measures = text_vectors.text_vectors(*both)
    return Sides(one, other, (measures[0], measures[1]))


def _corpora(old: pa.Table, new: pa.Table) -> Sides:
    """Stretches of the same length of both, since where a row of a corpus ends means nothing, in their passages."""
    both = [_running_text(table) for table in (old, new)]
    size = min(LONGEST, max(SHORTEST, min(map(len, both)) // STRETCHES))
    cut = [stretches(text, size) for text in both]
    units = f"stretch of {size:,} characters", f"stretches of {size:,} characters"
    _require(len(cut[0]), len(cut[1]), units[1])
    length = max(1, min(map(len, cut)) // PASSAGES)  # the same of both sides: so their shares can be equal
    cut = [side[: len(side) // length * length] for side in cut]
    one, other, *measures = text_vectors.text_vectors({"text": cut[0]}, {"text": cut[1]})
    groups = [np.arange(len(side)) // length for side in cut]
    means = [_of_passages(found, group) for found, group in zip(measures, groups, strict=True)]
    return Sides(one, other, (means[0], means[1]), units, (groups[0], groups[1]))


def _of_passages(measures: dict[str, np.ndarray], groups: np.ndarray) -> dict[str, np.ndarray]:
    """The means of the passages; of words the share of their stretches that have them."""
    return {
        f"share with {name}" if values.dtype.kind == "b" else name: shift.group_means(values.astype(float), groups)
        for name, values in measures.items()
    }


def stretches(text: str, size: int) -> list[str]:
    """The text in parts of at least `size` characters that end with a word; the rest is left out.

    >>> stretches("one two three four", 5)
    ['one two', 'three']
    """
    return re.findall(rf"\S[\s\S]{{{size - 1}}}\S{{0,{SHORTEST}}}", text)


def _running_text(table: pa.Table) -> str:
    """The text of a corpus in its order, or if it is too long, of rows from all over it."""
    if not {"text", "path"} & set(table.column_names):
        raise DataError("to compare corpora, expected running text, but there are judgements of words; name texts.")
    if "place" in table.column_names and len(set(table.column("place").to_pylist())) == table.num_rows:
        table = table.take(pa.array(np.argsort(table.column("place").to_numpy(), kind="stable")))
    read = block_reader(table)
    looked = np.linspace(0, table.num_rows - 1, min(table.num_rows, SHORTEST)).astype(int).tolist()
    length = sum(len(read(row)) for row in looked) / max(1, len(looked))
    count = min(table.num_rows, int(MOST_CHARACTERS / max(1.0, length)) + 1)
    return "\n".join(
        read(row).removesuffix("\n") for row in np.linspace(0, table.num_rows - 1, count).astype(int).tolist()
    )


def _cells(table: pa.Table, column: str) -> list[str]:
    """The texts of a column, "" where there is none; tokens with blanks between, or the plain text in their place."""
    name = next((each for each in (column, "text") if each in table.column_names), "")
    if not name:
        raise DataError(f"to compare texts, expected a column {column!r}; there is: {listed(table.column_names)}.")
    cells = table.column(name).to_pylist()
    return [cell if isinstance(cell, str) else " ".join(token or "" for token in cell or ()) for cell in cells]


def _require(old: int, new: int, units: str = "samples") -> None:
    least = 2 * shift.FOLDS
    for count, which in ((old, "reference"), (new, "new")):
        if count < least:
            raise DataError(f"to compare data, expected at least {least} usable {which} {units}, but found {count}.")


def _encoded(old: pa.Table, new: pa.Table, state: dict[str, Any]) -> list[Encoded]:
    encoded = [vectors.encode(table, state, "predict", [])[0] for table in (old, new)]
    _require(len(encoded[0]), len(encoded[1]))
    return encoded


def _side(table: pa.Table) -> int | None:
    kind = table.schema.field("image").type
    if isinstance(kind, pa.FixedShapeTensorType) and max(kind.shape[:2]) <= SIDE:
        return None
    return SIDE


def _vectors(encoded: Encoded, state: dict[str, Any]) -> np.ndarray:
    rows = np.arange(len(encoded), dtype=np.int64)
    parts = [vectors.vectors_of(encoded, state, part) for part in np.array_split(rows, -(-len(rows) // BATCH_SIZE))]
    return torch.cat(parts).numpy()


def _projected(old: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures by their first principal components, learned from both: a shift must not lie outside of them."""
    from sklearn.decomposition import PCA

    count = min(COMPONENTS, old.shape[1], len(old), len(new))
    drawn = [side[np.linspace(0, len(side) - 1, min(len(side), shift.MOST_ROWS)).astype(int)] for side in (old, new)]
    found = PCA(count, svd_solver="randomized", random_state=0).fit(np.concatenate(drawn))
    return found.transform(old), found.transform(new)


def _picture_measures(pixels: np.ndarray) -> dict[str, np.ndarray]:
    """What a person would name, in deviations of the reference's pixels."""
    return {"brightness": pixels.mean(1), "contrast": pixels.std(1)}


def _columns(encoded: Encoded, state: dict[str, Any]) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for place in column_places(state["table"]):
        if place.kind == "category":
            found[place.name] = np.array(encoded.table.column(place.name).cast(pa.string()).fill_null("").to_pylist())
        else:
            found[place.name] = values_of(encoded.table, place)
    return found
