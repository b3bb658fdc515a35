"""Table regression: the way to the learned scale and back."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from deepen.data.columns import with_origin
from deepen.data.dataset import Dataset
from deepen.data.target import mark_target
from deepen.models import tabm
from deepen.ops.losses import huber_sum, squared_error_sum
from deepen.prepare.encoded import Draws
from deepen.tasks.tabular_regression import Options, Task, learn, schema

SMALL = tabm.Options(members=3, width=5, dropout=0.0)


class Fixed(torch.nn.Module):
    """Says one number in the learned scale, whatever the row."""

    def forward(self, numbers, categories):
        return torch.full((len(numbers), 1), 0.25)


def table(count=60, y=None):
    prices = [f"{np.exp(3 * np.sin(row) ** 3 + row / 40):.6f}" for row in range(count)]
    columns = {"n": [f"{row * 7 % 31}.5" for row in range(count)], "y": y or prices}
    made = pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()})
    return mark_target(with_origin(made, [f"t.csv, row {row + 2}" for row in range(count)]), "y")


def learned(made, options=None):
    options = options or Options()
    faults = []
    return Task(options, learn(options, made, Dataset("t", "", {"all": made}), faults), SMALL), faults


@pytest.mark.parametrize(("transform", "objective"), [("log", "rmse_log"), ("none", "rmse")])
def test_answers_are_on_the_scale_of_the_column(transform, objective):
    made = table()
    task, _ = learned(made, Options(target_transform=transform))
    assert task.objective == (objective, "min") and not schema(Options()).is_category
    encoded = task.encode(made, "test", [])
    values = encoded.tensors["truth"].numpy()
    scale = np.log(values) if transform == "log" else values
    expected = scale.mean() + 0.25 * scale.std()
    expected = np.exp(expected) if transform == "log" else expected
    answers = task.answer(Fixed(), task.batch(encoded, np.arange(3), None), ["a", "b", "c"])
    assert [answer.source for answer in answers] == ["a", "b", "c"]
    assert answers[0].value == pytest.approx(expected, rel=1e-9)
    metrics = task.metrics()
    task.score(Fixed(), task.batch(encoded, np.arange(60), None), metrics)
    result = metrics.result()
    assert result["rmse"] == pytest.approx(np.sqrt(np.mean((values - expected) ** 2)), rel=1e-6)
    if transform == "log":
        assert result["rmse_log"] == pytest.approx(np.sqrt(np.mean(np.log(expected / values) ** 2)), rel=1e-6)


def test_targets_that_are_no_numbers_are_left_out():
    cells = table().column("y").to_pylist()
    cells[4], cells[9] = "", "abc"
    made = table(y=cells)
    task, _ = learned(made)
    faults = []
    encoded = task.encode(made, "train", faults)
    assert len(encoded) == 58 and [(fault.row, fault.kind) for fault in faults] == [
        (4, "target-empty"),
        (9, "target-bad"),
    ]
    assert torch.isfinite(encoded.tensors["learned"]).all()
    assert len(task.encode(made.drop_columns(["y"]), "predict", [])) == 60


@pytest.mark.parametrize(("loss", "error"), [("mse", squared_error_sum), ("huber", huber_sum)])
def test_the_loss_is_the_mean_of_the_members(loss, error):
    made = table()
    task, _ = learned(made, Options(loss=loss))
    encoded = task.encode(made, "train", [])
    torch.manual_seed(0)
    model = task.build().train()
    batch = task.batch(encoded, np.arange(13), Draws(0, 0))
    each = model(batch["numbers"], batch["categories"])
    expected = sum(error(each[:, m, 0], batch["learned"]) for m in range(3)) / 3
    assert torch.allclose(task.loss(model, batch).sum, expected)


def test_the_logarithm_is_said():
    _, faults = learned(table())
    assert "target-log" in [fault.kind for fault in faults]
