"""Training in blocks: which blocks, at which rates, on how many threads, and going on from a checkpoint."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest
import torch
from small_task import SmallTask, StopAt
from torch import nn

from deepen.bundle.checkpoint import has_checkpoint
from deepen.core import rng
from deepen.core.errors import TrainingError
from deepen.engine.asynchronous import _Loop, fit_blocks
from deepen.engine.events import Silent
from deepen.engine.keeper import Keeper
from deepen.engine.options import FitOptions
from deepen.engine.schedule import ScheduleOptions
from deepen.parallel.ranks import Alone

NUM_BLOCKS = 13


class Work:
    """Each block adds its number times the rate, and a draw of its own, to one row of a table."""

    def __init__(self, *, fails_at=None, num_blocks=NUM_BLOCKS):
        self.network = nn.Linear(5, num_blocks, bias=False)
        nn.init.zeros_(self.network.weight)
        self.num_blocks, self.fails_at = num_blocks, fails_at
        self.seen, self.threads = [], set()
        self.table = np.zeros((num_blocks, 5), np.float32)

    def train(self, epoch, block, rates):
        self.seen.append((epoch, block, rates))
        self.threads.add(threading.get_ident())
        draw = rng.generator(7, "block", epoch, block).normal(size=5)
        self.table[block] = 0.5 * self.table[block] + rates[0] * draw
        return (float("nan") if (epoch, block) == self.fails_at else 1.0 / (epoch + 1)), 1

    def settle(self):
        self.network.weight.data.copy_(torch.from_numpy(self.table))

    def tensors(self):
        return dict(self.network.state_dict())

    def restore(self, tensors):
        self.table = tensors["weight"].numpy().copy()


def options(**changes):
    falling = ScheduleOptions(kind="polynomial", warm_up=0.0)
    base = FitOptions(epochs=3, batch_size=2, seed=3, checkpoint_every="1000s", schedule=falling)
    base = dataclasses.replace(base, **changes)
    return dataclasses.replace(base, optimizer=dataclasses.replace(base.optimizer, learning_rate=0.25))


def test_each_block_once_an_epoch_in_an_order_of_its_own_at_a_falling_rate():
    work = Work()
    fitted = fit_blocks(SmallTask(), work, None, options())
    epochs = [[block for epoch, block, _ in work.seen if epoch == e] for e in range(3)]
    assert all(sorted(each) == list(range(NUM_BLOCKS)) for each in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    rates = [rate for _, _, pair in work.seen for rate in pair]
    assert rates[0] == 0.25 and rates == sorted(rates, reverse=True) and rates[-1] < 0.02
    assert all(a[2][1] == pytest.approx(b[2][0], rel=1e-9) for a, b in zip(work.seen, work.seen[1:], strict=False))
    assert fitted.step == 3 * 7 and fitted.history[-1]["train_loss"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3, rel=1e-5)
    assert np.array_equal(fitted.model.weight.detach().numpy(), work.table) and work.table.any()


@pytest.mark.parametrize(("num_blocks", "batch_size"), [(13, 2), (13, 13), (17, 5), (5, 1), (3, 7)])
def test_steps_are_near_equal_parts_of_the_order(num_blocks, batch_size):
    work = Work(num_blocks=num_blocks)
    loop = _Loop(SmallTask(), work, None, options(batch_size=batch_size), Keeper(None, None), Silent(), Alone())
    wanted = np.array_split(rng.permutation(3, 0, num_blocks), loop.steps_per_epoch)
    for first in range(loop.steps_per_epoch):
        found = loop._steps(first, first + 3)
        assert [each.tolist() for each in found] == [each.tolist() for each in wanted[first : first + 3]]


@pytest.mark.parametrize("step", [1, 7, 11, 20])
def test_going_on_from_a_checkpoint_is_bit_for_bit_never_having_stopped(tmp_path, step):
    given = options(checkpoint_every="1ms")
    whole = Work()
    undisturbed = fit_blocks(SmallTask(), whole, None, given, folder=_folder(tmp_path / "whole"))
    folder = _folder(tmp_path / "cut")
    with pytest.raises(StopAt.Killed):
        fit_blocks(SmallTask(), Work(), None, given, folder=folder, events=StopAt(step))
    resumed = fit_blocks(SmallTask(), Work(), None, given, folder=folder, resume=has_checkpoint(folder))
    assert torch.equal(resumed.model.weight, undisturbed.model.weight)
    assert resumed.history == undisturbed.history
    lines = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "cut")]
    assert lines[0] == lines[1]


def test_several_threads_train_on_every_block_once():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        work = Work(num_blocks=97)
        fit_blocks(SmallTask(), work, None, options())
    finally:
        torch.set_num_threads(before)
    assert threading.get_ident() not in work.threads
    assert sorted((epoch, block) for epoch, block, _ in work.seen) == [(e, b) for e in range(3) for b in range(97)]
    alone = Work(num_blocks=97)
    fit_blocks(SmallTask(), alone, None, options())
    assert np.array_equal(alone.table, work.table), "blocks that share no row come to the same in any order"


def test_a_loss_that_is_no_number_ends_training_with_one_sentence(tmp_path):
    with pytest.raises(TrainingError, match=r"have run away at learning rate 0.25; train anew with a lower"):
        fit_blocks(SmallTask(), Work(fails_at=(1, 5)), None, options(), folder=_folder(tmp_path / "run"))


def test_tables_that_run_away_are_never_saved(tmp_path):
    work = Work()
    work.table[2, 3] = np.inf
    folder = _folder(tmp_path / "run")
    with pytest.raises(TrainingError, match="have run away"):
        fit_blocks(SmallTask(), work, None, options(checkpoint_every="1ms"), folder=folder)
    assert not list(folder.glob("checkpoint/*"))


def _folder(path):
    path.mkdir()
    return path
