"""What a report shows of word vectors: the nearest words of common ones, and two maps of those."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from deepen.core.figures import Figure, Points, Rows
from deepen.ops.projection import neighbour_map, principal_map
from deepen.prepare.word_answers import units

MAPPED, LISTED = 300, 20  # of the commonest words
FEWEST_MAPPED = 10
NEAREST = 5


def word_figures(words: Sequence[str], counts: Sequence[int], vectors: Tensor, *, first: int) -> list[Figure]:
    """A table of nearest words, and maps by principal components and t-SNE; none for fewer than ten words.

    words    [V], the commonest first; those before `first`, and what has no letter and no digit, are left out
    vectors  [V, D]
    """
    shown = [index for index in range(first, len(words)) if any(map(str.isalnum, words[index]))][:MAPPED]
    if len(shown) < FEWEST_MAPPED:
        return []
    found = units(vectors)
    note = f"The {len(shown)} commonest words"
    named = [words[index] for index in shown]
    return [
        _nearest_words(words, counts, found, shown),
        _map("Map of common words: principal components", principal_map(found[shown]), f"{note}.", named),
        _map("Map of common words: t-SNE", neighbour_map(found[shown]), f"{note}. Near neighbours stay near.", named),
    ]


def _nearest_words(words: Sequence[str], counts: Sequence[int], found: Tensor, shown: Sequence[int]) -> Rows:
    places = sorted({round(each) for each in np.linspace(0, len(shown) - 1, min(len(shown), LISTED))})
    asked = [shown[place] for place in places]
    cosines = found[asked] @ found.T  # [n, V]
    cosines[:, ~found.any(dim=1)] = -1
    cosines[torch.arange(len(asked)), asked] = -1
    near = cosines.topk(min(NEAREST, len(words) - 1), dim=1)
    rows: list[list[str | float | int]] = []
    for index, ids, values in zip(asked, near.indices.tolist(), near.values.tolist(), strict=True):
        said = ", ".join(f"{words[int(i)]} ({c:.2f})" for i, c in zip(ids, values, strict=True))
        rows.append([words[int(index)], counts[int(index)], said])
    return Rows("Nearest words", ["word", "count", "nearest, with their cosines"], rows)


def _map(title: str, places: np.ndarray, note: str, named: list[str]) -> Points:
    points = [(float(a), float(b)) for a, b in places]
    return Points(title, "first", "second", points, note=note, names=named)
