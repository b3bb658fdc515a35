"""How probable a text is, from ln p of each of its tokens [B, S]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from deepen.core.faults import Fault
from deepen.metrics.perplexity import Perplexity
from deepen.prepare.language import Words
from deepen.prepare.line_answers import LineAnswer, answers_of
from deepen.runtime.prepare_stream import scored_places


class Answers:
    """Perplexity of stretches, and probabilities of lines.

    state  `text` and `has_ends`, what was learned of the tokens; `stretch`, the most tokens that a row scores
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.words, self.stretch = Words(dict(state)), int(state["stretch"])

    def targets(self, table: pa.Table, split: str, faults: list[Fault]) -> tuple[np.ndarray, np.ndarray]:
        """The text itself is what is to be predicted: nothing more for any row, and all rows."""
        rows = np.arange(table.num_rows)
        return np.zeros(len(rows)), rows

    def metrics(self) -> Perplexity:
        """Perplexity and its company."""
        return Perplexity(self.words.tokenizer.level, self.stretch)

    def score(
        self,
        metrics: Perplexity,
        outputs: np.ndarray,
        targets: np.ndarray,
        arrays: Mapping[str, np.ndarray],
        rows: np.ndarray,
    ) -> None:
        """Adds ln p."""
        metrics.add_arrays(-outputs, _tokens(arrays) == self.words.tokenizer.unknown, rows)

    def answers(self, outputs: np.ndarray, arrays: Mapping[str, np.ndarray], table: pa.Table) -> list[LineAnswer]:
        """How probable each line is."""
        lengths = arrays["length"] - arrays["first"]
        return list(answers_of(self.words, outputs, _tokens(arrays), lengths, table.column("source").to_pylist()))

    def apart(self, outputs: np.ndarray, others: np.ndarray, arrays: Mapping[str, np.ndarray]) -> float:
        """The largest difference of a probability; of a single call's outputs, too, of a number of the state.

        The state stands behind the probabilities of the L places. NaN, a place that is not scored, must be so in both.
        """
        places = arrays["ids"].shape[1]
        pairs = [(np.exp(outputs[:, :places]), np.exp(others[:, :places])), (outputs[:, places:], others[:, places:])]
        if any(not np.array_equal(np.isnan(a), np.isnan(b)) for a, b in pairs):
            return float("nan")
        return max(float(np.nan_to_num(np.abs(a - b), nan=0.0).max(initial=0)) for a, b in pairs)


def _tokens(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """The scored targets [B, S], -1 behind a row's last."""
    places, inside = scored_places(arrays["first"], arrays["length"])
    found = np.take_along_axis(arrays["targets"], np.minimum(places, arrays["targets"].shape[1] - 1), 1)
    return np.where(inside, found, -1)
