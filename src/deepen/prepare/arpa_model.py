"""An ARPA file as a model of lines: how probable they are, many at once, and what may come next. No run is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deepen.core.errors import DataError
from deepen.ops.ngram_scoring import Scorer, next_log10
from deepen.ops.ngram_words import WordNumbers
from deepen.prepare.arpa import backoff_model
from deepen.prepare.arpa_file import END, UNKNOWN, read_arpa


class ArpaModel:
    """The model of a file with its own vocabulary.

    words  [V] as the file spells them, without `<s>`
    order  N
    notes  what had to be done for the file, in sentences

    Words are parted by blanks; one that the file lacks counts as its `<unk>`, and has log10 p = -99 where it has none.
    Raises DataError for a file that is no ARPA file, or that has no `</s>`.
    """

    def __init__(self, path: Path | str, *, compiled: bool | None = None) -> None:
        file = read_arpa(path)
        if END not in file.words:
            raise DataError(f"{path}: expected {END} among the 1-grams, but no line can end without it; add it.")
        unknown = next((word for word in UNKNOWN if word in file.words), None)
        self.words = file.words if unknown is not None else [*file.words, UNKNOWN[0]]
        model, self.notes = backoff_model(file, self.words)
        self.order, self._end = model.order, self.words.index(END)
        self._scorer = Scorer(model, compiled=compiled)
        self._numbers = WordNumbers(self.words, self.words.index(unknown or UNKNOWN[0]), compiled=compiled)

    def scores(self, lines: Sequence[str]) -> np.ndarray:
        """log10 of each line's probability from `<s>` to `</s>`, [n] float64."""
        values, begins = self._scored(lines)
        return np.add.reduceat(values, begins) if len(begins) else np.zeros(0)

    def word_scores(self, lines: Sequence[str]) -> list[np.ndarray]:
        """log10 p of each word of each line, `</s>` the last one."""
        values, begins = self._scored(lines)
        return [part[1:] for part in np.split(values, begins[1:])] if len(begins) else []

    def next_log10(self, line: str = "") -> np.ndarray:
        """log10 p of every word after the beginning of a line, [V] float64."""
        context = self._numbers.marked([line], beginning=len(self.words), end=None)
        return next_log10(self._scorer.model, context)

    def _scored(self, lines: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """log10 p of all words one behind the other, 0 where a line begins, and where that is."""
        beginning = len(self.words)
        text = self._numbers.marked(lines, beginning=beginning, end=self._end)
        return self._scorer.log10(text), np.flatnonzero(text == beginning)
