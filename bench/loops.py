"""Training by deepen, by a bare loop and by a DataLoader: the same network, batch size and optimizer."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from bench.fashion import Problem
from bench.rounds import Contender
from deepen.engine.events import Silent
from deepen.engine.fit import fit

WARM_UP_STEPS = 10
WORKERS = 2


class Clock:
    """Seconds between the end of the warm-up and the end of the last step, told of each step that is done."""

    def __init__(self, steps: int) -> None:
        self._last = WARM_UP_STEPS + steps
        self._start = self._end = 0.0

    def done(self, step: int) -> bool:
        """Takes the time after `step` steps; whether that was the last."""
        if step == WARM_UP_STEPS:
            self._start = time.perf_counter()
        if step == self._last:
            self._end = time.perf_counter()
        return step >= self._last

    def seconds(self) -> float:
        """The seconds, once all steps are done."""
        assert self._end > 0, "training ended before its last step"
        return self._end - self._start


class ClockEvents(Silent):
    """The clock as someone who watches `engine.fit`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def step(self, step: int, progress: float, seconds_left: float | None) -> None:
        """Takes the time."""
        self.clock.done(step)


def deepen(problem: Problem, steps: int, name: str = "deepen") -> Contender:
    """`engine.fit` as a user gets it: schedule, finite check, metrics, records; without evaluation."""
    options = dataclasses.replace(problem.options, epochs=None, steps=WARM_UP_STEPS + steps)

    def run() -> float:
        clock = Clock(steps)
        fit(problem.task, problem.train, None, options, events=ClockEvents(clock))
        return clock.seconds()

    return Contender(name, run)


def bare(problem: Problem, steps: int) -> Contender:
    """A loop over normalized tensors in memory: gather, forward, loss, backward, step."""
    return Contender("bare loop", lambda: _train(problem, steps, _gathered(problem)))


def data_loader(problem: Problem, steps: int) -> Contender:
    """The usual idiom: one PIL image after the other through transforms, in two worker processes."""

    def run() -> float:
        loader = DataLoader(
            Pictures(problem),
            batch_size=problem.options.batch_size,
            shuffle=True,
            num_workers=WORKERS,
            persistent_workers=True,
        )
        return _train(problem, steps, _endless(loader))

    return Contender(f"DataLoader, {WORKERS} workers", run)


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images as PIL sees them, and the two transforms that nearly everyone writes."""

    def __init__(self, problem: Problem) -> None:
        self.images, self.labels = problem.images.numpy(), problem.labels.tolist()
        self.mean, self.deviation = problem.mean, problem.deviation

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self.images[index])
        return _normalized(_tensor_of(picture), self.mean, self.deviation), self.labels[index]


def _tensor_of(picture: Image.Image) -> Tensor:
    """[C, H, W] float in 0 to 1."""
    pixels = torch.from_numpy(np.array(picture, np.uint8, copy=True))
    return pixels.view(picture.height, picture.width, -1).permute(2, 0, 1).contiguous().float().div(255)


def _normalized(image: Tensor, mean: float, deviation: float) -> Tensor:
    return image.clone().sub_(torch.tensor([mean]).view(-1, 1, 1)).div_(torch.tensor([deviation]).view(-1, 1, 1))


def _train(problem: Problem, steps: int, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    model = problem.network()
    optimizer = problem.optimizer(model)
    clock = Clock(steps)
    for step, (images, labels) in enumerate(batches, start=1):
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
        if clock.done(step):
            break
    return clock.seconds()


def _gathered(problem: Problem) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        for index in torch.randperm(len(problem.labels)).split(problem.options.batch_size):
            yield problem.floats.index_select(0, index), problem.labels.index_select(0, index)


def _endless(loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader
