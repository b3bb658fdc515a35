"""The cells of one table column as distinct texts and codes, whatever type the column has."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MISSING_WORDS = ("na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "nil", "?", "-", "--", ".", "missing")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NOT_FINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_OTHER_NUMBERS = (
    re.compile(r"[+-]?\d+,\d+"),  # 1,5
    re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?"),  # 1,234.5
    re.compile(r"[+-]?\d{1,3}(\.\d{3})+(,\d+)?"),  # 1.234,5
    re.compile("[+-]?\\d{1,3}([ '\u00a0\u202f\u2009]\\d{3})+([.,]\\d+)?"),  # 1 234.5
)
_CURRENCY = re.compile("^[$\u20ac\u00a3\u00a5]\\s*|\\s*[$\u20ac\u00a3\u00a5%]$")


@dataclass(frozen=True)
class Cells:
    """One column.

    values  the distinct texts, trimmed, sorted
    codes   [N] int64: the place of each row's text in `values`, -1 where the cell is empty
    """

    values: tuple[str, ...]
    codes: np.ndarray

    def counts(self) -> np.ndarray:
        """How many rows hold each value, [len(values)] int64."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.values))

    def first_row(self, value_index: int) -> int:
        """The first row that holds the value."""
        return int(np.flatnonzero(self.codes == value_index)[0])

    def spread(self, per_value: np.ndarray, empty: float | int | bool) -> np.ndarray:
        """The per-value array laid out by row, with `empty` for empty cells."""
        if not len(self.values):
            return np.full(len(self.codes), empty, dtype=np.asarray(per_value).dtype)
        return np.where(self.codes >= 0, np.asarray(per_value)[self.codes], empty)


def cells_of(column: pa.ChunkedArray) -> Cells | None:
    """The cells of a column of texts, numbers, truth values, dates or times; None for any other type (lists, bytes)."""
    texts = _as_text(column)
    if texts is None:
        return None
    encoded = texts.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    trimmed = [text.strip() for text in encoded.dictionary.to_pylist()]
    values = sorted({text for text in trimmed if text})
    number = {text: index for index, text in enumerate(values)}
    places = np.array([*(number.get(text, -1) for text in trimmed), -1], dtype=np.int64)
    codes = encoded.indices.fill_null(len(trimmed)).to_numpy(zero_copy_only=False).astype(np.int64)
    return Cells(tuple(values), places[codes])


def is_missing_word(text: str) -> bool:
    """Whether the text says that there is no value, in a column of numbers or dates: NA, n/a, NaN, null, ?, - ..."""
    return text.casefold() in MISSING_WORDS


def is_plain_number(text: str) -> bool:
    """Whether the text is an ASCII number with a decimal point, such as -1, 2.5 or 1e-3."""
    return text.isascii() and _NUMBER.fullmatch(text) is not None


def is_not_finite(text: str) -> bool:
    """Whether the text is an infinity, or a number too large for 64 bits, such as 1e400."""
    if _NOT_FINITE.fullmatch(text):
        return True
    return is_plain_number(text) and not np.isfinite(float(text))


def is_foreign_number(text: str) -> bool:
    """Whether people would read it as a number, but it has a decimal comma, grouped, signed or written otherwise.

    >>> [is_foreign_number(text) for text in ("1,5", "1,234.5", "\u22123", "\uff11\uff12", "12 %", "12", "3+")]
    [True, True, True, True, True, False, False]
    """
    if is_plain_number(text):
        return False
    plain = _CURRENCY.sub("", text.replace("\u2212", "-"))
    plain = "".join(str(_digit(c)) if not c.isascii() and _digit(c) is not None else c for c in plain)
    return is_plain_number(plain) or any(form.fullmatch(plain) for form in _OTHER_NUMBERS)


def numbers_of(cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    """Each row's number, and which rows hold something that is no finite number.

    numbers  [N] float64, NaN where the cell is empty, a missing word, or not a number
    is_bad   [N] bool
    """
    values = np.full(len(cells.values), np.nan)
    bad = np.zeros(len(cells.values), dtype=bool)
    for index, text in enumerate(cells.values):
        if is_plain_number(text) and np.isfinite(float(text)):
            values[index] = float(text)
        else:
            bad[index] = not is_missing_word(text)
    return cells.spread(values, np.nan), cells.spread(bad, False)


def _digit(character: str) -> int | None:
    value = unicodedata.decimal(character, None)
    return None if value is None else int(value)


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    kind = column.type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_null(kind):
        return pa.chunked_array([pa.nulls(len(column), pa.string())])
    if pa.types.is_dictionary(kind):
        return _as_text(column.cast(kind.value_type))
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return None
    if pa.types.is_fixed_size_binary(kind) or pa.types.is_duration(kind):
        return None
    return pc.cast(column, pa.string())
