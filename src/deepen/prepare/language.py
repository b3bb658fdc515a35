"""The tokens of a language model: what stands before a text, what ends a line, and texts as one stream of ids."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepen.metrics.perplexity import Signature
from deepen.prepare.corpus import EOS, Numbered, Stream, stream_of
from deepen.prepare.text import Tokenizer


class Words:
    """The tokens of a state: what stands before a text, what ends a line, and texts as streams.

    start  the id that stands before a text: the end of a line, else the first id
    end    the id that ends a line, None if none does
    """

    def __init__(self, state: dict[str, Any]) -> None:
        self.tokenizer = Tokenizer(state["text"])
        self.has_ends: bool = state["has_ends"]
        self.end = self._end()
        self.start = self.end if self.end is not None else 0

    def stream(self, ids: Numbered, *, singly: bool = False) -> Stream:
        """All parts as one stream; `singly`: each with an end, so that every one begins anew."""
        end = self.start if singly or self.has_ends else None
        return stream_of(ids, start=self.start, end=end)

    def signature(self, stream: np.ndarray) -> Signature:
        """What is counted over a stream."""
        predicted = stream[1:]
        lines = int((predicted == self.end).sum()) if self.end is not None else 0
        unknown = int((predicted == self.tokenizer.unknown).sum())
        level, vocabulary = self.tokenizer.level, len(self.tokenizer)
        return Signature(level, len(predicted), lines, unknown, vocabulary, self.has_ends)

    def read(self, prompt: str) -> tuple[list[int], list[int]]:
        """The ids of a prompt, and those of its last line."""
        if not self.has_ends:
            ids = self.tokenizer.ids(prompt)
            return ids, ids
        *lines, last = [self.tokenizer.ids(line) for line in prompt.split("\n")]
        assert self.end is not None
        return [*(index for line in lines for index in (*line, self.end)), *last], last

    def _end(self) -> int | None:
        tokenizer = self.tokenizer
        if self.has_ends:
            return tokenizer.specials.index(EOS)
        if tokenizer.level == "byte":
            return len(tokenizer.specials) + ord("\n")
        found = tokenizer.id_of("\n")
        return None if found == tokenizer.unknown else found
