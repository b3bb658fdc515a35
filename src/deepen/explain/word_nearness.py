"""Explaining answers of word vectors: what each word, or each n-gram of it, adds to a cosine, and all cosines.

The cosine of a sum is a sum of cosines: with h = sum_i w_i r_i, the mean of table rows that a word or text is, and u
the answered word's vector at length 1,

    cos(h, u) = sum_i w_i (r_i . u) / |h|

so the shares add up to the answer exactly, as no share of a deep network does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from deepen.core.figures import MarkedText, Matrix, Sample
from deepen.explain.explaining import Explanation, Method, Request
from deepen.metrics.word_similarity import WordMetrics
from deepen.prepare.encoded import Batch, Encoded
from deepen.prepare.word_answers import SIGNS, Answering, WordAnswer
from deepen.prepare.word_queries import ANALOGY, JUDGED, Lexicon, encode_lines, places_of

MOST_WORDS = 20  # of a line that is explained
MOST_SHOWN = 12  # words on a side of a table of cosines


@dataclass(frozen=True)
class _Query:
    """A row: what is asked, word by word in each place, and what was answered."""

    row: int
    batch: Batch
    places: list[list[str]]
    answer: WordAnswer

    @property
    def words(self) -> list[str]:
        return list(dict.fromkeys(word for place in self.places for word in place))


class WordExplainer:
    """Explains the nearest word of a line, of a text's first line, or of judged words.

    lexicon    words and their pieces
    answering  network -> the vectors by which it answers
    batch      (encoded, rows) -> their queries
    line       (encoded, row) -> the line that stands for a row which is no query
    """

    def __init__(
        self,
        lexicon: Lexicon,
        answering: Callable[[Any], Answering],
        batch: Callable[[Encoded, np.ndarray], Batch],
        line: Callable[[Encoded, int], str],
    ) -> None:
        self._lexicon, self._answering, self._batch, self._line = lexicon, answering, batch, line
        self.methods: Mapping[str, Method] = {
            "shares": Method("what each word or n-gram adds to the cosine", "samples", self._shares, is_default=True),
            "cosines": Method(
                "the cosines of the words and their neighbours", "samples", self._cosines, is_default=True
            ),
        }

    def worst(self, metrics: WordMetrics, number: int) -> list[int]:
        """The texts with the largest loss."""
        return metrics.worst_texts(number)

    def samples(self, request: Request) -> list[tuple[Sample, dict[str, Any]]]:
        """Each line with its answer."""
        found = []
        for query in self._queries(request, self._answering(request.model)):
            answer = query.answer
            said = f"{answer.kind}: {answer.nearest} ({answer.cosine:.3f})" if answer.nearest else "nothing is known"
            found.append((Sample([said], text=" ".join(query.words)), {"answer": answer.nearest}))
        return found

    def _shares(self, request: Request) -> Explanation:
        found, answering = Explanation(), self._answering(request.model)
        for query in self._queries(request, answering):
            if query.answer.nearest is None:
                continue
            parts, shares = self._shares_of(query, answering)
            largest = float(shares.abs().max().clamp(min=1e-9))
            total = float(shares.sum())
            note = f"adds up to {total:.4f}; the strongest colour is a share of {largest:.3g}"
            title = f"what leads to {query.answer.nearest}"
            found.panels[query.row] = [MarkedText(title, parts, (shares / largest).tolist(), note)]
            columns: dict[str, float] = {}
            for part, share in zip(parts, shares.tolist(), strict=True):
                columns[part] = round(columns.get(part, 0.0) + share, 6)
            told = {"of": query.answer.nearest, "kind": query.answer.kind, "sum": round(total, 6), "columns": columns}
            found.by_row[query.row] = told
            found.values[query.row] = {"": shares}
        found.notes.append(
            "The shares of words and n-grams add up to the answer's score exactly; orange leads there, blue away."
        )
        return found

    def _shares_of(self, query: _Query, answering: Answering) -> tuple[list[str], Tensor]:
        """The parts of a question, and the share of each in the answer's score."""
        assert query.answer.nearest is not None
        to = answering.units[self._lexicon.tokenizer.id_of(query.answer.nearest)]
        is_analogy = int(query.batch["kind"][0]) == ANALOGY
        parts: list[str] = []
        shares: list[Tensor] = []
        for at, sign in enumerate(SIGNS if is_analogy else (1.0,)):
            whole = answering.place(query.batch, at)[0]
            weights = query.batch[f"weights{at}"][0]
            rows = query.batch[f"rows{at}"][0][weights > 0]
            shares.append(sign * weights[weights > 0] * (answering.table[rows] @ to) / whole.norm())
            parts += [part for word in query.places[at] for part in self._lexicon.parts_of(word)]
        return parts, torch.cat(shares)

    def _cosines(self, request: Request) -> Explanation:
        found, answering = Explanation(), self._answering(request.model)
        for query in self._queries(request, answering):
            words = [word for word in query.words if self._lexicon.rows_of(word)][:MOST_SHOWN]
            if not words:
                continue
            near = [word for word, _ in query.answer.neighbours][: max(1, MOST_SHOWN - len(words))]
            columns = list(dict.fromkeys([*words, *near]))
            cosines = self._vectors(words, answering) @ self._vectors(columns, answering).T
            cells = [[round(float(value), 3) for value in row] for row in cosines]
            found.panels[query.row] = [Matrix("cosines", words, columns, cells, "word", "and")]
            found.by_row[query.row] = {"words": words, "and": columns, "cosines": cells}
            found.values[query.row] = {"": cosines}
        return found

    def _vectors(self, words: Sequence[str], answering: Answering) -> Tensor:
        """The vectors of words that are known, at length 1, [n, D]."""
        found = torch.stack([answering.table[self._lexicon.rows_of(word)].mean(0) for word in words])
        return found / found.norm(dim=1, keepdim=True).clamp(min=1e-12)

    def _queries(self, request: Request, answering: Answering) -> Iterator[_Query]:
        lines = [self._line_of(request.encoded, row) for row in request.rows.tolist()]
        words = [self._lexicon.tokenizer.tokens(line)[:MOST_WORDS] for line in lines]
        sources = [request.encoded.source(row) for row in request.rows.tolist()]
        table = pa.table({"source": pa.array(sources, pa.string())})
        encoded = encode_lines(words, sources, self._lexicon, table)
        for index, row in enumerate(request.rows.tolist()):
            batch = self._batch(encoded, np.array([index]))
            places = [[word for word in place if self._lexicon.rows_of(word)] for place in places_of(words[index])]
            yield _Query(row, batch, places, answering.answers(batch, [sources[index]])[0])
            request.progress((index + 1) / len(lines))

    def _line_of(self, encoded: Encoded, row: int) -> str:
        """The question that a row is, or a line of its text."""
        if JUDGED[0] in encoded.table.column_names:
            words = [encoded.table.column(name)[row].as_py() for name in JUDGED[:3]]
            return " ".join(word for word in words if word is not None)
        return self._line(encoded, row)
