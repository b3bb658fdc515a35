"""Unlabelled samples beside labelled ones: orders that hold each row once, and losses of the teacher alone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from deepen.compress import distil
from deepen.compress.further import Beside, Drawn, Found, completed, spread
from deepen.engine.task import Terms
from deepen.ops.combine import mean_class_logits
from deepen.ops.losses import Loss
from deepen.prepare.encoded import Batch, Draws, Encoded


class Plain:
    """A task of three classes on a tensor `x`, whose labels can weigh."""

    terms = Terms("y", ("a", "b", "c"))
    objective = ("accuracy", "max")

    def build(self):
        return nn.Linear(5, 3)

    def batch(self, encoded, rows, draws):
        return Batch(encoded.take(rows), len(rows), rows)

    def outputs(self, model, batch):
        return model(batch["x"])

    def loss(self, model, batch):
        return Loss(F.cross_entropy(self.outputs(model, batch), batch["label"], reduction="sum"))

    combine = staticmethod(mean_class_logits)

    def metrics(self): ...
    def score(self, model, batch, metrics): ...
    def score_outputs(self, outputs, batch, metrics): ...
    def answer(self, model, batch, sources): ...
    def answer_outputs(self, outputs, batch, sources): ...
    def figures(self, metrics, encoded): ...
    def encode(self, table, split, faults): ...


class InTurn(Plain):
    """The same with an order of its own."""

    def order(self, encoded, num_batches, *, seed, epoch):
        return np.array_split(np.arange(len(encoded)), num_batches)


def samples(count: int, *, labelled: bool = True) -> Encoded:
    generator = torch.Generator().manual_seed(count)
    tensors = {"x": torch.randn(count, 5, generator=generator)}
    if labelled:
        tensors["label"] = torch.randint(3, (count,), generator=generator)
    return Encoded(tensors, pa.table({"source": [f"row {i}" for i in range(count)]}))


@pytest.mark.parametrize("task", [Plain(), InTurn()])
def test_orders_hold_each_row_once_and_no_batch_of_both_kinds(task):
    draw = np.random.default_rng(0)
    for _ in range(60):
        first, second = (int(each) for each in draw.integers(1, 40, 2))
        beside = Beside(samples(first), Found(samples(second, labelled=False)))
        num_batches = int(draw.integers(2, first + second + 1))
        found = beside.order(task, num_batches, seed=1, epoch=2)
        assert len(found) == num_batches and all(len(rows) for rows in found)
        assert sorted(np.concatenate(found).tolist()) == list(range(first + second))
        assert all((rows < first).all() or (rows >= first).all() for rows in found)
        again = beside.order(task, num_batches, seed=1, epoch=2)
        assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))


def test_both_kinds_are_spread_evenly():
    assert "".join(spread("abcd", "xy")) == "axbcyd" and "".join(spread("a", "uvwxyz")) == "uvwaxyz"


def test_of_unlabelled_samples_the_teacher_alone_is_learned():
    task, teacher, student = Plain(), Plain().build(), Plain().build()
    labelled, others = samples(11), samples(7, labelled=False)
    beside = Beside(labelled, Found(completed(others, labelled)))
    pupil = distil.taught(task, teacher, distil.Teaching(temperature=2.0, weight=0.4), beside)
    assert len(beside) == 18 and beside.source(3) == "row 3" and beside.source(12) == "unlabelled sample 2"

    def taught(x):
        p, q = torch.softmax(student(x) / 2, 1), torch.softmax(teacher(x) / 2, 1)
        return 4 * (q * (q / p).log()).sum()

    batch = pupil.batch(beside, np.array([12, 17]), Draws(0, 0))
    assert torch.equal(batch["x"], others.tensors["x"][[1, 6]]) and batch.rows.tolist() == [12, 17]
    assert pupil.loss(student, batch).sum.item() == pytest.approx(taught(batch["x"]).item(), rel=1e-5)
    batch = pupil.batch(beside, np.array([2, 9]), Draws(0, 0))
    own = F.cross_entropy(student(batch["x"]), labelled.tensors["label"][[2, 9]], reduction="sum")
    right = 0.4 * taught(batch["x"]) + 0.6 * own
    assert pupil.loss(student, batch).sum.item() == pytest.approx(right.item(), rel=1e-5)
    plain = distil.taught(task, teacher, distil.Teaching(temperature=2.0, weight=0.4))
    assert plain.loss(student, batch).sum.item() == pytest.approx(right.item(), rel=1e-5)


def test_drawn_samples_are_drawn_once_for_each_epoch():
    asked = []

    def draw(seed, epoch):
        asked.append((seed, epoch))
        return samples(5 + epoch, labelled=False)

    drawn = Drawn(5, draw)
    for epoch in (0, 0, 1, 1, 0):
        assert len(drawn.at(3, epoch)) == 5 + epoch
    assert asked == [(3, 0), (3, 1), (3, 0)] and len(drawn) == 5


def test_what_stands_for_missing_targets():
    labelled = samples(11)
    like = Encoded({**labelled.tensors, "pixels": torch.zeros(11, 4, 4, 1, dtype=torch.uint8)}, labelled.table)
    found = completed(samples(7, labelled=False), like)
    assert found.tensors["label"].tolist() == [0] * 7 and found.tensors["label"].dtype == torch.int64
    assert set(found.tensors) == {"x", "label"}  # pictures that are read batch by batch stay so


def test_side_branches_learn_from_the_teacher_too():
    from deepen.ops.auxiliary import Auxiliary

    class Branched(nn.Module):
        def __init__(self):
            super().__init__()
            self.main, self.side = nn.Linear(5, 3), nn.Linear(5, 3)

        def forward(self, x):
            return Auxiliary(self.main(x), (self.side(x),), 0.3) if self.training else self.main(x)

    teacher, student, encoded = Plain().build(), Branched(), samples(6)
    pupil = distil.taught(Plain(), teacher, distil.Teaching(temperature=1.0, weight=1.0))
    x = encoded.tensors["x"]
    q = torch.softmax(teacher(x), 1)
    main, side = ((q * (q.log() - torch.log_softmax(part(x), 1))).sum() for part in (student.main, student.side))
    found = pupil.loss(student, pupil.batch(encoded, np.arange(6), Draws(0, 0))).sum.item()
    assert found == pytest.approx((main + 0.3 * side).item(), rel=1e-5)
