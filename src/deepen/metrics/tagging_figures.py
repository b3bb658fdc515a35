"""What a report draws of tagged sentences: beside the baseline, by type or tag, by novelty, and the worst sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from deepen.core.figures import Figure, Gallery, Matrix, Rows, Sample
from deepen.metrics.classify import confusion_figure
from deepen.metrics.confusion import per_class
from deepen.metrics.tagging import Tagging, TagSet, WrongSentence

NUM_WORST = 12
NUM_WRONG = 8  # wrong tags that are spelled out of one sentence


def figures_of(metrics: Tagging, sentences: Callable[[int], Sample], words: Callable[[int], list[str]]) -> list[Figure]:
    """What a report should draw of an evaluation; empty when no token was added.

    sentences  row -> the sentence with where it came from
    words      row -> its tokens
    """
    if not metrics.result():
        return []
    table, names = metrics.confusion()
    figures: list[Figure] = [baseline_figure(metrics)]
    figures += [per_type_figure(metrics)] if metrics.tags.has_entities else [per_tag_figure(table, names)]
    figures += [_confusion(table, names, has_entities=metrics.tags.has_entities), novelty_figure(metrics)]
    worst = metrics.worst(NUM_WORST)
    return [*figures, worst_figure(worst, metrics.tags, sentences, words)] if worst else figures


def baseline_figure(metrics: Tagging) -> Rows:
    """The figures beside those of the commonest tag of each word."""
    found = metrics.result()
    rows: list[list[str | float | int]] = [
        [name, found[name], found[f"baseline_{name}"]] for name in ("f1", "accuracy") if name in found
    ]
    note = "The baseline gives each word its commonest tag in training, and unknown words the commonest of rare words."
    return Rows("Beside the baseline", ["figure", "this model", "baseline"], rows, note=note)


def per_type_figure(metrics: Tagging) -> Rows:
    """Precision, recall, F1 and support of each type of entity."""
    rows: list[list[str | float | int]] = []
    for name, each in metrics.by_type().items():
        right, answered, true = int(each.right[0]), int(each.answered[0]), int(each.true[0])
        rows.append([name or "entity", right / max(1, answered), right / max(1, true), each.f1(), true])
    note = "An entity is right if its first token, its last token and its type are."
    return Rows("Entities by type", ["type", "precision", "recall", "F1", "support"], rows, note=note)


def per_tag_figure(table: np.ndarray, names: Sequence[str]) -> Rows:
    """Precision, recall, F1 and support of each tag."""
    rows: list[list[str | float | int]] = [
        [name, each.precision, each.recall, each.f1, each.support]
        for name, each in zip(names, per_class(table), strict=True)
    ]
    return Rows("Per tag", ["tag", "precision", "recall", "F1", "support"], rows)


def novelty_figure(metrics: Tagging) -> Rows:
    """Accuracy on known and unknown words."""
    rows: list[list[str | float | int]] = [list(each) for each in metrics.by_novelty()]
    return Rows("Known and unknown words", ["words", "tokens", "accuracy", "baseline"], rows)


def worst_figure(
    worst: Sequence[WrongSentence],
    tags: TagSet,
    sentences: Callable[[int], Sample],
    words: Callable[[int], list[str]],
) -> Gallery:
    """The worst sentences with what is wrong in them."""

    def name(number: int) -> str:
        return tags.names[number] if number < len(tags.names) else "a tag never learned"

    shown = []
    for each in worst:
        tokens = words(each.row)
        places = np.flatnonzero(each.truth != each.answer)
        wrong = [f"{tokens[place]}: {name(each.truth[place])}, answered {name(each.answer[place])}" for place in places]
        more = [f"and {len(wrong) - NUM_WRONG} more"] if len(wrong) > NUM_WRONG else []
        sample = sentences(each.row)
        shown.append(replace(sample, caption=[*wrong[:NUM_WRONG], *more, *sample.caption]))
    return Gallery("Worst sentences", shown, note="Wrong tags, the least probable true ones first.")


def _confusion(table: np.ndarray, names: Sequence[str], *, has_entities: bool) -> Matrix:
    figure = confusion_figure(table, names)
    kind = "Tokens by type of entity" if has_entities else "Tokens by tag"
    return replace(figure, title=f"{kind}, true and answered")
