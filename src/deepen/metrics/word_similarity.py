"""How good word vectors are: loss on held-out text, agreement with people on how alike words are, and analogies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from deepen.metrics.correlation import spearman
from deepen.metrics.resample import Interval, bootstrap_mean
from deepen.metrics.rows import ROWS, RowEntries

FEWEST_PAIRS = 3
EPSILON = 0.001  # of 3CosMul, as in the paper


def analogies(vectors: Tensor, first: Tensor, second: Tensor, third: Tensor, without: Tensor) -> tuple[Tensor, Tensor]:
    """The words that complete "first is to second as third is to ...", by two rules, each [B] int64.

        3CosAdd    the word w whose  cos(w, second) - cos(w, first) + cos(w, third)  is largest
        3CosMul    the word w whose  c(w, second) c(w, third) / (c(w, first) + 0.001)  is largest,  c = (cos + 1) / 2

    vectors              [V, D] of length 1; a row of zeros is no word
    first, second, third [B, D] of length 1
    without              [B, 3] int64: words that are no answer, those of the question; -1 for none

    Source: Mikolov, Yih and Zweig 2013, Linguistic Regularities in Continuous Space Word Representations; Levy and
    Goldberg 2014, Linguistic Regularities in Sparse and Explicit Word Representations, eq. 4.
    """
    a, b, c = first @ vectors.T, second @ vectors.T, third @ vectors.T  # [B, V]
    added = b - a + c
    multiplied = (b + 1) * (c + 1) / 4 / ((a + 1) / 2 + EPSILON)
    nothing = ~vectors.any(dim=1)
    for scores in (added, multiplied):
        scores[:, nothing] = -torch.inf
        for column in without.unbind(1):
            held = torch.nonzero(column >= 0).squeeze(1)
            scores[held, column[held]] = -torch.inf
    return added.argmax(dim=1), multiplied.argmax(dim=1)


class WordMetrics:
    """Adds any of the three; `sections` names the numbers that pairs and analogies come with."""

    def __init__(self, sections: Sequence[str] = ()) -> None:
        self.sections = sections
        self._texts = RowEntries("loss", "count")
        self._pairs = RowEntries("cosine", "score", "section", "is_known")
        self._analogies = RowEntries("added", "multiplied", "section", "is_known")

    def add_texts(self, losses: Tensor, counts: Tensor, rows: np.ndarray) -> None:
        """Summed losses [B] of held-out texts and of how many predictions [B]."""
        self._texts.add(rows, {"loss": losses, "count": counts})

    def add_pairs(self, cosines: Tensor, scores: Tensor, sections: Tensor, is_known: Tensor, rows: np.ndarray) -> None:
        """Cosines and people's scores of pairs, and whether both words are known, each [B]."""
        entries = {"cosine": cosines, "score": scores, "section": sections, "is_known": is_known}
        self._pairs.add(rows, entries)

    def add_analogies(
        self, added: Tensor, multiplied: Tensor, sections: Tensor, is_known: Tensor, rows: np.ndarray
    ) -> None:
        """Whether 3CosAdd and 3CosMul found the fourth word, and whether all four are known, each [B]."""
        entries = {"added": added, "multiplied": multiplied, "section": sections, "is_known": is_known}
        self._analogies.add(rows, entries)

    def state(self) -> dict[str, Tensor]:
        """What was added, by kind, as tensors on the CPU."""
        return {
            f"{kind}.{name}": tensor for kind, held in self._parts().items() for name, tensor in held.state().items()
        }

    def merge(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Replaces what is held by the union of all ranks' states, each row once."""
        for kind, held in self._parts().items():
            start = f"{kind}."
            held.merge(
                [{n.removeprefix(start): t for n, t in state.items() if n.startswith(start)} for state in states]
            )

    def result(self) -> dict[str, float]:
        """The figures by name, those that something was added for.

        loss                     by prediction on held-out text
        spearman                 of cosines and scores, over pairs of known words; with several sections one each,
                                 spearman_<section>
        pairs_unknown            the share of pairs with a word outside the vocabulary, which count for nothing else
        accuracy                 of 3CosAdd over analogies of known words, and accuracy_multiplied of 3CosMul
        analogies_unknown        the share of analogies with a word outside the vocabulary
        """
        found: dict[str, float] = {}
        texts = self._texts.read()
        if len(texts[ROWS]) and texts["count"].sum() > 0:
            found["loss"] = float(texts["loss"].sum(dtype=np.float64) / texts["count"].sum(dtype=np.float64))
        found |= self._similarity()
        analogies = self._analogies.read()
        if len(analogies[ROWS]):
            known = analogies["is_known"].astype(bool)
            if known.any():
                found["accuracy"] = float(analogies["added"][known].mean())
                found["accuracy_multiplied"] = float(analogies["multiplied"][known].mean())
            found["analogies_unknown"] = float(1 - known.mean())
        return found

    def intervals(self, *, seed: int = 0) -> dict[str, Interval]:
        """95 % bootstrap intervals of both accuracies over the analogies of known words."""
        analogies = self._analogies.read()
        if not len(analogies[ROWS]) or not analogies["is_known"].any():
            return {}
        known = analogies["is_known"].astype(bool)
        return {
            name: bootstrap_mean(analogies[kind][known].astype(np.float64), seed=seed)
            for name, kind in (("accuracy", "added"), ("accuracy_multiplied", "multiplied"))
        }

    def pairs_by_section(self) -> list[tuple[str, np.ndarray, np.ndarray, int]]:
        """Of each section its name, the cosines and scores [n] of pairs of known words, and how many were unknown."""
        held = self._pairs.read()
        if not len(held[ROWS]):
            return []
        known = held["is_known"].astype(bool)
        found = []
        for section in np.unique(held["section"]):
            own = held["section"] == section
            both = own & known
            name = self.sections[int(section)]
            found.append((name, held["cosine"][both], held["score"][both], int((own & ~known).sum())))
        return found

    def accuracy_by_section(self) -> list[tuple[str, int, float, float, int]]:
        """Of each section its name, how many analogies are known, both accuracies, and how many are unknown."""
        held = self._analogies.read()
        if not len(held[ROWS]):
            return []
        known = held["is_known"].astype(bool)
        found = []
        for section in np.unique(held["section"]):
            own = held["section"] == section
            both = own & known
            figures = [float(held[kind][both].mean()) if both.any() else 0.0 for kind in ("added", "multiplied")]
            found.append((self.sections[int(section)], int(both.sum()), *figures, int((own & ~known).sum())))
        return found

    def worst_texts(self, number: int) -> list[int]:
        """The rows of the texts with the largest mean loss, at most `number`, the worst first."""
        texts = self._texts.read()
        if not len(texts[ROWS]):
            return []
        counted = texts["count"] > 0
        worst = np.argsort(-texts["loss"][counted] / texts["count"][counted], kind="stable")[:number]
        return [int(row) for row in texts[ROWS][counted][worst]]

    def _similarity(self) -> dict[str, float]:
        sections = self.pairs_by_section()
        found = {}
        for name, cosines, scores, _ in sections:
            value = spearman(cosines, scores) if len(cosines) >= FEWEST_PAIRS else float("nan")
            if np.isfinite(value):
                found["spearman" if len(sections) == 1 else f"spearman_{name}"] = value
        if sections:
            unknown = sum(count for *_, count in sections)
            found["pairs_unknown"] = unknown / (unknown + sum(len(cosines) for _, cosines, *_ in sections))
        return found

    def _parts(self) -> dict[str, RowEntries]:
        return {"texts": self._texts, "pairs": self._pairs, "analogies": self._analogies}
