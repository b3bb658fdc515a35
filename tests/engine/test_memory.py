"""Training takes no more memory, files or threads the longer it lasts or the oftener it is done (K31)."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import torch
from small_task import SmallTask, points

from deepen.engine.events import Silent
from deepen.engine.fit import fit
from deepen.engine.options import FitOptions
from deepen.verbs.train import train

EPOCHS = 20
TRAININGS = 10
SETTLED = 3  # epochs and trainings after which everything that is made once has been made
GROWTH = 1.05
ROWS, BATCH_SIZE = 1_511, 53  # 29 steps an epoch: enough for an evaluation after each


@pytest.fixture(autouse=True)
def only_what_is_made_here():
    """Objects of other tests are neither looked through nor counted: there may be millions."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@dataclass(frozen=True)
class Holdings:
    """What this process holds: bytes in memory, open files, threads, and tensors that can be reached."""

    memory_bytes: int
    num_files: int
    num_threads: int
    num_tensors: int


def holdings() -> Holdings:
    gc.collect()
    process = psutil.Process()
    num_tensors = sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())
    return Holdings(process.memory_info().rss, process.num_fds(), process.num_threads(), num_tensors)


class HoldingsAtEvaluations(Silent):
    """Looks at every evaluation."""

    def __init__(self) -> None:
        self.seen: list[Holdings] = []

    def evaluated(self, record):
        self.seen.append(holdings())


def assert_flat(seen: list[Holdings]) -> None:
    settled = seen[SETTLED - 1]
    for later in seen[SETTLED:]:
        assert later.memory_bytes <= GROWTH * settled.memory_bytes, [each.memory_bytes for each in seen]
        assert later.num_files <= settled.num_files, [each.num_files for each in seen]
        assert later.num_threads <= settled.num_threads, [each.num_threads for each in seen]
        assert later.num_tensors <= settled.num_tensors, [each.num_tensors for each in seen]


def options(**changes) -> FitOptions:
    return FitOptions(batch_size=BATCH_SIZE, ema=0.9, checkpoint_every="1s", **changes)


def test_epochs_hold_no_more_each_time(tmp_path: Path):
    events = HoldingsAtEvaluations()
    fitted = fit(SmallTask(), points(ROWS, 1), points(211, 2), options(epochs=EPOCHS), folder=tmp_path, events=events)
    assert len(events.seen) == len(fitted.history) == EPOCHS
    assert_flat(events.seen)


def test_trainings_hold_no_more_each_time(tmp_path: Path):
    data, held_out = points(ROWS, 1), points(211, 2)
    seen = []
    for number in range(TRAININGS):
        folder = tmp_path / str(number)
        folder.mkdir()
        fit(SmallTask(batch_norm=True), data, held_out, options(epochs=2), folder=folder)
        seen.append(holdings())
    assert_flat(seen)


def test_runs_from_raw_data_to_a_report_hold_no_more_each_time(tmp_path: Path):
    seen = []
    for number in range(TRAININGS):
        train("image-classification", "tiny", {"model": "lenet", "steps": 7, "threads": 1}, out=tmp_path / str(number))
        seen.append(holdings())
    assert_flat(seen)


def test_growth_is_noticed():
    kept, seen = [], []
    for _ in range(SETTLED + 2):
        kept.append(torch.zeros(7))
        seen.append(holdings())
    with pytest.raises(AssertionError, match="num_tensors"):
        assert_flat(seen)
