"""Samples of any kind as plain vectors, on scales that make distances fair: pixels of pictures, or columns of a table.

Pictures: (pixel / 255 - mean) / deviation per channel, flattened. Tables: numbers less their mean over their deviation
(at most 4 deviations from it), a missing one at the median with an input of its own that says so; dates as in
`tabular`; each category column as 0 and 1 over sqrt(2), so that two rows of different categories lie 1 apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional as F

from deepen.core.faults import Fault
from deepen.prepare import image, tabular
from deepen.prepare.cells import cells_of, numbers_of
from deepen.prepare.column_places import column_places, level_name
from deepen.prepare.encoded import Encoded

LARGEST_PIXELS = 64_000_000
IMAGE_COLUMNS = ("image", "source", "key")


@dataclass(frozen=True)
class ImageRules:
    """How pictures are brought to one size."""

    image_size: int | None
    resize: image.Resize


def is_of_images(table: pa.Table, target: str) -> bool:
    """Whether the table holds pictures, as the readers of pictures make it; a user's table with a target does not."""
    return set(IMAGE_COLUMNS) <= set(table.column_names) and not target


def learn(
    table: pa.Table, target: str, images: ImageRules, columns: tabular.ColumnOptions, faults: list[Fault]
) -> dict[str, Any]:
    """What `encode` needs, JSON-able, with the `width` of a vector.

    target  the column of labels of a user's table, which is no input; "" where there is none
    """
    if is_of_images(table, target):
        state = image.learn(table, faults=faults, image_size=images.image_size, resize=images.resize)
        height, width = state["size"]
        return {"kind": "images", "image": state, "width": height * width * state["channels"]}
    state = tabular.learn(table, target, columns, faults)
    for column in state["columns"]:
        if column["kind"] == "number":
            column["inputs"] = [standardized(table, column["name"], each) for each in column["inputs"]]
    numbers, levels = tabular.shape_of(state)
    return {"kind": "table", "table": state, "levels": list(levels), "width": numbers + sum(levels)}


def standardized(table: pa.Table, name: str, learned: dict[str, Any] | None) -> dict[str, Any] | None:
    """Mean and deviation in the place of quantiles, which would make every column normal and close the gaps in it."""
    cells = cells_of(table.column(name))
    if learned is None or cells is None:
        return learned
    values, _ = numbers_of(cells)
    known = values[np.isfinite(values)]
    deviation = float(known.std())
    kept = {each: learned[each] for each in ("median", "has_missing")}
    return {**kept, "mean": float(known.mean()), "deviation": deviation if deviation > 0 else 1.0}


def encode(table: pa.Table, state: dict[str, Any], split: str, faults: list[Fault]) -> tuple[Encoded, np.ndarray]:
    """The usable rows, and which rows of the table they are, [n] int64 ascending."""
    if state["kind"] == "images":
        images = image.encode(table, state["image"], split, faults, max_pixels=LARGEST_PIXELS)
        tensors = {} if images.pixels is None else {"pixels": images.pixels}
        return Encoded(tensors, _taken(table, images.kept), is_whole=images.pixels is not None), images.kept
    numbers, categories, kept = tabular.encode(table, state["table"], split, faults)
    tensors = {"numbers": torch.from_numpy(numbers), "categories": torch.from_numpy(categories)}
    return Encoded(tensors, _taken(table, kept)), kept


def vectors_of(encoded: Encoded, state: dict[str, Any], rows: np.ndarray) -> Tensor:
    """The vectors of these rows, [B, D] float32, on the device of the encoded data."""
    return of_inputs(inputs_of(encoded, state, rows), state)


def inputs_of(encoded: Encoded, state: dict[str, Any], rows: np.ndarray) -> dict[str, Tensor]:
    """What the vectors of these rows are made of: `pixels` [B, C, H, W], normalized, or `numbers` and `categories`."""
    if state["kind"] == "images":
        return {"pixels": image.normalized(image.pixels_at(encoded, rows, state["image"]), state["image"])}
    return {name: each for name, each in encoded.take(rows).items() if name in ("numbers", "categories")}


def of_inputs(tensors: Mapping[str, Tensor], state: dict[str, Any]) -> Tensor:
    """The vectors, [B, D] float32."""
    if state["kind"] == "images":
        return tensors["pixels"].flatten(1)
    return of_columns(tensors["numbers"], tensors["categories"], state["levels"])


def of_columns(numbers: Tensor, categories: Tensor, levels: Sequence[int]) -> Tensor:
    """Scaled numbers [B, F] and categories [B, G] int64, of so many levels each, as vectors [B, D]."""
    parts = [numbers]
    for index, count in enumerate(levels):
        parts.append(F.one_hot(categories[:, index], count).float() * 0.5**0.5)
    return torch.cat(parts, dim=1)


def _taken(table: pa.Table, kept: np.ndarray) -> pa.Table:
    return table if len(kept) == table.num_rows else table.take(pa.array(kept))


def place_names(state: dict[str, Any]) -> list[str]:
    """What the places of a table's vectors are called: columns, parts of them, and categories."""
    places = column_places(state["table"])
    found = []
    for place in (each for each in places if each.kind != "category"):
        parts = len(place.inputs)
        found += [place.name if parts == 1 else f"{place.name}, part {part}" for part in range(1, parts + 1)]
    of_categories = [each for each in places if each.kind == "category"]
    for place, count in zip(of_categories, state["levels"], strict=True):
        found += [f"{place.name} = {level_name(place, code)}" for code in range(count)]
    return found


def place_values(vectors: Tensor, state: dict[str, Any]) -> Tensor:
    """A table's vectors [N, D] with categories as 0 and 1 again, or as shares where the vectors are means."""
    count = sum(state["levels"])
    return torch.cat([vectors[:, : vectors.shape[1] - count], vectors[:, vectors.shape[1] - count :] * 2**0.5], dim=1)
