"""Pruning by magnitude, distilling, averaging, wishes: values by hand, and properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from deepen.compress import average, budget, changes, distil, magnitude
from deepen.compress.options import refuse_unread, require_order
from deepen.core.errors import OptionError, RunError
from deepen.engine.task import Terms
from deepen.ops.combine import mean_class_logits
from deepen.ops.losses import Loss
from deepen.prepare.encoded import Batch, Draws, Encoded

pa = pytest.importorskip("pyarrow")


def test_exactly_the_smallest_go():
    weights = {"a": torch.tensor([[1.0, -5.0], [0.5, 4.0]]), "b": torch.tensor([[0.1, 3.0]])}
    kept = magnitude.masks(weights, 0.5)
    assert kept["a"].tolist() == [[False, True], [False, True]] and kept["b"].tolist() == [[False, True]]
    by_layer = magnitude.masks(weights, 0.5, by_layer=True)
    assert by_layer["b"].tolist() == [[False, True]] and by_layer["a"].sum() == 2


def test_the_pace_is_cubic():
    assert magnitude.sparsity_at(0.35, 0.8, gradual=True) == pytest.approx(0.8 * (1 - 0.5**3))
    assert magnitude.sparsity_at(0.0, 0.8, gradual=False) == 0.8


def test_what_is_zero_stays_zero_while_more_go():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(17, 13), nn.Linear(13, 5))
    pruning, before = magnitude.Pruning(0.7, gradual=True, by_layer=False), torch.zeros(13, 17, dtype=torch.bool)
    for progress in np.linspace(0, 1, 11):
        with torch.no_grad():
            network[0].weight.add_(0.01 * torch.randn(13, 17))
        pruning(network, float(progress))
        now = network[0].weight == 0
        assert bool((now | ~before).all())
        before = now
    assert magnitude.zeros(network) == pytest.approx(0.7, abs=1 / 200)


class Plain:
    """A task of three classes on a tensor `x`."""

    terms = Terms("y", ("a", "b", "c"))
    objective = ("accuracy", "max")

    def build(self):
        return nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 3))

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


@pytest.fixture
def samples():
    torch.manual_seed(1)
    tensors = {"x": torch.randn(31, 5), "label": torch.randint(0, 3, (31,))}
    return Encoded(tensors, pa.table({"source": [str(i) for i in range(31)]}))


def test_the_loss_by_hand(samples):
    task, teacher, student = Plain(), Plain().build(), Plain().build()
    rows = np.arange(4)
    lesson = distil.taught(task, teacher, distil.Teaching(temperature=3.0, weight=0.6))
    found = float(lesson.loss(student, lesson.batch(samples, rows, None)).sum.detach())
    x, y = samples.tensors["x"][:4], samples.tensors["label"][:4]
    p, q = torch.softmax(student(x) / 3, 1), torch.softmax(teacher(x) / 3, 1)
    by_hand = 0.6 * 9 * (q * (q / p).log()).sum() + 0.4 * F.cross_entropy(student(x), y, reduction="sum")
    assert found == pytest.approx(by_hand.item(), rel=1e-5)


def test_classes_that_do_not_exclude_each_other_are_learned_one_by_one(samples):
    class Many(Plain):
        @staticmethod
        def combine(outputs, weights):
            return torch.logit(sum(torch.sigmoid(o) * w for o, w in zip(outputs, weights, strict=True)))

    teacher, student, rows = Plain().build(), Plain().build(), np.arange(4)
    lesson = distil.taught(Many(), teacher, distil.Teaching(temperature=2.0, weight=1.0))
    x = samples.tensors["x"][:4]
    right = 4 * F.binary_cross_entropy_with_logits(student(x) / 2, torch.sigmoid(teacher(x) / 2), reduction="sum")
    assert float(lesson.loss(student, lesson.batch(samples, rows, None)).sum.detach()) == pytest.approx(
        float(right), rel=1e-5
    )


def test_a_teacher_is_asked_once_about_each_version_of_a_sample(samples):
    """Of 3 versions: epochs 3 to 6 take those of 0 to 2 and 0, in batches that are cut otherwise, without asking."""

    class Moving(Plain):
        def batch(self, encoded, rows, draws):
            moved = encoded.take(rows)["x"] + (draws.epoch if draws else 0) * torch.from_numpy(rows)[:, None].float()
            return Batch({**encoded.take(rows), "x": moved}, len(rows), rows)

    asked = []
    teacher, student = Plain().build(), Plain().build()
    teacher.register_forward_hook(lambda module, given, output: asked.append(len(output)))
    keeping = distil.taught(Moving(), teacher, distil.Teaching(copies=3))
    each_time = distil.taught(Moving(), teacher, distil.Teaching())
    for epoch in range(7):
        for rows in np.array_split(np.roll(np.arange(31), epoch), 3 + epoch):
            before = len(asked)
            batch = keeping.batch(samples, rows, Draws(3, epoch))
            loss = keeping.loss(student, batch).sum
            assert (len(asked) > before) == (epoch < 3)
            same = each_time.loss(student, each_time.batch(samples, rows, Draws(3, epoch % 3))).sum
            assert float(loss.detach()) == pytest.approx(float(same.detach()), rel=1e-5)
    with torch.no_grad():
        keeping.loss(student, keeping.batch(samples, np.arange(5), None))
    assert asked[-1] == 5  # outside of training it is asked
    hinted = distil.taught(Moving(), teacher, distil.Teaching(copies=3, hints=distil.hints_of(["0:0"])))
    moved = hinted.batch(samples, np.arange(5), Draws(3, 4))["x"]
    assert torch.equal(moved, each_time.batch(samples, np.arange(5), Draws(3, 4))["x"])  # hints ask anew each time


@pytest.mark.parametrize("inputs", ["munge", "gaussian"])
def test_made_up_inputs_are_a_function_of_the_row_and_epoch(samples, inputs):
    lesson = distil.taught(Plain(), Plain().build(), distil.Teaching(inputs=inputs))
    whole = lesson.batch(samples, np.arange(6), Draws(3, 1))["x"]
    part = lesson.batch(samples, np.array([4, 2]), Draws(3, 1))["x"]
    assert torch.allclose(whole[[4, 2]], part) and not torch.equal(whole, samples.tensors["x"][:6])
    assert not torch.equal(whole, lesson.batch(samples, np.arange(6), Draws(3, 2))["x"])
    assert torch.equal(lesson.batch(samples, np.arange(6), None)["x"], samples.tensors["x"][:6])


def test_a_hint_pulls_the_layers_together(samples):
    teaching = distil.Teaching(weight=0.0, hints=distil.hints_of(["0:0"]), hint_weight=2.0)
    teacher = Plain().build()
    lesson = distil.taught(Plain(), teacher, teaching)
    student = lesson.build()
    x, y = samples.tensors["x"][:4], samples.tensors["label"][:4]
    apart = (student.maps[0](student.student[0](x)) - teacher[0](x)).square().mean(1).sum()
    right = 2 * apart + F.cross_entropy(student(x), y, reduction="sum")
    assert float(lesson.loss(student, lesson.batch(samples, np.arange(4), None)).sum.detach()) == pytest.approx(
        float(right), rel=1e-5
    )
    assert set(distil.plain(student).state_dict()) == set(Plain().build().state_dict())


def test_wrong_hints_are_refused(samples):
    with pytest.raises(OptionError, match=r"--hints first: expected STUDENT_LAYER:TEACHER_LAYER"):
        distil.hints_of(["first"])
    teaching = distil.Teaching(hints=(("0", "none"),))
    with pytest.raises(OptionError, match=r"--hints: the network has no layer 'none'"):
        distil.taught(Plain(), Plain().build(), teaching).build()


def test_the_mean_and_the_greedy_soup():
    states = [{"w": torch.tensor([v]), "n": torch.tensor(7)} for v in (1.0, 3.0, -50.0)]
    assert average.mean(states[:2]) == {"w": torch.tensor([2.0]), "n": torch.tensor(7)}
    soup, taken = average.greedy(states, lambda state: -abs(float(state["w"]) - 1.9))
    assert taken == [0, 1] and float(soup["w"]) == 2.0
    with pytest.raises(RunError, match="b: has another network than a"):
        average.require_alike([{"w": torch.zeros(2)}, {"w": torch.zeros(3)}], ["a", "b"])


def test_statistics_are_those_of_the_data():
    network, x = nn.Sequential(nn.BatchNorm1d(3)), torch.randn(40, 3) * 5 + 2
    average.learn_statistics(network, [lambda each, part=part: each(part) for part in x.split(20)])
    assert torch.allclose(network[0].running_mean, x.mean(0), atol=1e-5) and network[0].momentum == 0.1


@pytest.mark.parametrize(
    ("text", "limit", "is_met"),
    [
        ("latency<2ms", 2.0, True),
        ("size<0.5kB", 500.0, False),
        ("accuracy>-1%", 0.792, True),
        ("accuracy>0.8", 0.8, False),
    ],
)
def test_wishes(text, limit, is_met):
    wish, before = budget.wish_of(text), {"latency": 5.0, "size": 900.0, "accuracy": 0.8}
    assert wish.limit_for(before) == pytest.approx(limit)
    assert wish.is_met({"latency": 1.5, "size": 600.0, "accuracy": 0.795}, before) is is_met


@pytest.mark.parametrize("text", ["latency", "latency=2", "accuracy>1ms", "size<3parsec"])
def test_what_is_no_wish_is_refused(text):
    with pytest.raises(OptionError, match="--budget"):
        budget.wish_of(text)


def test_the_front_against_all_pairs():
    points = np.random.default_rng(0).random((53, 2))
    slow = [i for i, p in enumerate(points) if not any(q[0] < p[0] and q[1] > p[1] for q in points)]
    assert sorted(budget.front([(float(a), float(b)) for a, b in points])) == slow


def test_the_best_by_the_wish():
    figures = [{"latency": 4.0, "size": 9.0, "accuracy": 0.9}, {"latency": 1.0, "size": 3.0, "accuracy": 0.7},
               {"latency": 2.0, "size": 5.0, "accuracy": 0.89}]  # fmt: skip
    own = {"objective": "accuracy", "direction": "max"}
    assert budget.best(figures, budget.wish_of("latency<2ms"), **own) == 2
    assert budget.best(figures, budget.wish_of("accuracy>-2%"), **own) == 2
    assert budget.best(figures, budget.wish_of("latency<0.5ms"), **own) is None


def test_options_that_nothing_reads_are_refused():
    with pytest.raises(OptionError, match="--energy: only low-rank read it, not int8"):
        refuse_unread({"energy"}, ("int8",), flags=True)
    with pytest.raises(OptionError, match="int8 comes last"):
        require_order(("int8", "channels"))
    with pytest.raises(OptionError, match="distil begins from whole runs"):
        require_order(("channels", "distil"))


def test_a_task_without_changes_is_itself():
    task = Plain()
    assert changes.with_changes(task, []) is task
    changed = changes.with_changes(task, [{"step": "low-rank", "ranks": {"0": 2}}])
    assert isinstance(changed, Plain) and changed.build()[0].inner.weight.shape == (2, 5)
    assert task.build()[0].weight.shape == (7, 5)
    with pytest.raises(ValueError, match="0 has no rank 3"):
        changes.with_changes(task, [{"step": "low-rank", "ranks": {"0": 3}}]).build()
