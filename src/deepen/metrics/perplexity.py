"""Perplexity, with one definition and what it was counted over.

    cross-entropy = -(1 / N) sum over the N predicted tokens of ln p(token | what came before)        [nats a token]
    perplexity = exp(cross-entropy)

N counts every token that is predicted, the ends of lines among them where lines end with one, and unknown tokens as
the unknown one. Perplexities compare only where their signatures agree: another vocabulary makes another figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deepen.core import rng
from deepen.metrics.resample import Interval, percentiles
from deepen.metrics.rows import ROWS, PerRow, RowEntries

if TYPE_CHECKING:
    from torch import Tensor

DRAWS = 1000
FEWEST_STRETCHES = 10
MOST_TOKENS = 2_000_000  # whose own log-probabilities are kept for the report
OVERFLOW = 700.0  # nats, above which exp is no number
UNITS = {"character": "bits_per_character", "byte": "bits_per_byte"}


@dataclass(frozen=True)
class Signature:
    """What a perplexity was counted over.

    level     what a token is: word, character, byte or subword
    tokens    predicted ones
    lines     of the text, 0 where no token says where one ends
    unknown   tokens that stand for others, which the vocabulary does not have
    has_ends  whether the end of a line is a token
    """

    level: str
    tokens: int
    lines: int
    unknown: int
    vocabulary: int
    has_ends: bool

    def sentence(self) -> str:
        """One line, such as `word level, 245,569 tokens, ...`."""
        ends = "<eos> counted at the end of each line" if self.has_ends else "line breaks counted as they stand"
        if not self.lines:
            ends = "no line breaks counted"
        lines = f" in {self.lines:,} lines" if self.lines else ""
        share = 100 * self.unknown / max(1, self.tokens)
        return (
            f"{self.level} level, {self.tokens:,} tokens{lines}, {ends}, vocabulary of "
            f"{self.vocabulary:,}, unknown ones are <unk> ({self.unknown:,}, {share:.2g} %)"
        )

    def rows(self) -> list[list[str | float | int]]:
        """The same as lines of a table: what, and how many."""
        rows: list[list[str | float | int]] = [
            [f"tokens ({self.level} level)", self.tokens],
            ["of them unknown, counted as <unk>", self.unknown],
            ["different tokens in the vocabulary", self.vocabulary],
        ]
        if not self.lines:
            return [*rows, ["line breaks", "none counted"]]
        return [*rows, ["lines, <eos> counted at the end of each" if self.has_ends else "line breaks", self.lines]]


class Perplexity:
    """Sums over the stretches of a text that were scored one by one; the same text gives the same figures in any order.

    level    what a token is
    stretch  the most tokens that are scored of one row
    model    the network that was scored last, for what a report draws with it
    """

    def __init__(self, level: str, stretch: int) -> None:
        self.model: Any = None
        self.level, self.stretch = level, stretch
        self._sums = RowEntries("nats", "tokens", "unknown")
        self._tokens: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, nats: Tensor, unknown: Tensor, rows: np.ndarray) -> None:
        """Adds a batch. Waits for no device.

        nats     [B, S] -ln p of each scored token, in order from the first place on; NaN behind the last
        unknown  [B, S] bool: the token is the unknown one
        rows     [B] int64
        """
        scored = ~nats.isnan()
        sums = {
            "nats": nats.double().nan_to_num(nan=0.0, posinf=math.inf).sum(1),
            "tokens": scored.sum(1),
            "unknown": (unknown & scored).sum(1),
        }
        self._sums.add(rows, sums)
        if (places := self._kept(rows)).size:
            self._keep(np.asarray(rows)[places], nats[places.tolist()].float().cpu().numpy())

    def add_arrays(self, nats: np.ndarray, unknown: np.ndarray, rows: np.ndarray) -> None:
        """The same as `add` for arrays, without torch."""
        scored = ~np.isnan(nats)
        sums = {
            "nats": np.where(scored, nats.astype(np.float64), 0.0).sum(1),
            "tokens": scored.sum(1),
            "unknown": (unknown & scored).sum(1),
        }
        self._sums.add(rows, sums)
        if (places := self._kept(rows)).size:
            self._keep(np.asarray(rows)[places], nats[places])

    def state(self) -> dict[str, Tensor]:
        """What was added, as tensors on the CPU."""
        rows, nats = self.by_token()
        if len(rows) == 0:
            return self._sums.state()
        import torch

        return {**self._sums.state(), "token_rows": torch.from_numpy(rows), "token_nats": torch.from_numpy(nats)}

    def merge(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Replaces what is held by the union of all ranks' states, each row once."""
        self._sums.merge(states)
        filled = [state for state in states if "token_rows" in state]
        self._tokens = [(state["token_rows"].cpu().numpy(), state["token_nats"].cpu().numpy()) for state in filled]

    def result(self) -> dict[str, float]:
        """perplexity, cross_entropy (nats a token), unknown_rate, and bits by character or byte at such a level."""
        held = self._sums.read()
        count = int(held["tokens"].sum()) if len(held[ROWS]) else 0
        if count == 0:
            return {}
        entropy = float(held["nats"].sum()) / count
        found = {"perplexity": _exp(entropy), "cross_entropy": entropy}
        if self.level in UNITS:
            found[UNITS[self.level]] = entropy / math.log(2)
        return found | {"unknown_rate": float(held["unknown"].sum()) / count}

    def intervals(self, *, seed: int = 0) -> dict[str, Interval]:
        """95 % intervals by drawing whole stretches anew, since neighbouring tokens are alike; none for a few."""
        held = self._sums.read()
        number = len(held[ROWS])
        if number < FEWEST_STRETCHES:
            return {}
        draws = rng.generator(seed, "bootstrap").integers(number, size=(DRAWS, number))
        entropies = held["nats"][draws].sum(1) / np.maximum(held["tokens"][draws].sum(1), 1)
        low, high = percentiles(entropies)
        found = {"perplexity": (_exp(low), _exp(high)), "cross_entropy": (low, high)}
        if self.level in UNITS:
            found[UNITS[self.level]] = (low / math.log(2), high / math.log(2))
        return found

    def per_row(self) -> dict[str, PerRow]:
        """The cross-entropy as a mean over stretches: each one's sum, times stretches over tokens."""
        held = self._sums.read()
        values = held["nats"] * (len(held[ROWS]) / max(1, int(held["tokens"].sum())))
        return {"cross_entropy": PerRow(values, "min")}

    def counts(self) -> tuple[int, int]:
        """Predicted tokens, and those of them that are unknown."""
        held = self._sums.read()
        if len(held[ROWS]) == 0:
            return 0, 0
        return int(held["tokens"].sum()), int(held["unknown"].sum())

    def by_token(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows [n] int64, ascending, and -ln p of their tokens [n, S] float32, NaN behind the last.

        Of a long text only the first 2,000,000 tokens.
        """
        if not self._tokens:
            return np.zeros(0, np.int64), np.zeros((0, self.stretch), np.float32)
        rows = np.concatenate([part[0] for part in self._tokens])
        unique, first = np.unique(rows, return_index=True)
        return unique, np.concatenate([part[1] for part in self._tokens])[first]

    def _kept(self, rows: np.ndarray) -> np.ndarray:
        """The places of a batch whose tokens are kept one by one."""
        return np.flatnonzero(np.asarray(rows) < MOST_TOKENS // self.stretch)

    def _keep(self, rows: np.ndarray, nats: np.ndarray) -> None:
        padded = np.full((len(nats), self.stretch), math.nan, np.float32)
        padded[:, : nats.shape[1]] = nats
        self._tokens.append((rows, padded))


def _exp(nats: float) -> float:
    return math.exp(nats) if nats < OVERFLOW else math.inf
