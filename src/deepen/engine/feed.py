"""Batches ready when the step wants them.

Tensors that are whole are gathered in the loop: on the device they live on this costs next to nothing, and on a CPU a
thread of its own would bring a second pool of OpenMP threads onto the same cores. Where making a batch means decoding
files, it is made one step ahead on a thread, while the device computes.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from deepen.engine.options import FitOptions
from deepen.engine.task import Task
from deepen.prepare.encoded import Batch, Draws, Encoded

GPU_SHARE = 0.5  # of the memory that is free on a GPU, the most that encoded data may take


class Feeder:
    """Makes the micro-batches of a step, where it pays one step ahead.

    What a batch holds depends on its rows and epoch alone, so one made ahead equals one made in time.
    """

    def __init__(self, task: Task, train: Encoded, options: FitOptions, device: torch.device) -> None:
        self._task, self._train, self._options, self._device = task, train, options, device
        self._thread = None if train.is_whole else ThreadPoolExecutor(1, thread_name_prefix="deepen-feed")
        self._ahead: tuple[tuple[int, int], Future[list[Batch]]] | None = None

    def take(self, epoch: int, position: int, rows: np.ndarray) -> list[Batch]:
        """The micro-batches of these rows, on the device.

        epoch, position  which step of training it is, by which one made ahead is known
        """
        ahead, self._ahead = self._ahead, None
        is_ready = ahead is not None and ahead[0] == (epoch, position)
        batches = ahead[1].result() if ahead is not None and is_ready else self._made(epoch, rows)
        return [batch.to(self._device) for batch in batches]

    def prepare(self, epoch: int, position: int, rows: np.ndarray) -> None:
        """Begins with the batches of a coming step; returns at once."""
        if self._thread is not None:
            self._ahead = ((epoch, position), self._thread.submit(self._made, epoch, rows))

    def close(self) -> None:
        """Ends the thread."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def _made(self, epoch: int, rows: np.ndarray) -> list[Batch]:
        draws = Draws(self._options.seed, epoch)
        if self._options.accumulate == 1:
            return [self._task.batch(self._train, rows, draws)] if len(rows) else []
        parts = np.array_split(rows, min(self._options.accumulate, max(1, len(rows))))
        return [self._task.batch(self._train, part, draws) for part in parts if len(part)]


def on_device(encoded: Encoded, device: torch.device) -> Encoded:
    """The encoded data on the GPU, if that is where training runs and there is room; else as it is."""
    if device.type != "cuda" or not encoded.is_whole:
        return encoded
    free, _ = torch.cuda.mem_get_info(device)
    return encoded.to(device) if encoded.num_bytes() <= free * GPU_SHARE else encoded
