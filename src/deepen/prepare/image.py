"""Images: a column of paths, encoded files or pixel arrays -> one uint8 tensor; and the numbers that normalize it.

What is learned (from the training table) is a dict that JSON can hold:

    size        [height, width] of every encoded image. Pixel arrays keep theirs. Files: their common size, if all have
                one and it is at most 96 pixels; else a square of 96 pixels, unless `image_size` says otherwise
    channels    1 if every training image is grey, else 3
    mean, std   per channel, of pixels in 0 to 1, over up to 2,048 training images chosen evenly
    normalize   "mean" (by those two), "global-contrast", "local-contrast" (see ops/contrast) or "whitening"
    whitening   of the last: mean, directions and variances of training images normalized by global contrast
    background  RGB behind transparent pixels and around padded images
    resize      "crop", "stretch" or "pad" (see image_resize)
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.memory import available_bytes
from deepen.ops.contrast import global_contrast, local_contrast
from deepen.ops.whitening import Spectrum, zca_whitened
from deepen.prepare import cache
from deepen.prepare.image_columns import State, array, converted, decoded
from deepen.prepare.image_decode import LARGEST_PIXELS
from deepen.prepare.image_faults import Unusable
from deepen.prepare.image_learn import DEFAULT_SIZE, Normalize, Resize, learn
from deepen.prepare.packed import unpacked

__all__ = [
    "DEFAULT_SIZE",
    "EncodedImages",
    "Normalize",
    "Resize",
    "State",
    "encode",
    "encode_png",
    "learn",
    "normalized",
    "pixels_of",
    "some_pixels",
]

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
        pixels = converted(array(column), state)
        return EncodedImages(pixels, np.arange(table.num_rows))
    if table.num_rows * _image_bytes(state) > (_budget() if budget_bytes is None else budget_bytes):
        kept = _decoded(table, state, split, faults, max_pixels, None)
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
        return converted(array(images), state)
    out = torch.empty((len(rows), *state["size"], state["channels"]), dtype=torch.uint8)
    for index, (image, result) in enumerate(decoded(images, state, max_pixels)):
        if isinstance(result, Unusable):
            place = image if isinstance(image, str) else f"row {rows[index]}"
            raise DataError(f"{place}: {result} It was readable when training began.")
        out[index] = result[0]
    return out


def some_pixels(
    table: pa.Table, state: State, count: int, *, max_pixels: int = LARGEST_PIXELS
) -> tuple[Tensor, np.ndarray]:
    """The pixels of up to `count` evenly chosen images, without those that cannot be read, and their rows.

    There are fewer where that many would take more than 128 MiB.

    returns  [n, H, W, C] uint8, and [n] int64 ascending
    """
    count = max(2, min(count, BUDGET_BYTES // 16 // _image_bytes(state)))
    rows = np.unique(np.linspace(0, table.num_rows - 1, min(count, table.num_rows)).round().astype(np.int64))
    images = table.column("image").take(pa.array(rows))
    if isinstance(images.type, pa.FixedShapeTensorType):
        return converted(array(images), state), rows
    found = [result for _, result in decoded(images, state, max_pixels)]
    good = np.array([not isinstance(result, Unusable) for result in found], bool)
    pixels = [result[0] for result in found if not isinstance(result, Unusable)]
    return torch.stack(pixels) if pixels else torch.empty(
        (0, *state["size"], state["channels"]), dtype=torch.uint8
    ), rows[good]


def normalized(batch: Tensor, state: State) -> Tensor:
    """Pixels as a network takes them: (x / 255 - mean) / std per channel, or as `state["normalize"]` says.

    batch    [B, H, W, C] or [B, C, H, W] uint8 or float in 0 to 255, on any device
    returns  [B, C, H, W] float32 in channels-last memory order
    """
    if batch.shape[-1] == state["channels"] and tuple(batch.shape[1:3]) == tuple(state["size"]):
        batch = batch.permute(0, 3, 1, 2)
    if state.get("normalize", "mean") != "mean":
        return _by_itself(batch.to(torch.float32) / 255, state).contiguous(memory_format=torch.channels_last)
    scale, shift = _scale_and_shift(tuple(state["mean"]), tuple(state["std"]), batch.device)
    floats = batch.to(torch.float32).contiguous(memory_format=torch.channels_last)
    return torch.addcmul(shift, floats, scale)


def _by_itself(pixels: Tensor, state: State) -> Tensor:
    """Contrast normalization of [B, C, H, W] in 0..1, and whitening after it."""
    if state["normalize"] == "local-contrast":
        return local_contrast(pixels)
    normal = global_contrast(pixels)
    if state["normalize"] == "global-contrast":
        return normal
    learned = state["whitening"]
    mean, directions, variances = (
        _tensor(learned[name]["float32"], tuple(learned[name]["shape"]), pixels.device)
        for name in ("mean", "directions", "variances")
    )
    found = Spectrum(mean, directions, variances, learned["rest"])
    return zca_whitened(normal.flatten(1), found, epsilon=learned["epsilon"]).view(normal.shape)


@lru_cache(maxsize=8)
def _tensor(text: str, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """A packed array on a device; made once, since every batch wants it."""
    return torch.from_numpy(unpacked({"shape": shape, "float32": text})).to(device)


@lru_cache(maxsize=8)
def _scale_and_shift(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """1 / (255 std) and -mean / std, each [1, C, 1, 1]; made once, since every batch wants them."""
    wide = torch.tensor(std, dtype=torch.float64)
    scale, shift = 1 / (255 * wide), -torch.tensor(mean, dtype=torch.float64) / wide
    return tuple(part.to(device, torch.float32).view(1, -1, 1, 1) for part in (scale, shift))  # type: ignore[return-value]


def encode_png(pixels: Tensor | np.ndarray) -> bytes:
    """A PNG file of one image, for reports and pages.

    pixels  [H, W, C] uint8 with C 1 or 3
    """
    array = pixels.detach().cpu().numpy() if isinstance(pixels, Tensor) else np.asarray(pixels)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[-1] == 1 else array)).save(buffer, "PNG")
    return buffer.getvalue()


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
    kept = _decoded(table, state, split, found, max_pixels, pixels)
    if len(kept) < table.num_rows:
        pixels = pixels[torch.from_numpy(kept)]
    if name and not any(fault.level == "error" for fault in found):
        cache.store(name, pixels, kept, found, table, faults)
    faults.extend(found)
    return EncodedImages(pixels, kept)


def _decoded(
    table: pa.Table, state: State, split: str, faults: list[Fault], max_pixels: int, out: Tensor | None
) -> np.ndarray:
    """Decodes every image into its row of `out`; the rows that are usable."""
    sources = table.column("source")
    kept = []
    for row, (_, result) in enumerate(decoded(table.column("image"), state, max_pixels)):
        if isinstance(result, Unusable):
            faults.append(Fault(result.level, result.kind, sources[row].as_py(), str(result), split, row))
            continue
        kept.append(row)
        faults.extend(Fault("warning", kind, sources[row].as_py(), message, split, row) for kind, message in result[1])
        if out is not None:
            out[row] = result[0]
    return np.array(kept, np.int64)


def _geometry(state: State) -> dict[str, Any]:
    return {name: state[name] for name in ("size", "channels", "background", "resize")}
