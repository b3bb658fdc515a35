"""The characters of words as numbers, so that a network can see how an unknown word is spelled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from deepen.prepare.ragged import Ragged

PAD, UNKNOWN = 0, 1
FIRST = 2  # the number of the first character
MOST_CHARACTERS = 1000  # different ones; more are spellings of other scripts, each seen a few times


def learn(rows: Iterable[Sequence[str]]) -> list[str]:
    """The characters of these words by falling count, the 1,000 commonest; equal counts in the order of code points."""
    words: Counter[str] = Counter()
    for row in rows:
        words.update(row)
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    return sorted(counts, key=lambda character: (-counts[character], character))[:MOST_CHARACTERS]


def num_characters(characters: Sequence[str]) -> int:
    """How many numbers there are: padding and unknown ones too."""
    return FIRST + len(characters)


def names(characters: Sequence[str]) -> list[str]:
    """What each number stands for: padding, an unknown character, and the characters."""
    return ["padding", "unknown", *characters]


def encode(rows: Sequence[Sequence[str]], characters: Sequence[str], longest: int) -> Ragged:
    """Each row's words by their characters: [total words, C] int16, 0 behind the end of a word.

    longest  C: of a longer word the first half and the last half are kept, since both say what kind of word it is

    Every different word is looked up once.
    """
    import torch

    from deepen.prepare.ragged import Ragged

    values, starts = numbers_of(rows, characters, longest)
    return Ragged(torch.from_numpy(values), torch.from_numpy(starts))


def numbers_of(rows: Sequence[Sequence[str]], characters: Sequence[str], longest: int) -> tuple[np.ndarray, np.ndarray]:
    """The same without torch: the words of all rows, [total words, C] int16, and where each row starts, [N + 1]."""
    number = {character: index for index, character in enumerate(characters, FIRST)}
    places: dict[str, int] = {}
    index = np.fromiter((places.setdefault(word, len(places)) for row in rows for word in row), np.int64)
    table = np.zeros((len(places), longest), np.int16)
    for word, place in places.items():
        kept = word if len(word) <= longest else word[: (longest + 1) // 2] + word[len(word) - longest // 2 :]
        table[place, : len(kept)] = [number.get(character, UNKNOWN) for character in kept]
    lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
    return table[index], np.concatenate([[0], np.cumsum(lengths)])
