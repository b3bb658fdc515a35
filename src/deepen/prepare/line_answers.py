"""What is said of a line: how probable it is, and which of its tokens were expected least."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deepen.metrics.surprise import least_expected, shortened
from deepen.prepare.language import Words

if TYPE_CHECKING:
    from torch import Tensor

    from deepen.prepare.encoded import Batch

LEAST_PROBABLE = 3  # tokens named in an answer
MOST_NATS = 700.0  # above which exp is no number


@dataclass(frozen=True)
class LineAnswer:
    """How probable a line is.

    text            its beginning
    tokens          that were predicted, the end of the line among them where lines have one
    log10_probability  of the whole line
    perplexity      of its tokens; None where there is none
    least_probable  up to three tokens with their probabilities, the least probable first
    """

    source: str
    text: str
    tokens: int
    log10_probability: float
    perplexity: float | None
    least_probable: tuple[tuple[str, float], ...]


def line_answers(words: Words, log_p: Tensor, batch: Batch, sources: Sequence[str]) -> Iterator[LineAnswer]:
    """One for each row of a batch.

    log_p  [B, S] ln p of each scored token, from the row's first on
    """
    from deepen.prepare.corpus_batches import scored_targets

    targets = scored_targets(batch, log_p.shape[1]).cpu().numpy()
    lengths = (batch["length"] - batch["first"]).cpu().numpy()
    return answers_of(words, log_p.cpu().numpy(), targets, lengths, sources)


def answers_of(
    words: Words, log_p: np.ndarray, targets: np.ndarray, lengths: np.ndarray, sources: Sequence[str]
) -> Iterator[LineAnswer]:
    """The same without torch.

    targets  [B, S], the ids of those tokens
    lengths  [B], how many each line has
    """
    for logs, ids, length, source in zip(log_p.astype(np.float64), targets, lengths.tolist(), sources, strict=True):
        yield _answer(words, logs[:length], ids[:length], source)


def _answer(words: Words, logs: np.ndarray, ids: np.ndarray, source: str) -> LineAnswer:
    total = float(logs.sum())
    own = ids[:-1] if words.has_ends else ids
    least = tuple(
        (words.tokenizer.vocabulary[int(ids[at])], float(f"{math.exp(logs[at]):.3g}"))
        for at in least_expected(-logs, LEAST_PROBABLE)
    )
    perplexity = math.exp(min(-total / len(logs), MOST_NATS)) if len(logs) else None
    said = shortened(words.tokenizer.text(own.tolist()))
    return LineAnswer(source, said, len(logs), total / math.log(10), perplexity, least)
