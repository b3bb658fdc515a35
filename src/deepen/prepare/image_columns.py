"""The images of a table's column, one after the other: headers or pixels, by workers or threads, in order.

Nothing here imports torch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from deepen.core.faults import Fault
from deepen.prepare import image_guard
from deepen.prepare.image_decode import Decoded, Header, Wanted, answer
from deepen.prepare.image_faults import Unusable
from deepen.prepare.image_resize import resized

THREADS = 4
MOST_TOGETHER = 16  # images handed to a thread or worker at once
BYTES_TOGETHER = 8 << 20
GREY = np.array((0.299, 0.587, 0.114), np.float32)
MISSING = Unusable("image-missing", "has no image; give one or remove the row.")
State = Mapping[str, Any]
Image = str | bytes | None  # a path, the bytes of a file, or nothing
Pixels = tuple[np.ndarray, tuple[tuple[str, str], ...]]  # [H, W, C] uint8, and (kind, message) of warnings


def headers(column: pa.ChunkedArray, max_pixels: int) -> Iterator[tuple[Image, Header | Unusable]]:
    """(image, its header or why there is none), in order."""
    yield from _each(values(column), Wanted(max_pixels), lambda found: found, 1)


def decoded(column: pa.ChunkedArray, state: State, max_pixels: int) -> Iterator[tuple[Image, Pixels | Unusable]]:
    """(image, its pixels at the learned size or why there are none), in order."""
    size, background = tuple(state["size"]), tuple(state["background"])
    wanted = Wanted(max_pixels, state["channels"], background, 2 * max(size))  # type: ignore[arg-type]

    def fitted(found: Decoded) -> Pixels:
        pixels = resized(found.pixels, size, state["resize"], background)
        is_same = pixels.shape == found.pixels.shape  # then it may be memory that the next image takes
        return pixels.copy() if is_same else pixels, found.warnings

    yield from _each(values(column), wanted, fitted, size[0] * size[1] * state["channels"])


def values(column: pa.ChunkedArray) -> Iterator[Image]:
    """The column's values, one by one."""
    for chunk in column.chunks:
        for value in chunk:
            yield value.as_py()


def filled(
    table: pa.Table, state: State, split: str, faults: list[Fault], max_pixels: int, out: np.ndarray | None
) -> np.ndarray:
    """Decodes every image of a table into its row of `out`; the rows that are usable, [n] int64 ascending.

    out      [N, H, W, C] uint8, or None where only the faults are wanted
    faults   gets those that cannot be read, level sample, and warnings of those that can
    """
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


def array(column: pa.ChunkedArray) -> np.ndarray:
    """[N, H, W, C] uint8 over the column's own memory where it is one chunk."""
    height, width, channels = column.type.shape
    if len(column) == 0:
        return np.empty((0, height, width, channels), np.uint8)
    return (column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()).to_numpy_ndarray()


def converted(pixels: np.ndarray, state: State) -> np.ndarray:
    """Arrays of another size or number of channels, as when a model answers about data of another kind."""
    have, want = pixels.shape[-1], state["channels"]
    if have == 4:
        alpha = pixels[..., 3:].astype(np.float32) / 255
        behind = np.array(state["background"], np.float32)
        pixels = (pixels[..., :3] * alpha + behind * (1 - alpha)).round().astype(np.uint8)
        have = 3
    if have == 3 and want == 1:
        pixels = (pixels.astype(np.float32) @ GREY)[..., None].round().astype(np.uint8)
    if have == 1 and want == 3:
        pixels = np.repeat(pixels, 3, axis=-1)
    return resized(pixels, state["size"], state["resize"], state["background"])


def _each(
    images: Iterator[Image], wanted: Wanted, finish: Callable[[Any], Any], result_bytes: int
) -> Iterator[tuple[Image, Any]]:
    """(image, what `finish` makes of its answer, or Unusable), in order, by a few threads, a bounded number ahead."""
    workers = image_guard.current()
    num_threads = workers.most if workers else THREADS
    together = max(1, min(MOST_TOGETHER, BYTES_TOGETHER // result_bytes))
    waiting: deque[Any] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        try:
            while True:
                while len(waiting) < 2 * num_threads and (block := _block(images, together)):
                    waiting.append((block, pool.submit(_finished, block, wanted, finish)))
                if not waiting:
                    return
                block, future = waiting.popleft()
                yield from zip(block, future.result(), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)


def _block(images: Iterator[Image], most: int) -> list[Image]:
    """The next images, fewer than `most` where embedded files are large."""
    block: list[Image] = []
    num_bytes = 0
    for image in islice(images, most):
        block.append(image)
        num_bytes += len(image) if isinstance(image, bytes) else 0
        if num_bytes > BYTES_TOGETHER:
            break
    return block


def _finished(block: Sequence[Image], wanted: Wanted, finish: Callable[[Any], Any]) -> list[Any]:
    there = [index for index, image in enumerate(block) if image is not None]
    results: list[Any] = [MISSING] * len(block)
    found = _found([image for image in block if image is not None], wanted, finish)
    for index, result in zip(there, found, strict=True):
        results[index] = result
    return results


def _found(images: list[str | bytes], wanted: Wanted, finish: Callable[[Any], Any]) -> list[Any]:
    """By a worker where there is a guard, else by this thread."""
    workers = image_guard.current()
    if workers is not None and images:
        try:
            return workers.each(images, wanted, finish)
        except image_guard.NotStarted:
            pass  # no process can be started here, so this thread decodes
    answers = (answer(image, wanted) for image in images)
    return [found if isinstance(found, Unusable) else finish(found) for found in answers]
