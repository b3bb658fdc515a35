"""Counts of tokens to a vocabulary: who gets an id, and what is said and refused on the way.

The ids begin with the specials, then come the tokens by falling count, equal counts in the order of their code points,
so that the order of the rows changes nothing. What is too rare is counted at <unk>.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from deepen.core.errors import DataError, OptionError
from deepen.core.faults import Fault
from deepen.core.units import plural
from deepen.prepare.text_options import TextOptions
from deepen.prepare.text_splitting import BYTES

PAD, UNKNOWN = "<pad>", "<unk>"
SPECIALS = (PAD, UNKNOWN)
FEWEST_DIFFERENT = 100  # words, all of them different, from which on they are no language: ids, hashes, no blanks


def refuse_contradictions(options: TextOptions, specials: Sequence[str]) -> None:
    """Raises OptionError for an option that means nothing at this level."""
    assert len(set(specials)) == len(specials) and all(word and not word.split()[1:] for word in specials)
    assert UNKNOWN in specials or options.level == "byte", "what is unknown needs a place"
    level = options.level
    wrong = [
        (options.splitter != "auto" and level != "word", "splitter", "only level word has one"),
        (options.subword != "bpe" and level != "subword", "subword", "only level subword learns any"),
        (options.byte_fallback is not None and level != "subword", "byte-fallback", "only level subword has one"),
        (options.max_vocabulary is not None and level == "byte", "max-vocabulary", "there are 256 bytes"),
        (options.min_count > 1 and level == "byte", "min-count", "there are 256 bytes, and none is unknown"),
    ]
    for is_wrong, name, why in wrong:
        if is_wrong:
            raise OptionError(f"--text.{name}: means nothing with --text.level {level}: {why}; leave it away.")


def vocabulary(
    counts: Counter[str], options: TextOptions, state: dict[str, Any], faults: list[Fault]
) -> dict[str, Any]:
    """The vocabulary in the order of its ids, and the counts."""
    specials = state["specials"]
    own = dict.fromkeys(specials, 0)
    if options.level == "word":
        own = {special: counts.pop(special, 0) for special in specials}
    _refuse_nothing_to_learn(counts, options)
    if options.level == "byte":
        return {"vocabulary": [*specials, *BYTES], "counts": [*own.values(), *(counts[byte] for byte in BYTES)]}
    ordered = sorted((token for token in counts if counts[token] >= options.min_count), key=lambda t: (-counts[t], t))
    kept = ordered[: options.max_vocabulary]
    num_rare = counts.total() - sum(counts[token] for token in kept)
    own[UNKNOWN] += num_rare
    _say_vocabulary(counts, kept, num_rare, options, faults)
    return {"vocabulary": [*specials, *kept], "counts": [*own.values(), *(counts[token] for token in kept)]}


def _refuse_nothing_to_learn(counts: Counter[str], options: TextOptions) -> None:
    what = options.level
    seen = [token for token, count in counts.items() if count]
    if not seen:
        raise DataError("the training texts hold no token: they are empty, or blanks alone; give some text.")
    if len(seen) == 1:
        raise DataError(
            f"the training texts hold the {what} {seen[0]!r} alone, {counts[seen[0]]:,} times; "
            "expected at least two different ones."
        )
    most = max(counts.values())
    if most < options.min_count:
        raise DataError(
            f"--text.min-count {options.min_count}: none of the {len(seen):,} different {what}s is seen that often in "
            f"training, the commonest {plural(most, 'time')}; lower it."
        )


def _say_vocabulary(
    counts: Counter[str], kept: Sequence[str], num_rare: int, options: TextOptions, faults: list[Fault]
) -> None:
    total = counts.total()
    message = f"{plural(len(kept), options.level)} in the vocabulary, of {plural(total, 'token')} for training"
    if num_rare:
        message += f", {num_rare / total:.1%} of which are rarer and count as unknown"
    faults.append(Fault("note", "text-vocabulary", "", f"{message}."))
    if options.level == "word" and len(counts) == total > 1:
        message = (
            f"all {total:,} words of the training texts are different, so none can be learned from another text; "
            "more texts or --text.level character may help."
        )
        if total >= FEWEST_DIFFERENT:
            raise DataError(message)
        faults.append(Fault("warning", "text-all-different", "", message))
