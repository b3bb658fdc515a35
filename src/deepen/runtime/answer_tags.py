"""A tag for each token from scores [B, T, K]: alone, or with what tags follow one another in a chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from deepen.core.faults import Fault
from deepen.metrics.tagging import Tagging
from deepen.prepare import tag_learn, tags
from deepen.prepare.tag_answers import TaggedText, conll_text, tagged_text
from deepen.runtime import tag_chain
from deepen.runtime.tag_chain import Scores

LEAST = 1e-30  # a probability that stands for none, so that its logarithm is finite
FORMATS = {".conll": conll_text}  # of files of answers: by their ending, answers -> text


class Answers:
    """Tags by their names.

    state  `tags` in the order of the scores; `scheme` of the data, `learned_as` and `types` as prepare/tag_learn has
           them; `baseline`, for each id of the vocabulary the commonest tag of its word, and `unknown`, the id of the
           unknown word; `splitter` of plain text; `chain`, null or `transitions`, `start` and `end` of the chain that
           stands behind the scores
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.state = {name: state[name] for name in ("tags", "scheme", "learned_as", "types", "splitter")}
        self.tags = [str(name) for name in state["tags"]]
        self.tag_set = tag_learn.tag_set(self.state)
        self.baseline, self.unknown = np.asarray(state["baseline"], np.int64), int(state["unknown"])
        allowed = tags.allowed(self.tags, state["learned_as"])
        self.allowing = tag_chain.no_scores(len(self.tags)).within(allowed)
        self.chain: Scores | None = None
        if (chain := state["chain"]) is not None:
            scores = (np.asarray(chain[name], np.float64) for name in ("transitions", "start", "end"))
            self.chain = Scores(*scores).within(allowed)

    def targets(self, table: pa.Table, split: str, faults: list[Fault]) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of each sentence's tags, [n] arrays of int64, and the rows of the table that have them."""
        sentences = tag_learn.sentences_of(table, split, faults)
        found = np.empty(len(sentences), object)
        for place, numbers in enumerate(tag_learn.numbers_of(sentences, self.state, split, faults)):
            found[place] = np.asarray(numbers, np.int64)
        return found, np.array([each.row for each in sentences], np.int64)

    def metrics(self) -> Tagging:
        """Exact entities and tokens."""
        return Tagging(self.tag_set)

    def score(
        self,
        metrics: Tagging,
        outputs: np.ndarray,
        targets: np.ndarray,
        arrays: Mapping[str, np.ndarray],
        rows: np.ndarray,
    ) -> None:
        """Adds scores; a sentence with a tag that was never learned has no loss."""
        mask, ids = arrays["mask"], arrays["ids"]
        truth = np.zeros(mask.shape, np.int64)
        truth[mask] = np.concatenate([np.zeros(0, np.int64), *targets])
        logs = self.log_probabilities(outputs, mask)
        known = truth < len(self.tags)
        nats = -np.take_along_axis(logs, np.where(known, truth, 0)[..., None], 2)[..., 0]
        nats = np.where(mask, nats, 0).sum(1)
        nats[(~known & mask).any(1)] = np.nan
        metrics.add_arrays(self.decoded(logs, mask), truth, self.baseline[ids], ids == self.unknown, mask, nats, rows)

    def answers(self, outputs: np.ndarray, arrays: Mapping[str, np.ndarray], table: pa.Table) -> list[TaggedText]:
        """The tags of each sentence, and each tag's probability given the whole sentence."""
        mask = arrays["mask"]
        logs = self.log_probabilities(outputs, mask)
        chosen = self.decoded(logs, mask)
        shares = np.exp(np.take_along_axis(logs, chosen[..., None], 2)[..., 0]).astype(np.float32)
        words = tag_learn.tokens_of(table, self.state)
        sources = table.column("source").to_pylist()
        found = []
        for source, tokens, row, share in zip(sources, words, chosen.tolist(), shares.tolist(), strict=True):
            own = [self.tags[k] for k in row[: len(tokens)]]
            found.append(tagged_text(source, tokens, own, share[: len(tokens)], self.state["scheme"]))
        return found

    def log_probabilities(self, outputs: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Of each tag at each token given the whole sentence, [B, T, K] float64."""
        if self.chain is not None:
            return np.log(tag_chain.marginals(outputs, mask, self.chain).clip(LEAST, 1))
        wide = outputs.astype(np.float64)
        wide = wide - wide.max(2, keepdims=True)
        return wide - np.log(np.exp(wide).sum(2, keepdims=True))

    def decoded(self, logs: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """[B, T] int64: the most probable tags, where they mean entities among those that the scheme allows."""
        if not self.tag_set.has_entities:
            return logs.argmax(2)
        return tag_chain.best_path(logs, mask, self.allowing)

    def apart(self, outputs: np.ndarray, others: np.ndarray, arrays: Mapping[str, np.ndarray]) -> float:
        """The largest difference of a probability."""
        places = min(outputs.shape[1], others.shape[1])  # a graph may want more places than the longest sentence has
        mask = arrays["mask"][:, :places]
        first, second = (np.exp(self.log_probabilities(each[:, :places], mask)) for each in (outputs, others))
        return float(np.abs(first - second)[mask].max(initial=0))
