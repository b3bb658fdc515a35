"""What is learned about the images of a training table: their size, channels, mean and deviation, or whitening."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch

from deepen.core.errors import DataError, OptionError
from deepen.core.faults import Fault
from deepen.ops.contrast import global_contrast
from deepen.ops.whitening import spectrum
from deepen.prepare.image_columns import State, headers
from deepen.prepare.image_decode import LARGEST_PIXELS, Header
from deepen.prepare.image_encode import each_image
from deepen.prepare.image_faults import Unusable
from deepen.prepare.packed import packed

DEFAULT_SIZE = 96
IMAGES_MEASURED = 2_048
Resize = Literal["crop", "stretch", "pad"]
Normalize = Literal["mean", "global-contrast", "local-contrast", "whitening"]

WHITENING_SIZE = 12_288  # numbers in the largest image that is whitened: 64 x 64 in colour
WHITENING_NUMBERS = 1_500_000  # that its directions may take: all of those of 28 x 28, 488 of 32 x 32 in colour
WHITENING_EPSILON = 0.1  # of pixels of variance 1 (Krizhevsky 2009 and Coates et al. 2011 use 0.01 to 0.1)
WHITENING_IMAGES = 10_000  # measured for images of up to 1,024 numbers; of larger ones as many as for the mean


def learn(
    table: pa.Table,
    *,
    faults: list[Fault],
    image_size: int | tuple[int, int] | None = None,
    resize: Resize = "crop",
    channels: int | None = None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    normalize: Normalize = "mean",
    background: Sequence[int] = (255, 255, 255),
    max_pixels: int = LARGEST_PIXELS,
) -> dict[str, Any]:
    """The state for encoding, from the training table's column `image`; what is given is not learned.

    Images that cannot be read are passed over here and reported by `encode`. Adds a note on the size chosen for files,
    and warnings for channels that never change. Raises DataError if no image can be read, and OptionError if a mean is
    given where none is used, or images are too large to be whitened.
    """
    if normalize != "mean" and (mean or std):
        raise OptionError(
            f"--normalize {normalize}: expected no --mean or --deviation beside it, since images measure themselves, "
            f"but there is {list(mean or std)!r}; leave one of them out."
        )
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
        "normalize": normalize,
        "background": list(background),
        "resize": resize,
    }
    if not (mean and std):
        measured_mean, measured_std = _measured(table, state, max_pixels, faults)
        state["mean"], state["std"] = list(mean) or measured_mean, list(std) or measured_std
    if normalize != "mean":
        state["mean_colour"] = state["mean"]
        state["mean"], state["std"] = [0.0] * state["channels"], [1.0] * state["channels"]
    if normalize == "whitening":
        state["whitening"] = _whitening(table, state, max_pixels)
    return _checked(state)


def _sizes(column: pa.ChunkedArray, max_pixels: int) -> list[Header]:
    """The headers of all readable images (of an array: the one they share)."""
    if isinstance(column.type, pa.FixedShapeTensorType):
        height, width, channels = column.type.shape
        return [Header(height, width, channels == 1)] if len(column) else []
    return [found for _, found in headers(column, max_pixels) if isinstance(found, Header)]


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


def _measured(table: pa.Table, state: State, max_pixels: int, faults: list[Fault]) -> tuple[list[float], list[float]]:
    """Mean and deviation per channel of pixels in 0 to 1; 1 for the deviation of a channel that never changes."""
    chosen = np.unique(np.linspace(0, len(table) - 1, min(IMAGES_MEASURED, len(table))).round().astype(np.int64))
    total, squares, count = np.zeros(state["channels"]), np.zeros(state["channels"]), 0
    different: set[bytes] = set()
    for pixels in each_image(table.take(pa.array(chosen)), state, max_pixels=max_pixels):
        wide = pixels.numpy().reshape(-1, state["channels"]).astype(np.float64)
        total, squares, count = total + wide.sum(0), squares + (wide**2).sum(0), count + len(wide)
        if len(different) < 2:
            different.add(pixels.numpy().tobytes())
    mean = total / max(count, 1)
    std = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0))
    _warn_constant(std, len(different), len(chosen), faults)
    std = np.where(std < 1e-6, 255.0, std)
    return [float(round(value / 255, 6)) for value in mean], [float(round(value / 255, 6)) for value in std]


def _whitening(table: pa.Table, state: State, max_pixels: int) -> dict[str, Any]:
    """Mean, directions and variances of images that have been normalized by global contrast, each [C * H * W]."""
    (height, width), channels = state["size"], state["channels"]
    size = height * width * channels
    if size > WHITENING_SIZE:
        raise OptionError(
            f"--normalize whitening: expected images of at most {WHITENING_SIZE:,} numbers, but {height} x {width} x "
            f"{channels} are {size:,}; pass --image-size 64, or --normalize global-contrast."
        )
    count = WHITENING_IMAGES if size <= 1_024 else IMAGES_MEASURED
    chosen = np.unique(np.linspace(0, len(table) - 1, min(count, len(table))).round().astype(np.int64))
    pixels = list(each_image(table.take(pa.array(chosen)), state, max_pixels=max_pixels))
    if not pixels:
        raise DataError(
            f"--normalize whitening: expected training images to learn from, but none of the {len(chosen):,} that were "
            "looked at can be decoded; mend them, or normalize by mean."
        )
    data = global_contrast(torch.stack(pixels).permute(0, 3, 1, 2).double() / 255).flatten(1)
    found = spectrum(data, most=max(1, WHITENING_NUMBERS // size))
    return {
        "mean": packed(found.mean.numpy()),
        "directions": packed(found.directions.numpy()),
        "variances": packed(found.variances.numpy()),
        "rest": found.rest,
        "epsilon": WHITENING_EPSILON,
    }


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


def _checked(state: dict[str, Any]) -> dict[str, Any]:
    for name, flag in (("mean", "mean"), ("std", "deviation")):
        if len(state[name]) != state["channels"]:
            raise OptionError(
                f"--{flag}: {len(state[name])} numbers were given for images of {state['channels']} channels; "
                "give one each."
            )
    if any(value <= 0 for value in state["std"]):
        given = ",".join(f"{value:g}" for value in state["std"])
        raise OptionError(f"--deviation {given}: pixels are divided by it, so expected numbers above 0.")
    return state


def _nothing_readable(table: pa.Table, max_pixels: int) -> str:
    for row, (_, result) in enumerate(headers(table.column("image"), max_pixels)):
        if isinstance(result, Unusable):
            return f"{table.column('source')[row].as_py()}: {result} No other training image can be read either."
    return "the training table holds no image; give at least a few of each class."
