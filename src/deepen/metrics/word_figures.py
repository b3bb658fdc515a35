"""What a report draws of judged words: cosines against people's scores, and analogies by section."""

from __future__ import annotations

from deepen.core.figures import Bars, Figure, Points
from deepen.metrics.word_similarity import WordMetrics


def similarity_figures(metrics: WordMetrics) -> list[Figure]:
    """A scatter for each list of pairs."""
    found: list[Figure] = []
    for name, cosines, scores, unknown in metrics.pairs_by_section():
        note = f"{len(cosines):,} pairs; {unknown:,} more have a word outside the vocabulary."
        points = [(float(a), float(b)) for a, b in zip(scores, cosines, strict=True)]
        found.append(Points(f"Similarity: {name}", "people's score", "cosine", points, note=note))
    return found


def analogy_figures(metrics: WordMetrics) -> list[Figure]:
    """Bars of the accuracy by section, if there are any."""
    sections = metrics.accuracy_by_section()
    if not sections:
        return []
    unknown = sum(each[4] for each in sections)
    note = f"By 3CosAdd, over analogies of known words; {unknown:,} more have a word outside the vocabulary."
    names, values = [each[0] for each in sections], [each[2] for each in sections]
    return [Bars("Analogies by section", names, values, "accuracy", note=note)]
