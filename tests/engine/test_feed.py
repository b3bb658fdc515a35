"""Batches made ahead are those made in time, and the thread that makes them ends with training."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from small_task import SmallTask, StopAt, points

from deepen.core.errors import DataError
from deepen.engine.feed import Feeder, on_device
from deepen.engine.fit import fit
from deepen.engine.options import FitOptions
from deepen.prepare.encoded import Encoded

CPU = torch.device("cpu")
OPTIONS = FitOptions(epochs=3, batch_size=29, accumulate=3, seed=5, checkpoint_every="1ms")


def not_whole(num_rows: int = 101) -> Encoded:
    return dataclasses.replace(points(num_rows, 1), is_whole=False)


def feeders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("deepen-feed")]


def steps(feeder: Feeder, *, ahead: bool) -> list[torch.Tensor]:
    """All that the batches of two epochs hold, in order."""
    made = []
    for epoch in range(2):
        order = np.array_split(np.random.default_rng(epoch).permutation(101), 4)
        for position, rows in enumerate(order):
            batches = feeder.take(epoch, position, rows)
            if ahead and position + 1 < len(order):
                feeder.prepare(epoch, position + 1, order[position + 1])
            made += [tensor for batch in batches for tensor in batch.tensors.values()]
    return made


def test_made_ahead_equals_made_in_time() -> None:
    in_time, early = Feeder(SmallTask(), points(101, 1), OPTIONS, CPU), Feeder(SmallTask(), not_whole(), OPTIONS, CPU)
    expected, found = steps(in_time, ahead=True), steps(early, ahead=True)
    early.close()
    assert len(expected) == len(found) == 2 * 4 * 3 * 2
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_whole_data_needs_no_thread() -> None:
    feeder = Feeder(SmallTask(), points(101, 1), OPTIONS, CPU)
    steps(feeder, ahead=True)
    assert not feeders()
    feeder.close()


def test_what_was_made_for_another_step_is_not_used() -> None:
    feeder = Feeder(SmallTask(), not_whole(), OPTIONS, CPU)
    feeder.prepare(0, 1, np.arange(7))
    (batch, *_) = feeder.take(1, 1, np.arange(13, 16))
    assert batch.rows.tolist() == [13]
    feeder.close()


def test_fewer_rows_than_micro_batches_and_none_at_all() -> None:
    feeder = Feeder(SmallTask(), points(101, 1), OPTIONS, CPU)
    assert [len(batch.rows) for batch in feeder.take(0, 0, np.arange(2))] == [1, 1]
    assert feeder.take(0, 0, np.arange(0)) == []


def test_the_same_training_whole_or_not() -> None:
    one, two = (fit(SmallTask(), data, points(53, 2), OPTIONS) for data in (points(101, 1), not_whole()))
    assert one.history == two.history
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not feeders()


@pytest.mark.parametrize("at", [1, 4, 7])
def test_killed_and_resumed_equals_never_killed(at: int, tmp_path: Path) -> None:
    """The batch that was made ahead when the kill came is made again."""
    expected = fit(SmallTask(), not_whole(), points(53, 2), OPTIONS)
    with pytest.raises(StopAt.Killed):
        fit(SmallTask(), not_whole(), points(53, 2), OPTIONS, folder=tmp_path, events=StopAt(at))
    assert not feeders(), "the thread outlived its training"
    has_any = (tmp_path / "checkpoint").exists()
    found = fit(SmallTask(), not_whole(), points(53, 2), OPTIONS, folder=tmp_path, resume=has_any)
    assert has_any == (at > 1)
    assert found.history == expected.history
    for a, b in zip(found.model.parameters(), expected.model.parameters(), strict=True):
        assert torch.equal(a, b)


class Vanishing(SmallTask):
    """A sample that cannot be read any more, in the second batch."""

    def batch(self, encoded, rows, draws):
        if draws is not None and threading.current_thread() is not threading.main_thread():
            raise DataError("p.jpg: cannot be read. It was readable when training began.")
        return super().batch(encoded, rows, draws)


def test_a_fault_on_the_thread_stops_training_with_its_own_sentence() -> None:
    with pytest.raises(DataError, match=r"p\.jpg: cannot be read"):
        fit(Vanishing(), not_whole(), None, OPTIONS)
    assert not feeders()


def test_on_a_cpu_the_data_stays_where_it_is() -> None:
    data = points(101, 1)
    assert on_device(data, CPU) is data
    assert on_device(not_whole(), torch.device("cuda")).device == CPU, "what is not whole is never moved"
