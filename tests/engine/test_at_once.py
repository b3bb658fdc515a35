"""A model made in one go: recorded once, also where a run goes on."""

from __future__ import annotations

import pytest
import torch
from small_task import SmallTask, points

from deepen.bundle import records
from deepen.engine.at_once import made_at_once
from deepen.engine.evaluate import evaluate
from deepen.engine.events import Silent
from deepen.parallel.ranks import Alone

CPU = torch.device("cpu")


class Told(Silent):
    def __init__(self):
        self.messages, self.records = [], []

    def message(self, text):
        self.messages.append(text)

    def evaluated(self, record):
        self.records.append(record)


def test_one_record_and_no_second_one_where_it_goes_on(tmp_path):
    task, val, told = SmallTask(), points(53, 2), Told()
    torch.manual_seed(3)
    network = task.build()

    def made(resume):
        return made_at_once(
            task,
            lambda: (network, ["counted."]),
            points(97, 1),
            val,
            folder=tmp_path,
            elsewhere=None,
            resume=resume,
            device=CPU,
            ranks=Alone(),
            events=told,
        )

    found = made(False)
    again = made(True)
    expected = evaluate(task, network, val, device=CPU, ranks=Alone()).result()["accuracy"]
    assert found.history == again.history == records.read_metrics(tmp_path) == told.records[:1]
    assert found.history[0]["val_accuracy"] == pytest.approx(expected, rel=1e-5)
    assert told.messages == ["counted."] * 2 and found.model is network and not network.training
