"""A column of images as one uint8 tensor, decoded once, and kept in a cache for the next run."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.memory import available_bytes
from deepen.prepare import cache
from deepen.prepare.encoded import Encoded
from deepen.prepare.image_columns import State, array, converted, decoded, filled
from deepen.prepare.image_decode import LARGEST_PIXELS
from deepen.prepare.image_faults import Unusable

BUDGET_BYTES = 2 << 30
CACHED_FROM = 256  # fewer images are decoded faster than a cache is looked up and checked


@dataclass(frozen=True)
class EncodedImages:
    """Encoded pixels, and which rows of the table they are.

    pixels  [N, H, W, C] uint8, or None if they are over the budget: then `pixels_of` decodes them batch by batch
    kept    [N] int64, the rows of the table that are usable, ascending
    """

    pixels: Tensor | None
    kept: np.ndarray


def encode(
    table: pa.Table,
    state: State,
    split: str,
    faults: list[Fault],
    *,
    max_pixels: int = LARGEST_PIXELS,
    budget_bytes: int | None = None,
    use_cache: bool = True,
) -> EncodedImages:
    """All images of a table at the learned size; unusable ones are left out as faults of level sample.

    Pixel arrays of the learned size are not copied. Files are decoded once, by workers or threads: their pixels are
    kept in a cache file named by the content of the images and the options. Over the budget (2 GiB, or a quarter of
    the memory that is free) every image is still decoded once, so that all faults are known before training, but the
    pixels are not kept.
    """
    column = table.column("image")
    if isinstance(column.type, pa.FixedShapeTensorType):
        pixels = _tensor(converted(array(column), state))
        return EncodedImages(pixels, np.arange(table.num_rows))
    if table.num_rows * _image_bytes(state) > (_budget() if budget_bytes is None else budget_bytes):
        kept = filled(table, state, split, faults, max_pixels, None)
        return EncodedImages(None, kept)
    name = (
        cache.name_of(table, {**_geometry(state), "max_pixels": max_pixels})
        if use_cache and table.num_rows >= CACHED_FROM
        else ""
    )
    held = cache.load(name) if name else None
    if held is not None:
        faults.extend(held.faults_of(table, split))
        return EncodedImages(held.values, held.kept)
    return _filled(table, state, split, faults, max_pixels, name)


def pixels_of(column: pa.ChunkedArray, rows: np.ndarray, state: State, *, max_pixels: int = LARGEST_PIXELS) -> Tensor:
    """The pixels of these rows, decoded now on threads.

    rows     [B] int64
    returns  [B, H, W, C] uint8
    Raises DataError with the file's name if one cannot be read any more.
    """
    images = column.take(pa.array(rows))
    if isinstance(column.type, pa.FixedShapeTensorType):
        return _tensor(converted(array(images), state))
    out = torch.empty((len(rows), *state["size"], state["channels"]), dtype=torch.uint8)
    for index, (image, result) in enumerate(decoded(images, state, max_pixels)):
        if isinstance(result, Unusable):
            place = image if isinstance(image, str) else f"row {rows[index]}"
            raise DataError(f"{place}: {result} It was readable when training began.")
        out[index] = torch.from_numpy(result[0])
    return out


def pixels_at(encoded: Encoded, rows: np.ndarray, state: State) -> Tensor:
    """The pixels of these rows of an encoded table, held or decoded now, on its device.

    rows     [B] int64
    returns  [B, H, W, C] uint8
    """
    held = encoded.tensors.get("pixels")
    if held is None:
        return pixels_of(encoded.table.column("image"), rows, state).to(encoded.device)
    return held.index_select(0, torch.from_numpy(rows).to(encoded.device))


def each_image(table: pa.Table, state: State, *, max_pixels: int = LARGEST_PIXELS) -> Iterator[Tensor]:
    """The pixels of each readable image of a table, [H, W, C] uint8, one by one.

    Where all of them fit into memory they have a cache file, as in `encode`.
    """
    if table.num_rows * _image_bytes(state) <= _budget():
        pixels = encode(table, state, "train", [], max_pixels=max_pixels).pixels
        assert pixels is not None
        yield from pixels
        return
    for _, result in decoded(table.column("image"), state, max_pixels):
        if not isinstance(result, Unusable):
            yield torch.from_numpy(result[0])


def some_pixels(
    table: pa.Table, state: State, count: int, *, max_pixels: int = LARGEST_PIXELS
) -> tuple[Tensor, np.ndarray]:
    """The pixels of up to `count` evenly chosen images, without those that cannot be read, and their rows.

    There are fewer where that many would take more than 128 MiB. They have a cache file of their own, so that a later
    start on the same table decodes nothing.

    returns  [n, H, W, C] uint8, and [n] int64 ascending
    """
    count = max(2, min(count, BUDGET_BYTES // 16 // _image_bytes(state)))
    rows = np.unique(np.linspace(0, table.num_rows - 1, min(count, table.num_rows)).round().astype(np.int64))
    found = encode(table.take(pa.array(rows)), state, "train", [], max_pixels=max_pixels, budget_bytes=BUDGET_BYTES)
    assert found.pixels is not None
    return found.pixels, rows[found.kept]


def _budget() -> int:
    """How many bytes of pixels are held in memory."""
    free = available_bytes()
    return BUDGET_BYTES if free is None else min(BUDGET_BYTES, free // 4)


def _image_bytes(state: State) -> int:
    return int(np.prod(state["size"])) * state["channels"]


def _filled(
    table: pa.Table, state: State, split: str, faults: list[Fault], max_pixels: int, name: str
) -> EncodedImages:
    pixels = torch.empty((table.num_rows, *state["size"], state["channels"]), dtype=torch.uint8)
    found: list[Fault] = []
    kept = filled(table, state, split, found, max_pixels, pixels.numpy())
    if len(kept) < table.num_rows:
        pixels = pixels[torch.from_numpy(kept)]
    if name and not any(fault.level == "error" for fault in found):
        cache.store(name, pixels, kept, found, table, faults)
    faults.extend(found)
    return EncodedImages(pixels, kept)


def _tensor(pixels: np.ndarray) -> Tensor:
    """The same memory, which may be Arrow's own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that Arrow's memory is read-only; nothing here writes to it
        return torch.from_numpy(pixels)


def _geometry(state: State) -> dict[str, Any]:
    return {name: state[name] for name in ("size", "channels", "background", "resize")}
