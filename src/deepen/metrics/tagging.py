"""Figures of merit of tagged sentences: exact entities as the shared tasks count them, and tokens.

An entity is right if an entity of the same sentence has the same first token, last token and type. Over all sentences

    precision = right / answered,    recall = right / true,    F1 = 2 right / (answered + true)

These are the overall figures of the script conlleval (Tjong Kim Sang and Buchholz 2000): entities are found by its
rules, which give every sequence of tags a meaning (prepare/tags.py). seqeval's default mode has the same rules; its
strict mode leaves out entities that their scheme does not allow, such as one that begins with I- in BIO.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deepen.core import rng
from deepen.metrics.resample import DRAWS, MOST_NUMBERS, Interval, binomial_interval, percentiles
from deepen.metrics.rows import ROWS, PerRow

if TYPE_CHECKING:
    from torch import Tensor

NONE = "outside"

Boundaries = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class TagSet:
    """The tags that answers are made of, and what they mean.

    names       [K] as they are shown
    codes       [K] int64: 0 for outside, then 1 to 4 for the prefixes B, I, E, S; None where tags mean no entities
    types       [K] int64: the number of each tag's type, -1 outside
    type_names  by that number
    boundaries  where entities begin and end (codes, types, first of a sentence) -> starts, ends

    A true tag that was never learned has a number of K or more, and then a code and a type of its own: the arrays may
    be longer than the names of the answers.
    """

    names: tuple[str, ...]
    codes: np.ndarray | None = None
    types: np.ndarray | None = None
    type_names: tuple[str, ...] = ()
    boundaries: Boundaries | None = None

    @property
    def has_entities(self) -> bool:
        """Whether tags mean entities."""
        return self.codes is not None


@dataclass(frozen=True)
class Counts:
    """Of each sentence or type how many entities were right, answered and true; [n] int64 each."""

    right: np.ndarray
    answered: np.ndarray
    true: np.ndarray

    def f1(self) -> float:
        """Over all of them; 0 where nothing is true and nothing answered."""
        return _f1(self.right.sum(), self.answered.sum(), self.true.sum())


@dataclass(frozen=True)
class WrongSentence:
    """A sentence with a wrong tag; truth and answer are numbers of tags."""

    row: int
    truth: np.ndarray
    answer: np.ndarray
    loss: float  # nats a token


class Tagging:
    """The tags of every token, true and answered, from which each figure follows exactly.

    The same sentences give the same bits in whatever order, batches or ranks they come.

    model  the network that was scored last, for what a report draws with it
    """

    def __init__(self, tags: TagSet) -> None:
        self.model: Any = None
        self.tags = tags
        self._parts: list[tuple[np.ndarray, dict[str, Tensor | np.ndarray]]] = []
        self._merged: list[dict[str, np.ndarray]] = []
        self._held: dict[str, np.ndarray] | None = None

    def add(
        self,
        answers: Tensor,
        targets: Tensor,
        baseline: Tensor,
        unknown: Tensor,
        mask: Tensor,
        nats: Tensor,
        rows: np.ndarray,
    ) -> None:
        """Adds a batch. Waits for no device.

        answers   [B, T] int64, the tags of the network
        targets   [B, T] int64, the true ones
        baseline  [B, T] int64, each word's commonest tag in training
        unknown   [B, T] bool: the word was not in training
        mask      [B, T] bool, true up to the end of each sentence
        nats      [B] -ln of the probability of the true tags, NaN where one of them was never learned
        rows      [B] int64
        """
        self._held = None
        kept = {"answers": answers, "targets": targets, "baseline": baseline, "unknown": unknown, "mask": mask}
        parts = {name: each.detach().int() for name, each in kept.items()}
        self._parts.append((np.asarray(rows, np.int64), {**parts, "nats": nats.detach().double()}))

    def add_arrays(
        self,
        answers: np.ndarray,
        targets: np.ndarray,
        baseline: np.ndarray,
        unknown: np.ndarray,
        mask: np.ndarray,
        nats: np.ndarray,
        rows: np.ndarray,
    ) -> None:
        """The same as `add` for arrays, without torch."""
        self._held = None
        kept = {"answers": answers, "targets": targets, "baseline": baseline, "unknown": unknown, "mask": mask}
        parts = {name: each.astype(np.int32) for name, each in kept.items()}
        self._parts.append((np.asarray(rows, np.int64), {**parts, "nats": nats.astype(np.float64)}))

    def state(self) -> dict[str, Tensor]:
        """What was added: `rows`, `lengths` and `nats` [n], and of each token [total], on the CPU."""
        import torch

        held = self._read()
        return {name: torch.from_numpy(array) for name, array in held.items()} if len(held[ROWS]) else {}

    def merge(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Replaces what is held by the union of all ranks' states, each row once."""
        self._parts, self._held = [], None
        self._merged = [{name: each.cpu().numpy() for name, each in state.items()} for state in states if state]

    def result(self) -> dict[str, float]:
        """The figures by name, empty when no token was added.

        Of entities f1, precision, recall (micro) and macro_f1 (over types that occur as truth or answer). Of all
        accuracy (tokens), sentence_accuracy (all tags of a sentence are right), cross_entropy (nats a token), and what
        the commonest tag of each word would have had (baseline_f1, baseline_accuracy). Where words were unknown,
        unknown_accuracy is that of their tokens.
        """
        held = self._read()
        if len(held["targets"]) == 0:
            return {}
        found: dict[str, float] = {}
        if self.tags.has_entities:
            found |= self._entity_figures()
        right = held["answers"] == held["targets"]
        found["accuracy"] = float(right.mean())
        found["sentence_accuracy"] = float(self._whole().mean())
        if (unknown := held["unknown"].astype(bool)).any():
            found["unknown_accuracy"] = float(right[unknown].mean())
        known = ~np.isnan(held["nats"])
        if tokens := int(held["lengths"][known].sum()):
            found["cross_entropy"] = float(held["nats"][known].sum() / tokens)
        if self.tags.has_entities:
            found["baseline_f1"] = self.entities("baseline").f1()
        return found | {"baseline_accuracy": float((held["baseline"] == held["targets"]).mean())}

    def intervals(self, *, seed: int = 0) -> dict[str, Interval]:
        """95 % intervals by drawing whole sentences anew, since the tokens of one are alike; exact for whole ones."""
        held = self._read()
        if len(held["targets"]) == 0:
            return {}
        whole = self._whole()
        right, lengths = self._right(), held["lengths"]
        count = len(lengths)
        generator = rng.generator(seed, "bootstrap")
        draws = [
            generator.integers(count, size=count) for _ in range(max(100, min(DRAWS, MOST_NUMBERS // (10 * count))))
        ]
        found = {
            "sentence_accuracy": binomial_interval(int(whole.sum()), len(whole)),
            "accuracy": percentiles(np.array([right[draw].sum() / max(1, lengths[draw].sum()) for draw in draws])),
        }
        if self.tags.has_entities:
            by = self.entities()
            f1 = [_f1(by.right[draw].sum(), by.answered[draw].sum(), by.true[draw].sum()) for draw in draws]
            found["f1"] = percentiles(np.array(f1))
        return found

    def per_row(self) -> dict[str, PerRow]:
        """Those figures that are a mean over sentences: whole ones, and tokens by each sentence's share of them."""
        held = self._read()
        if len(held["targets"]) == 0:
            return {}
        share = len(held["lengths"]) / held["lengths"].sum()
        return {
            "sentence_accuracy": PerRow(self._whole().astype(np.float64), "max", is_share=True),
            "accuracy": PerRow(self._right() * share, "max"),
        }

    def entities(self, which: str = "answers") -> Counts:
        """Entities by sentence, of the answers or of the baseline."""
        return self._counted(which)[0]

    def by_type(self) -> dict[str, Counts]:
        """Entities of each type that occurs as truth or answer, as counts of one."""
        counts = self._counted("answers")[1]
        return {
            name: Counts(*(np.array([column[k]]) for column in (counts.right, counts.answered, counts.true)))
            for k, name in enumerate(self.tags.type_names)
            if counts.answered[k] + counts.true[k]
        }

    def confusion(self) -> tuple[np.ndarray, list[str]]:
        """[N, N] tokens by true and answered tag (by type where tags mean entities), and the names of the N."""
        held = self._read()
        truth, answers = held["targets"], held["answers"]
        names = list(self.tags.names)
        if self.tags.has_entities:
            assert self.tags.types is not None
            names = [NONE, *(name or "entity" for name in self.tags.type_names)]
            truth, answers = self.tags.types[truth] + 1, self.tags.types[answers] + 1
            if len(names) > 2 and truth.max(initial=0) < len(names) - 1:  # all types of these data were learned
                names = names[:-1]
        elif len(truth) and truth.max() >= len(names):
            names.append("never learned")
        table = np.bincount(truth * len(names) + answers, minlength=len(names) ** 2)
        return table.reshape(len(names), len(names)), names

    def by_novelty(self) -> list[tuple[str, int, float, float]]:
        """Of known and of unknown words: how many tokens, their accuracy, and that of the baseline."""
        held = self._read()
        unknown = held["unknown"].astype(bool)
        found = []
        for name, chosen in (("known", ~unknown), ("unknown", unknown)):
            if chosen.any():
                truth = held["targets"][chosen]
                shares = [float((held[which][chosen] == truth).mean()) for which in ("answers", "baseline")]
                found.append((name, int(chosen.sum()), *shares))
        return found

    def worst(self, number: int) -> list[WrongSentence]:
        """The sentences with a wrong tag and the largest loss a token, at most `number`, the worst first."""
        held = self._read()
        if len(held["targets"]) == 0:
            return []
        wrong = np.flatnonzero(~self._whole())
        loss = held["nats"] / np.maximum(held["lengths"], 1)
        order = wrong[np.argsort(-np.nan_to_num(loss[wrong], nan=np.inf), kind="stable")][:number]
        ends = np.cumsum(held["lengths"])
        return [
            WrongSentence(
                int(held[ROWS][index]),
                held["targets"][ends[index] - held["lengths"][index] : ends[index]],
                held["answers"][ends[index] - held["lengths"][index] : ends[index]],
                float(loss[index]),
            )
            for index in order
        ]

    def _entity_figures(self) -> dict[str, float]:
        counts = self.entities()
        right, answered, true = (int(each.sum()) for each in (counts.right, counts.answered, counts.true))
        by_type = [each.f1() for each in self.by_type().values()]
        return {
            "f1": counts.f1(),
            "precision": right / max(1, answered),
            "recall": right / max(1, true),
            "macro_f1": float(np.mean(by_type)) if by_type else 0.0,
        }

    def _counted(self, which: str) -> tuple[Counts, Counts]:
        """Counts by sentence, and by type."""
        held, tags = self._read(), self.tags
        assert tags.codes is not None and tags.types is not None and tags.boundaries is not None
        lengths = held["lengths"]
        sentence = np.repeat(np.arange(len(lengths)), lengths)
        first = np.zeros(len(sentence), bool)
        first[(np.cumsum(lengths) - lengths)[lengths > 0]] = True
        keys, starts_of = [], []
        for name in (which, "targets"):
            codes, types = tags.codes[held[name]], tags.types[held[name]]
            starts, ends = tags.boundaries(codes, types, first)
            keys.append((starts * (len(first) + 1) + ends) * (len(tags.type_names) + 1) + types[starts])
            starts_of.append((starts, types[starts]))
        is_right = np.isin(keys[0], keys[1])
        (answered, answered_types), (true, true_types) = starts_of
        by_sentence = [sentence[answered[is_right]], sentence[answered], sentence[true]]
        by_type = [answered_types[is_right], answered_types, true_types]
        return (
            Counts(*(np.bincount(each, minlength=len(lengths)) for each in by_sentence)),
            Counts(*(np.bincount(each, minlength=len(tags.type_names)) for each in by_type)),
        )

    def _right(self) -> np.ndarray:
        """[n] int64: how many tags of each sentence are right."""
        held = self._read()
        totals = np.concatenate([[0], np.cumsum(held["answers"] == held["targets"])])
        ends = np.cumsum(held["lengths"])
        return totals[ends] - totals[ends - held["lengths"]]

    def _whole(self) -> np.ndarray:
        """[n] bool: all tags of the sentence are right; so it is with a sentence without tokens."""
        return self._right() == self._read()["lengths"]

    def _read(self) -> dict[str, np.ndarray]:
        """`rows`, `lengths` and `nats` [n] in the order of the rows, and each token's entries [total]."""
        if self._held is None:
            self._held = _union([*self._merged, *(_flat(rows, parts) for rows, parts in self._parts)])
        return self._held


TOKENS = ("answers", "targets", "baseline", "unknown")


def _flat(rows: np.ndarray, parts: Mapping[str, Tensor | np.ndarray]) -> dict[str, np.ndarray]:
    """A batch without its padding."""
    held = {name: each if isinstance(each, np.ndarray) else each.cpu().numpy() for name, each in parts.items()}
    mask = held["mask"].astype(bool)
    flat = {name: held[name][mask].astype(np.int64) for name in TOKENS}
    return {ROWS: rows, "lengths": mask.sum(1), "nats": held["nats"], **flat}


def _union(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """All sentences of the parts in the order of their rows, each row once."""
    empty = {ROWS: np.zeros(0, np.int64), "lengths": np.zeros(0, np.int64), "nats": np.zeros(0)}
    empty |= {name: np.zeros(0, np.int64) for name in TOKENS}
    joined = {name: np.concatenate([empty[name], *(part[name] for part in parts)]) for name in empty}
    rows, first = np.unique(joined[ROWS], return_index=True)
    lengths = joined["lengths"][first]
    starts = (np.cumsum(joined["lengths"]) - joined["lengths"])[first]
    places = np.arange(lengths.sum()) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    tokens = {name: joined[name][places] for name in TOKENS}
    return {ROWS: rows, "lengths": lengths, "nats": joined["nats"][first], **tokens}


def _f1(right: float, answered: float, true: float) -> float:
    return float(2 * right / max(1, answered + true))
