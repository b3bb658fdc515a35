"""Byte-pair encoding, readable: how pieces of words are learned, and how a word is taken apart.

Learning begins with every word as its characters and does one thing again and again: of all pairs of neighbours, the
one that stands most often in the corpus becomes a piece. Encoding does the same merges, in the order in which they
were learned, on a new word.

    corpus   low x5, lower x2, newest x6, widest x3
    counts   e s 9, s t 9, w e 8, ...      -> e s
    then     es t 9, w e 2, l o 7, ...     -> es t, and so on

Where several pairs are equally frequent, the one that is merged is the one whose left piece is older, then whose right
piece is older; characters are older than all merges, and among themselves ordered by code point. So does the library
`tokenizers`, to which this is tested equal; learning there touches only the words in which something changed, here
every word is counted anew for each merge.

Source: Sennrich, Haddow and Birch 2016, Neural Machine Translation of Rare Words with Subword Units, section 3.2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

Pair = tuple[str, str]


def learn_merges(word_counts: Mapping[str, int], num_merges: int, *, least: int = 2) -> list[Pair]:
    """The pairs that become pieces, in their order, up to `num_merges`; all of them stand at least `least` times.

    word_counts  how often each word stands in the corpus; pairs never cross from one to the next

    >>> learn_merges({"low": 5, "lower": 2, "newest": 6, "widest": 3}, 3)
    [('e', 's'), ('es', 't'), ('l', 'o')]
    """
    words = {word: tuple(word) for word in word_counts}
    age = {piece: index for index, piece in enumerate(sorted({piece for word in words for piece in word}))}
    merges: list[Pair] = []
    while len(merges) < num_merges:
        counts: Counter[Pair] = Counter()
        for word, pieces in words.items():
            for pair in pairwise(pieces):
                counts[pair] += word_counts[word]
        best = min(counts, key=lambda pair: (-counts[pair], age[pair[0]], age[pair[1]]), default=None)
        if best is None or counts[best] < least:
            break
        merges.append(best)
        age.setdefault("".join(best), len(age))
        words = {word: merged(pieces, best) for word, pieces in words.items()}
    return merges


def merged(pieces: Sequence[str], pair: Pair) -> tuple[str, ...]:
    """The pieces with every occurrence of the pair joined, from the left.

    >>> merged(("a", "a", "a"), ("a", "a"))
    ('aa', 'a')
    """
    found: list[str] = []
    index = 0
    while index < len(pieces):
        if tuple(pieces[index : index + 2]) == pair:
            found.append("".join(pair))
            index += 2
        else:
            found.append(pieces[index])
            index += 1
    return tuple(found)


def encode(word: str, merges: Sequence[Pair]) -> tuple[str, ...]:
    """The word as pieces: of its pairs of neighbours the one that was learned first is merged, until none was learned.

    >>> encode("lowest", [("e", "s"), ("es", "t"), ("l", "o")])
    ('lo', 'w', 'est')
    """
    rank = {pair: index for index, pair in enumerate(merges)}
    pieces = tuple(word)
    while True:
        known = [pair for pair in pairwise(pieces) if pair in rank]
        if not known:
            return pieces
        pieces = merged(pieces, min(known, key=rank.__getitem__))
