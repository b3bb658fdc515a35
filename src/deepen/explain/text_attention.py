"""Attention weights of one row as figures: which places they are about, the mean over heads, and each head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from deepen.core.figures import Figure, Gallery, MarkedText, Matrix, Sample
from deepen.core.units import plural
from deepen.nn.attention_record import recording
from deepen.ops import heat
from deepen.prepare.image import encode_png

MOST_NAMED = 40  # places that can be told apart in a matrix with names
MOST_HEADS = 16
SIDE = 320
DRAWN = (MarkedText, Matrix)


def figures(name: str, weights: Tensor, sides: Sequence[Sequence[str]], joiner: str) -> list[Sample | Figure]:
    """What is to be seen of one layer's weights.

    weights  [heads, Tq, Tk]
    sides    the tokens of each text
    """
    mean = weights.mean(0)
    queries, keys = names(mean.shape, sides)
    title = f"attention of {name}" if name else "attention"
    over = f"mean over {plural(len(weights), 'head')}" if len(weights) > 1 else ""
    if mean.shape[0] == 1:
        largest = float(mean.max()) or 1.0
        note = f"{over + '; ' if over else ''}the strongest colour is a weight of {largest:.2f}"
        shown: list[Sample | Figure] = [
            MarkedText(title, keys, [float(w) / largest for w in mean[0]], note, joiner=joiner)
        ]
    elif max(mean.shape) <= MOST_NAMED:
        values = [[round(float(w), 3) for w in row] for row in mean]
        shown = [Matrix(title, queries, keys, values, "looks from", "at", note=over, signed=True)]
    else:
        shown = [Sample([title, over] if over else [title], _picture(mean[None]))]
    if len(weights) > 1 and mean.shape[0] > 1:
        said = plural(len(weights), "head")
        said = f"{MOST_HEADS} of {said}" if len(weights) > MOST_HEADS else said
        shown.append(Sample([f"{title}, {said}", "from each line to each column"], _picture(weights[:MOST_HEADS])))
    return shown


def of_one(
    model: nn.Module, answer: Callable[[], object], sides: Sequence[Sequence[str]], joiner: str, *, about: str = ""
) -> list[Figure]:
    """What a report draws of a network's last layer of attention over one row; nothing where it has none.

    answer  runs the network over a batch of that row
    about   which row it is
    """
    with torch.no_grad(), recording(model) as found:
        answer()
    if not found or not any(sides):
        return []
    name, weights = found[-1]
    shown = figures(name, weights[0].float().cpu(), sides, joiner)
    drawn: list[Figure] = [replace(each, note=_joined(about, each.note)) for each in shown if isinstance(each, DRAWN)]
    pictures = [each for each in shown if isinstance(each, Sample)]
    more = [Gallery("Heads of the last attention", pictures, note=about)] if pictures else []
    return [*drawn, *more]


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def names(shape: Sequence[int], sides: Sequence[Sequence[str]]) -> tuple[list[str], list[str]]:
    """What the Tq and the Tk places are called.

    As many places as a side has tokens are those; of two sides with equally many, the first looks at the second. As
    many as all sides together, or with a mark before them, or with one before and one behind each (as pairs of texts
    stand in one sequence), are those. Any others have numbers.
    """
    queries, keys = (_named(size, sides) for size in shape)
    lengths = [len(side) for side in sides]
    if len(sides) == 2 and shape[0] == shape[1] == lengths[0] == lengths[1]:
        keys = list(sides[1])
    return queries, keys


def _named(size: int, sides: Sequence[Sequence[str]]) -> list[str]:
    for side in sides:
        if size == len(side):
            return list(side)
    together = [token for side in sides for token in side]
    if size == len(together):
        return together
    if size == len(together) + 1:
        return ["[first]", *together]
    if size == len(together) + 1 + len(sides):
        return ["[first]", *(token for side in sides for token in (*side, "[separator]"))]
    return [str(number) for number in range(1, size + 1)]


def _picture(weights: Tensor) -> bytes:
    """[heads, Tq, Tk] in [0, 1] as PNG, each head from 0 to its largest weight, side by side."""
    largest = weights.flatten(1).amax(1).clamp_min(1e-9)[:, None, None]
    tiles = heat.warm(weights.float() / largest).round().to(torch.uint8)
    sheet = heat.tiled(tiles, columns=max(1, round(len(tiles) ** 0.5))) if len(tiles) > 1 else tiles[0]
    return encode_png(heat.enlarged(sheet, SIDE))
