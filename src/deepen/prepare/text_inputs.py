"""Encoded texts to padded batches, by rules that tasks on texts share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from deepen.core import rng
from deepen.core.faults import Fault
from deepen.prepare import text_limits
from deepen.prepare.encoded import Draws
from deepen.prepare.ragged import Ragged
from deepen.prepare.text_rules import is_han

rows_at_once = text_limits.rows_at_once
FEWEST_OF_CLASS = 5
LARGEST_ELSEWHERE = 0.1


def texts_of(table: pa.Table, column: str) -> list[str]:
    """The texts of a column; a missing one is an empty one."""
    return [each or "" for each in table.column(column).to_pylist()]


def padded(ids: Ragged, rows: np.ndarray, pad: int) -> tuple[Tensor, Tensor]:
    """The ids of these rows, [B, T] int64 with `pad` behind each end, and which are there, [B, T] bool."""
    found, lengths = ids.padded(rows, pad)
    return found, torch.arange(found.shape[1], device=found.device) < lengths[:, None]


def with_dropped_words(
    ids: Tensor, mask: Tensor, rows: np.ndarray, draws: Draws | None, *, share: float, unknown: int, use: str
) -> Tensor:
    """The ids with each made unknown with probability `share`, by draws of its row and place alone.

    draws  None where nothing is drawn: the ids as they are
    use    what the draws are for: two texts of one row must not lose the same places

    Source: Iyyer et al. 2015, Deep Unordered Composition Rivals Syntactic Methods, section 3.1 (there words are left
    out; here they stay as unknown ones, so that the network learns what an unknown word is).
    """
    if draws is None or not share:
        return ids
    uniform = torch.from_numpy(rng.uniform(draws.seed, draws.epoch, rows, ids.shape[1], use))
    return torch.where((uniform.to(ids.device) < share) & mask, unknown, ids)


def joiner_of(state: Mapping[str, Any]) -> str:
    """What stands between tokens when they are shown: a blank between words, nothing between parts of words."""
    return " " if state["level"] == "word" and state.get("splitter") != "jieba" else ""


def say_longer(ids: Ragged, longest: int, split: str, faults: list[Fault]) -> None:
    """Adds a note if texts are longer than all that were trained on: learned positions end there."""
    text_limits.say_longer(ids.lengths.cpu().numpy(), longest, split, faults)


def warn_of_named_classes(texts: Sequence[str], labels: Sequence[str | None], faults: list[Fault]) -> None:
    """A warning for each class whose name stands in all of its texts and hardly in any other: its texts tell it.

    Names count in any case and as whole words, Han characters wherever they stand. Classes with fewer than 5 texts
    are passed over.
    """
    folded = [text.casefold() for text in texts]
    for name in sorted({label for label in labels if label}):
        pattern = _as_word(name.casefold())
        inside = [bool(pattern.search(text)) for text, label in zip(folded, labels, strict=True) if label == name]
        if len(inside) < FEWEST_OF_CLASS or not all(inside):
            continue
        elsewhere = [bool(pattern.search(text)) for text, label in zip(folded, labels, strict=True) if label != name]
        if sum(elsewhere) <= LARGEST_ELSEWHERE * len(elsewhere):
            message = (
                f"the word {name!r} stands in all {len(inside):,} training texts of that class and in "
                f"{sum(elsewhere):,} of the other {len(elsewhere):,}; if the label was written into the texts, the "
                "score means nothing."
            )
            faults.append(Fault("warning", "label-in-text", "", message))


def _as_word(name: str) -> re.Pattern[str]:
    before = r"(?<!\w)" if name[:1].isalnum() and not is_han(name[:1]) else ""
    behind = r"(?!\w)" if name[-1:].isalnum() and not is_han(name[-1:]) else ""
    return re.compile(before + re.escape(name) + behind)
