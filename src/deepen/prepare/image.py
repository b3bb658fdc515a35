"""Images: a column of paths, encoded files or pixel arrays -> one uint8 tensor; and the numbers that normalize it.

What is learned (from the training table) is a dict that JSON can hold:

    size        [height, width] of every encoded image. Pixel arrays keep theirs. Files: their common size, if all have
                one and it is at most 96 pixels; else a square of 96 pixels, unless `image_size` says otherwise
    channels    1 if every training image is grey, else 3
    mean, std   per channel, of pixels in 0 to 1, over up to 2,048 training images chosen evenly
    background  RGB behind transparent pixels and around padded images
    resize      "crop", "stretch" or "pad" (see image_resize)
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.prepare import cache
from deepen.prepare.image_decode import LARGEST_PIXELS, Decoded, Header, Unusable, decode, file_bytes, header
from deepen.prepare.image_resize import resized

DEFAULT_SIZE = 96
IMAGES_MEASURED = 2_048
BUDGET_BYTES = 2 << 30
CACHED_FROM = 256  # fewer images are decoded faster than a cache is looked up and checked
THREADS = 4
GREY = (0.299, 0.587, 0.114)
State = Mapping[str, Any]
Resize = Literal["crop", "stretch", "pad"]


@dataclass(frozen=True)
class EncodedImages:
    """Encoded pixels, and which rows of the table they are.

    pixels  [N, H, W, C] uint8, or None if they are over the budget: then `pixels_of` decodes them batch by batch
    kept    [N] int64, the rows of the table that are usable, ascending
    """

    pixels: Tensor | None
    kept: np.ndarray


def learn(
    table: pa.Table,
    *,
    faults: list[Fault],
    image_size: int | tuple[int, int] | None = None,
    resize: Resize = "crop",
    channels: int | None = None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    background: Sequence[int] = (255, 255, 255),
    max_pixels: int = LARGEST_PIXELS,
) -> dict[str, Any]:
    """The state for encoding, from the training table's column `image`; what is given is not learned.

    Images that cannot be read are passed over here and reported by `encode`. Adds a note on the size chosen for files,
    and warnings for channels that never change. Raises DataError if no image can be read.
    """
    column = table.column("image")
    found = _sizes(column, max_pixels)
    if not found:
        raise DataError(_nothing_readable(table, max_pixels))
    sizes = {(seen.height, seen.width) for seen in found}
    state: dict[str, Any] = {
        "size": _chosen_size(column.type, sizes, image_size, faults),
        "channels": channels or (1 if all(seen.is_grey for seen in found) else 3),
        "mean": list(mean),
        "std": list(std),
        "background": list(background),
        "resize": resize,
    }
    if not (mean and std):
        measured_mean, measured_std = _measured(column, state, max_pixels, faults)
        state["mean"], state["std"] = list(mean) or measured_mean, list(std) or measured_std
    return _checked(state)


def encode(
    table: pa.Table,
    state: State,
    split: str,
    faults: list[Fault],
    *,
    max_pixels: int = LARGEST_PIXELS,
    budget_bytes: int = BUDGET_BYTES,
    use_cache: bool = True,
) -> EncodedImages:
    """All images of a table at the learned size; unusable ones are left out as faults of level sample.

    Pixel arrays of the learned size are not copied. Files are decoded on threads, once: their pixels are kept in a
    cache file named by the content of the images and the options. Over the budget every image is still decoded
    once, so that all faults are known before training, but the pixels are not kept.
    """
    column = table.column("image")
    if isinstance(column.type, pa.FixedShapeTensorType):
        pixels = _converted(_array(column), state)
        return EncodedImages(pixels, np.arange(table.num_rows))
    num_bytes = table.num_rows * int(np.prod(state["size"])) * state["channels"]
    if num_bytes > budget_bytes:
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
        return _converted(_array(images), state)
    out = torch.empty((len(rows), *state["size"], state["channels"]), dtype=torch.uint8)
    for index, (image, result) in enumerate(_each(_values(images), _decoder(state, max_pixels))):
        if isinstance(result, Unusable):
            place = image if isinstance(image, str) else f"row {rows[index]}"
            raise DataError(f"{place}: {result} It was readable when training began.")
        out[index] = result[0]
    return out


def some_pixels(
    table: pa.Table, state: State, count: int, *, max_pixels: int = LARGEST_PIXELS
) -> tuple[Tensor, np.ndarray]:
    """The pixels of up to `count` evenly chosen images, without those that cannot be read, and their rows.

    returns  [n, H, W, C] uint8, and [n] int64 ascending
    """
    rows = np.unique(np.linspace(0, table.num_rows - 1, min(count, table.num_rows)).round().astype(np.int64))
    images = table.column("image").take(pa.array(rows))
    if isinstance(images.type, pa.FixedShapeTensorType):
        return _converted(_array(images), state), rows
    found = [result for _, result in _each(_values(images), _decoder(state, max_pixels))]
    good = np.array([not isinstance(result, Unusable) for result in found], bool)
    pixels = [result[0] for result in found if not isinstance(result, Unusable)]
    return torch.stack(pixels) if pixels else torch.empty(
        (0, *state["size"], state["channels"]), dtype=torch.uint8
    ), rows[good]


def normalized(batch: Tensor, state: State) -> Tensor:
    """Pixels as a network takes them: (x / 255 - mean) / std per channel.

    batch    [B, H, W, C] or [B, C, H, W] uint8 or float in 0 to 255, on any device
    returns  [B, C, H, W] float32 in channels-last memory order
    """
    if batch.shape[-1] == state["channels"] and tuple(batch.shape[1:3]) == tuple(state["size"]):
        batch = batch.permute(0, 3, 1, 2)
    std = torch.tensor(state["std"], dtype=torch.float64)
    mean = torch.tensor(state["mean"], dtype=torch.float64)
    scale = (1 / (255 * std)).to(batch.device, torch.float32).view(1, -1, 1, 1)
    shift = (-mean / std).to(batch.device, torch.float32).view(1, -1, 1, 1)
    floats = batch.to(torch.float32).contiguous(memory_format=torch.channels_last)
    return torch.addcmul(shift, floats, scale)


def encode_png(pixels: Tensor | np.ndarray) -> bytes:
    """A PNG file of one image, for reports and pages.

    pixels  [H, W, C] uint8 with C 1 or 3
    """
    array = pixels.detach().cpu().numpy() if isinstance(pixels, Tensor) else np.asarray(pixels)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[-1] == 1 else array)).save(buffer, "PNG")
    return buffer.getvalue()


def _sizes(column: pa.ChunkedArray, max_pixels: int) -> list[Header]:
    """The headers of all readable images (of an array: the one they share)."""
    if isinstance(column.type, pa.FixedShapeTensorType):
        height, width, channels = column.type.shape
        return [Header(height, width, channels == 1)] if len(column) else []
    results = (result for _, result in _each(_values(column), lambda data: header(data, max_pixels=max_pixels)))
    return [result for result in results if isinstance(result, Header)]


def _chosen_size(
    kind: pa.DataType, sizes: set[tuple[int, int]], asked: int | tuple[int, int] | None, faults: list[Fault]
) -> list[int]:
    if asked is not None:
        return [asked, asked] if isinstance(asked, int) else list(asked)
    height, width = next(iter(sizes))
    if len(sizes) == 1 and (isinstance(kind, pa.FixedShapeTensorType) or max(height, width) <= DEFAULT_SIZE):
        return [height, width]
    what = f"are all {height} x {width} pixels" if len(sizes) == 1 else f"have {len(sizes):,} sizes"
    message = f"the images {what}, so they are brought to {DEFAULT_SIZE} x {DEFAULT_SIZE}; --image-size changes that."
    faults.append(Fault("note", "image-size", "", message))
    return [DEFAULT_SIZE, DEFAULT_SIZE]


def _measured(
    column: pa.ChunkedArray, state: State, max_pixels: int, faults: list[Fault]
) -> tuple[list[float], list[float]]:
    """Mean and deviation per channel of pixels in 0 to 1; 1 for the deviation of a channel that never changes."""
    chosen = np.unique(np.linspace(0, len(column) - 1, min(IMAGES_MEASURED, len(column))).round().astype(np.int64))
    total, squares, count = np.zeros(state["channels"]), np.zeros(state["channels"]), 0
    different: set[bytes] = set()
    for pixels in _some_pixels(column.take(pa.array(chosen)), state, max_pixels):
        wide = pixels.numpy().reshape(-1, state["channels"]).astype(np.float64)
        total, squares, count = total + wide.sum(0), squares + (wide**2).sum(0), count + len(wide)
        if len(different) < 2:
            different.add(pixels.numpy().tobytes())
    mean = total / max(count, 1)
    std = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0))
    _warn_constant(std, len(different), len(chosen), faults)
    std = np.where(std < 1e-6, 255.0, std)
    return [float(round(value / 255, 6)) for value in mean], [float(round(value / 255, 6)) for value in std]


def _warn_constant(std: np.ndarray, num_different: int, num_images: int, faults: list[Fault]) -> None:
    if num_different == 1 and num_images > 1:
        faults.append(
            Fault(
                "warning",
                "image-constant",
                "",
                "all training images that were looked at are identical; nothing can be learned from them.",
            )
        )
    elif (std < 1e-6).any():
        channel = int(np.flatnonzero(std < 1e-6)[0])
        faults.append(
            Fault(
                "warning",
                "image-constant",
                "",
                f"channel {channel} has one value in all training images; it is kept as it is.",
            )
        )


def _some_pixels(images: pa.ChunkedArray, state: State, max_pixels: int) -> Iterator[Tensor]:
    """The pixels of each readable image, one by one."""
    if isinstance(images.type, pa.FixedShapeTensorType):
        yield from _converted(_array(images), state)
        return
    for _, result in _each(_values(images), _decoder(state, max_pixels)):
        if not isinstance(result, Unusable):
            yield result[0]


def _filled(
    table: pa.Table, state: State, split: str, faults: list[Fault], max_pixels: int, name: str
) -> EncodedImages:
    pixels = torch.empty((table.num_rows, *state["size"], state["channels"]), dtype=torch.uint8)
    found: list[Fault] = []
    kept = _decoded(table, state, split, found, max_pixels, pixels)
    if len(kept) < table.num_rows:
        pixels = pixels[torch.from_numpy(kept)]
    if name:
        cache.store(name, pixels, kept, found, table, faults)
    faults.extend(found)
    return EncodedImages(pixels, kept)


def _decoded(
    table: pa.Table, state: State, split: str, faults: list[Fault], max_pixels: int, out: Tensor | None
) -> np.ndarray:
    """Decodes every image into its row of `out`; the rows that are usable."""
    sources = table.column("source")
    kept = []
    for row, (_, result) in enumerate(_each(_values(table.column("image")), _decoder(state, max_pixels))):
        if isinstance(result, Unusable):
            faults.append(Fault("sample", result.kind, sources[row].as_py(), str(result), split, row))
            continue
        kept.append(row)
        faults.extend(
            Fault("warning", kind, sources[row].as_py(), message, split, row) for kind, message in result[1].warnings
        )
        if out is not None:
            out[row] = result[0]
    return np.array(kept, np.int64)


def _decoder(state: State, max_pixels: int) -> Callable[[bytes], tuple[Tensor, Decoded]]:
    size, background = tuple(state["size"]), tuple(state["background"])

    def run(data: bytes) -> tuple[Tensor, Decoded]:
        decoded = decode(
            data,
            channels=state["channels"],
            background=background,  # type: ignore[arg-type]
            max_pixels=max_pixels,
            least_size=2 * max(size),
        )
        return resized(decoded.pixels, size, state["resize"], background), Decoded(decoded.pixels[:0], decoded.warnings)

    return run


def _each(images: Iterator[Any], work: Callable[[bytes], Any]) -> Iterator[tuple[Any, Any]]:
    """(image, result or Unusable) in order, the work done by a few threads, a bounded number of images ahead."""

    def run(image: str | bytes | None) -> Any:
        try:
            if image is None:
                raise Unusable("image-missing", "has no image; give one or remove the row.")
            return work(file_bytes(image))
        except Unusable as reason:
            return reason

    with ThreadPoolExecutor(THREADS) as pool:
        while block := list(islice(images, 64 * THREADS)):
            yield from zip(block, pool.map(run, block), strict=True)


def _values(column: pa.ChunkedArray) -> Iterator[str | bytes | None]:
    for chunk in column.chunks:
        for value in chunk:
            yield value.as_py()


def _array(column: pa.ChunkedArray) -> Tensor:
    """[N, H, W, C] uint8 over the column's own memory where it is one chunk."""
    height, width, channels = column.type.shape
    if len(column) == 0:
        return torch.empty((0, height, width, channels), dtype=torch.uint8)
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that Arrow's memory is read-only; nothing here writes to it
        return torch.from_numpy(array.to_numpy_ndarray())


def _converted(pixels: Tensor, state: State) -> Tensor:
    """Arrays of another size or number of channels, as when a model answers about data of another kind."""
    have, want = pixels.shape[-1], state["channels"]
    if have == 4:
        alpha = pixels[..., 3:].float() / 255
        behind = torch.tensor(state["background"], dtype=torch.float32)
        pixels = (pixels[..., :3] * alpha + behind * (1 - alpha)).round().to(torch.uint8)
        have = 3
    if have == 3 and want == 1:
        pixels = (pixels.float() @ torch.tensor(GREY))[..., None].round().to(torch.uint8)
    if have == 1 and want == 3:
        pixels = pixels.expand(*pixels.shape[:-1], 3)
    return resized(pixels, state["size"], state["resize"], state["background"])


def _geometry(state: State) -> dict[str, Any]:
    return {name: state[name] for name in ("size", "channels", "background", "resize")}


def _checked(state: dict[str, Any]) -> dict[str, Any]:
    for name in ("mean", "std"):
        if len(state[name]) != state["channels"]:
            raise DataError(
                f"--{name}: {len(state[name])} numbers were given for images of {state['channels']} channels; "
                "give one each."
            )
    if any(value <= 0 for value in state["std"]):
        raise DataError(f"--std: {state['std']} has a number that is not above 0.")
    return state


def _nothing_readable(table: pa.Table, max_pixels: int) -> str:
    for row, (_, result) in enumerate(
        _each(_values(table.column("image")), lambda data: header(data, max_pixels=max_pixels))
    ):
        if isinstance(result, Unusable):
            return f"{table.column('source')[row].as_py()}: {result} No other training image can be read either."
    return "the training table holds no image; give at least a few of each class."
