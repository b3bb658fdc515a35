"""What word vectors answer: the words nearest to a word, to a text, or to where an analogy leads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from deepen.prepare.encoded import Batch
from deepen.prepare.word_queries import ANALOGY, PLACES, TEXT, WORD

MOST_NEAREST = 10
DIGITS = 6  # by which scores are told apart; ties go to the commoner word
SIGNS = (-1.0, 1.0, 1.0)  # of an analogy's three words
_KINDS = {WORD: "word", ANALOGY: "analogy", TEXT: "text"}


@dataclass(frozen=True)
class WordAnswer:
    """What a line's words are near to.

    kind        word, analogy (the first is to the second as the third is to the answer), text, or nothing
    nearest     the nearest word, and its cosine; of an analogy by the sum of cosines; None where no word is known
    similarity  the cosine of two words, where the line has two
    unknown     how many of its words have no vector
    neighbours  the nearest words, the nearest first, with their cosines
    """

    source: str
    kind: str
    nearest: str | None
    cosine: float | None
    similarity: float | None
    unknown: int
    neighbours: tuple[tuple[str, float], ...]


def units(vectors: Tensor) -> Tensor:
    """The rows at length 1; rows of zeros stay."""
    return vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-12)


class Answering:
    """Answers queries of `word_queries` with the vectors of a vocabulary.

    words    [V]
    vectors  [V, D]; a row of zeros is no answer
    table    [R, D], the rows that queries name
    """

    def __init__(self, words: Sequence[str], vectors: Tensor, table: Tensor) -> None:
        self.words, self.table = words, table.detach().cpu()
        self.units = units(vectors.detach().cpu())
        self._is_no_answer = ~self.units.any(dim=1)

    def place(self, batch: Batch, at: int) -> Tensor:
        """The vectors of one place of queries, [B, D]; zeros where nothing is known."""
        rows, weights = batch[f"rows{at}"].cpu(), batch[f"weights{at}"].cpu()
        return F.embedding_bag(rows, self.table, per_sample_weights=weights, mode="sum")

    def places(self, batch: Batch) -> list[Tensor]:
        """The vectors of each place at length 1, [B, D]."""
        return [units(self.place(batch, at)) for at in range(PLACES)]

    def means(self, batch: Batch) -> Tensor:
        """The mean vector of each query's places, [B, D]."""
        places = torch.stack([self.place(batch, at) for at in range(PLACES)])  # [4, B, D]
        return places.sum(0) / places.any(dim=2).sum(0).clamp(min=1)[:, None]

    def scores(self, batch: Batch, places: Sequence[Tensor]) -> Tensor:
        """How near each word is to what is asked, [B, V] float64; words of the question itself are at -inf.

        cosine of the line's mean, or for an analogy  cos(w, second) - cos(w, first) + cos(w, third)
        """
        is_analogy = (batch["kind"].cpu() == ANALOGY)[:, None]
        led = sum(sign * place for sign, place in zip(SIGNS, places[:3], strict=True))
        assert isinstance(led, Tensor)
        scores = (torch.where(is_analogy, led, places[0]) @ self.units.T).double().round(decimals=DIGITS)
        scores[:, self._is_no_answer] = -torch.inf
        ids = batch["ids"].cpu()
        for column in ids.unbind(1):
            held = torch.nonzero(column >= 0).squeeze(1)
            scores[held, column[held]] = -torch.inf
        return scores

    def answers(self, batch: Batch, sources: Sequence[str]) -> list[WordAnswer]:
        """One for each query."""
        places, kinds = self.places(batch), batch["kind"].cpu().tolist()
        scores, unknown = self.scores(batch, places), batch["unknown"].cpu().tolist()
        known = [place.any(dim=1).tolist() for place in places]
        found = []
        for row, (kind, source) in enumerate(zip(kinds, sources, strict=True)):
            is_known = all(each[row] for each in known[: 3 if kind == ANALOGY else 1])
            is_pair = kind == TEXT and known[1][row] and known[2][row]
            two = round(float(places[1][row] @ places[2][row]), 5) if is_pair else None
            near = self._nearest(scores[row]) if is_known else ()
            nearest, cosine = near[0] if near else (None, None)
            found.append(WordAnswer(source, _KINDS.get(kind, "nothing"), nearest, cosine, two, unknown[row], near))
        return found

    def _nearest(self, scores: Tensor) -> tuple[tuple[str, float], ...]:
        best = scores.sort(descending=True, stable=True)
        pairs = zip(best.indices[:MOST_NEAREST].tolist(), best.values[:MOST_NEAREST].tolist(), strict=True)
        return tuple((self.words[int(index)], round(float(value), 5)) for index, value in pairs if value > -torch.inf)
