"""Sentences of tokens side by side: ids [B, T] int64, which are there [B, T] bool, and characters [B, T, C] int64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from deepen.core.faults import Fault
from deepen.prepare import text, text_limits, word_characters
from deepen.prepare.tag_learn import sentences_of, tokens_of
from deepen.runtime.prepare_text import padded


@dataclass(frozen=True)
class Sentences:
    """Sentences of unequal length, made equal batch by batch.

    ids         of all tokens one behind the other
    characters  [total, C], of the same
    starts      [N + 1], where each sentence starts
    least       places that a graph wants at least
    """

    ids: np.ndarray
    characters: np.ndarray
    starts: np.ndarray
    kept: np.ndarray
    rows_at_once: int
    pad: int
    least: int = 1

    def arrays(self, places: np.ndarray) -> dict[str, np.ndarray]:
        """The sentences of these rows, as long as the longest."""
        ids, mask = padded(self.ids, self.starts, places, self.pad, self.least)
        characters, _ = padded(self.characters, self.starts, places, word_characters.PAD, self.least)
        return {"ids": ids, "mask": mask, "characters": characters}


def prepared(table: pa.Table, state: Mapping[str, Any], split: str, faults: list[Fault]) -> Sentences:
    """The sentences of a table; where they are to be scored, those that have a tag for each token.

    state  `text` and `characters`, what was learned of words and of their letters; `longest` of the training
           sentences, `num_characters` of a word that are seen, and `pad`
    """
    kept = np.arange(table.num_rows)
    if split != "predict":
        kept = np.array([each.row for each in sentences_of(table, split, [])], np.int64)
        table = table.take(pa.array(kept))
    words = tokens_of(table, state["text"])
    ids, starts = text.ids_of_tokens(words, state["text"], split, faults)
    characters, _ = word_characters.numbers_of(words, state["characters"], int(state["num_characters"]))
    least, _ = state["sizes"].get("ids_length", (1, None))
    rows = text_limits.rows_at_once(int(state["longest"]))
    return Sentences(ids, characters, starts, kept, rows, int(state["pad"]), least)
