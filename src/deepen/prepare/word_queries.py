"""Words, analogies, texts and judged pairs as sums of table rows: what a word vector's table is asked.

A query has up to four places, each the mean of some words; a word is the mean of its pieces' rows, or one row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from deepen.prepare.encoded import Encoded
from deepen.prepare.ragged import Ragged
from deepen.prepare.subword_pieces import PieceTable, buckets_of, pieces_of
from deepen.prepare.text import Tokenizer

NOTHING, WORD, ANALOGY, TEXT, PAIR, QUESTION = range(6)  # what a query is; the last two are judged
PLACES = 4
JUDGED = ("first", "second", "third", "fourth")
SHOWN = 60  # letters of a line in the name of its source


@dataclass(frozen=True)
class Lexicon:
    """The words of a tokenizer and, where words have pieces, the table of those."""

    tokenizer: Tokenizer
    pieces: PieceTable | None = None
    num_specials: int = 1

    @property
    def counts(self) -> list[int]:
        """How often the training text has each word; 0 for those that stand for something else, such as <unk>."""
        return [0] * self.num_specials + self.tokenizer.counts[self.num_specials :]

    def id_of(self, word: str) -> int:
        """The id of a word as it is written, else in lower case; -1 for one outside the vocabulary."""
        for form in (word, word.lower()):
            found = self.tokenizer.id_of(self.tokenizer.normalized(form))
            if found != self.tokenizer.unknown:
                return found
        return -1

    def rows_of(self, word: str) -> list[int]:
        """The rows whose mean is the word's vector; none for a word of which nothing is known."""
        found = self.id_of(word)
        if self.pieces is None:
            return [found] if found >= 0 else []
        if found < 0:
            return self.pieces.of_unseen(self.tokenizer.normalized(word))
        return self.pieces.rows[self.pieces.starts[found] : self.pieces.starts[found + 1]].tolist()

    def parts_of(self, word: str) -> list[str]:
        """What stands for each of `rows_of`: the word itself, or its n-grams behind it."""
        found, rows = self.id_of(word), self.rows_of(word)
        if self.pieces is None:
            return [word] * len(rows)
        form = self.tokenizer.vocabulary[found] if found >= 0 else self.tokenizer.normalized(word)
        known = self.pieces.of_bucket
        named = zip(pieces_of(form, self.pieces.options), buckets_of(form, self.pieces.options), strict=True)
        return [*([word] if found >= 0 else []), *(piece for piece, bucket in named if bucket in known)]


def encode_lines(words: Sequence[Sequence[str]], sources: Sequence[str], lexicon: Lexicon, table: pa.Table) -> Encoded:
    """The words of lines as queries: one word, three words (an analogy's question), or a text of any other number; of
    two words the second and third place hold each for itself. `unknown` [N] counts the words without a vector.

    sources  of the lines; what a line says is added
    table    one row a line, whose further columns are kept
    """
    kinds = [WORD if len(each) == 1 else ANALOGY if len(each) == 3 else TEXT if each else NOTHING for each in words]
    places = [places_of(each) for each in words]
    lines = [" ".join(each) for each in words]
    named = [f"{source}: {_shown(line)}" for source, line in zip(sources, lines, strict=True)]
    table = table.drop_columns([name for name in ("source", "text") if name in table.column_names])
    table = table.append_column("source", pa.array(named, pa.string()))
    table = table.append_column("text", pa.array(lines, pa.string()))
    known = {word: bool(lexicon.rows_of(word)) for word in {word for each in words for word in each}}
    unknown = torch.tensor([sum(not known[word] for word in each) for each in words], dtype=torch.int64)
    return _encoded(places, kinds, lexicon, table, {"unknown": unknown})


def encode_judged(table: pa.Table, sections: Mapping[str, int], lexicon: Lexicon) -> Encoded:
    """Judged pairs and analogies with their scores and the numbers of their sections."""
    rows = list(zip(*(table.column(name).to_pylist() for name in JUDGED), strict=True))
    kinds = [PAIR if each[2] is None else QUESTION for each in rows]
    places = [[[word] for word in each if word is not None] for each in rows]
    scores = [0.0 if score is None else score for score in table.column("score").to_pylist()]
    tensors = {
        "score": torch.tensor(scores, dtype=torch.float64),
        "section": torch.tensor([sections[name] for name in table.column("section").to_pylist()]),
    }
    return _encoded(places, kinds, lexicon, table, tensors)


def places_of(words: Sequence[str]) -> list[list[str]]:
    """What stands in each place of a query of these words."""
    if len(words) in (1, 3):
        return [[word] for word in words]
    return [list(words), *([word] for word in words)] if len(words) == 2 else [list(words)]


def _encoded(
    places: Sequence[Sequence[Sequence[str]]],
    kinds: Sequence[int],
    lexicon: Lexicon,
    table: pa.Table,
    tensors: Mapping[str, torch.Tensor],
) -> Encoded:
    """Each place as rows and what each counts, and the id of each place that is one known word, else -1."""
    known: dict[str, tuple[list[int], int]] = {}
    for word in {word for each in places for place in each for word in place}:
        known[word] = (lexicon.rows_of(word), lexicon.id_of(word))
    ids = np.full((len(places), PLACES), -1, np.int64)
    rows: list[list[list[int]]] = [[] for _ in range(PLACES)]
    weights: list[list[list[float]]] = [[] for _ in range(PLACES)]
    for index, each in enumerate(places):
        for at in range(PLACES):
            words = each[at] if at < len(each) else ()
            found = [known[word][0] for word in words if known[word][0]]
            rows[at].append([row for own in found for row in own])
            weights[at].append([1 / (len(found) * len(own)) for own in found for _ in own])
            if len(words) == 1:
                ids[index, at] = known[words[0]][1]
    ragged = {f"rows{at}": Ragged.of(rows[at]) for at in range(PLACES)}
    ragged |= {
        f"weights{at}": Ragged.of([np.array(each, np.float32) for each in weights[at]], torch.float32)
        for at in range(PLACES)
    }
    kept = {"ids": torch.from_numpy(ids), "kind": torch.tensor(list(kinds), dtype=torch.int64), **tensors}
    return Encoded(kept, table, ragged=ragged)


def _shown(line: str) -> str:
    line = " ".join(line.split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}..."
