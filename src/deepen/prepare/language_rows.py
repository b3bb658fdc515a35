"""A text of a language model as one stream and the rows of it: windows that are learned from, stretches that are
scored, and single lines that are answered. Without torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.prepare import corpus, text
from deepen.prepare.corpus import Ids, Parts, Stream, Stretches
from deepen.prepare.language import Words
from deepen.prepare.text_options import TextOptions

LINE_ENDS = {"word": True, "subword": True, "character": False, "byte": False}
NOTED = ("text-empty", "text-unknown")  # notes on texts which the signature of a stream replaces


@dataclass(frozen=True)
class LanguageRows:
    """A table as a stream, its rows, and where each text stands."""

    stream: Stream
    rows: Stretches
    parts: Parts

    def sources(self) -> list[str]:
        """Of each row, where the first token that is predicted in it stands."""
        return self.parts.sources_of(self.stream.part_of(self.rows.start + 1))


def learn(
    table: pa.Table, options: TextOptions, eos: bool | None, faults: list[Fault]
) -> tuple[dict[str, Any], np.ndarray]:
    """What is learned of a training text, and the text as ids [total].

    eos      whether each line ends with <eos>; None: of words and subwords
    returns  `text` of the tokenizer, `has_ends`, and `counts`, how often each token is predicted; JSON-able

    Raises DataError for text in which no token occurs twice.
    """
    has_ends = LINE_ENDS[options.level] if eos is None else eos
    parts = Parts.of(table, has_ends)
    specials = [*([] if options.level == "byte" else [text.UNKNOWN]), *([corpus.EOS] if has_ends else [])]
    own: list[Fault] = []
    state: dict[str, Any] = {"text": text.learn(parts.texts, options, own, specials=specials), "has_ends": has_ends}
    faults += [fault for fault in own if fault.kind not in NOTED]
    words = Words(state)
    ids = words.stream(Ids(*text.ids_of(parts.texts, state["text"], "train", []))).ids
    counts = np.bincount(ids[1:], minlength=len(words.tokenizer))
    known = np.delete(counts, [each for each in (words.tokenizer.unknown, words.end) if each is not None and each >= 0])
    if known.max(initial=0) < 2:
        raise DataError(
            f"the training text has {int(counts.sum()):,} tokens, and no two known ones are the same, so nothing can "
            "be learned; give more text, or take --text.level character."
        )
    return state | {"counts": counts.tolist()}, ids


def read(
    table: pa.Table,
    words: Words,
    split: str,
    faults: list[Fault],
    *,
    window: int | None,
    stretch: int,
    context: int,
) -> LanguageRows:
    """The rows of a table.

    split    train: windows of `window` tokens, where that is stated; predict: lines; else stretches of so many scored
             tokens, each read from `context` tokens before its first scored one
    faults   gets what was noticed, and of stretches what a perplexity over them is counted over

    Raises DataError for a training text of less than two windows.
    """
    own: list[Fault] = []
    singly = split == "predict"
    parts = Parts.of(table, words.has_ends or singly)
    ids = Ids(*text.ids_of(parts.texts, words.tokenizer.state, split, own))
    faults += [fault for fault in own if fault.kind not in NOTED]
    stream = words.stream(ids, singly=singly)
    total = len(stream.ids)
    if singly:
        rows = corpus.whole_parts(stream.begins, scores_ends=words.has_ends)
    elif split == "train" and window is not None:
        rows = corpus.windows(corpus.training_rows(total, window), window, total)
    else:
        rows = corpus.stretches(total, stretch, context)
        said = words.signature(stream.ids).sentence()
        faults.append(Fault("note", f"perplexity-{split}", "", f"perplexity on {split}: {said}."))
    return LanguageRows(stream, rows, parts)
