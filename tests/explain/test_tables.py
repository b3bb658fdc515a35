"""Explaining a network over rows through the task's contract alone, with functions whose answers are known."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from deepen.core.errors import OptionError
from deepen.core.figures import Bars, Curves, Rows
from deepen.data.columns import with_origin
from deepen.engine.task import Terms
from deepen.explain.explaining import ExplainOptions, Request, Unfit
from deepen.explain.tables import TableExplainer
from deepen.metrics.classify import Classification
from deepen.metrics.regress import Regression
from deepen.prepare import tabular
from deepen.prepare.encoded import Encoded

N = 97


class Known(nn.Module):
    """4 a + 2 [town is "b"], of the encoded inputs; b and day count for nothing."""

    def forward(self, numbers, categories):
        return 4 * numbers[:, 0] + 2 * (categories[:, 0] == 2)


@dataclass
class RowTask:
    """What the explainer asks of a task; with labels, the number is the second class's logit."""

    terms: Terms
    objective: tuple[str, str] = ("rmse", "min")
    calls: list[int] = field(default_factory=list)

    def outputs(self, model, batch):
        self.calls.append(len(batch["numbers"]))
        values = model(batch["numbers"], batch["categories"])
        if not self.terms.labels:
            return values.double()
        return torch.stack([values * 0, values, values * 0 - 5][: len(self.terms.labels)], dim=1)

    def metrics(self):
        return Classification(len(self.terms.labels)) if self.terms.labels else Regression()

    def score(self, model, batch, metrics):
        metrics.add(self.outputs(model, batch), batch["truth"], batch.rows)


def made(labels=(), explained=(5, 2), *, has_targets=True, **options):
    draw = np.random.default_rng(4)
    a, town = draw.normal(size=N), draw.integers(0, 3, N)
    columns = {
        "a": [f"{value:.4f}" for value in a],
        "b": [f"{value:.4f}" for value in draw.normal(size=N)],
        "day": [f"20{row % 20 + 10}-03-1{row % 10}" for row in range(N)],
        "town": [("a", "b", "c")[each] for each in town],
        "y": ["1", "2"] * 48 + ["1"],
    }
    made_of = {name: pa.array(cells, pa.string()) for name, cells in columns.items()}
    table = with_origin(pa.table(made_of), [f"t.csv, row {row + 2}" for row in range(N)])
    state = tabular.learn(table, "y", tabular.ColumnOptions(), [])
    numbers, categories, _ = tabular.encode(table, state, "train", [])
    tensors = {"numbers": torch.from_numpy(numbers), "categories": torch.from_numpy(categories)}
    values = Known()(tensors["numbers"], tensors["categories"])
    truth = (values > 0).long() if labels else values.double() + 0.01
    objective = ("cross_entropy", "min") if labels else ("rmse", "min")
    task = RowTask(Terms("y", labels), objective)
    encoded = Encoded({**tensors, "truth": truth}, table)
    told: list[float] = []
    request = Request(
        task, Known().eval(), torch.device("cpu"), encoded, np.array(explained), has_targets, encoded,
        ExplainOptions(**options), told.append,
    )  # fmt: skip
    return TableExplainer(task, state, truth="truth"), request, told


def test_permutation_finds_the_planted_columns_and_gives_nothing_to_noise():
    explainer, request, told = made(repeats=7)
    found = explainer.methods["permutation"].call(request)
    columns = found.numbers["columns"]
    assert list(columns)[:2] == ["a", "town"] and columns["a"]["importance"] > 3
    assert columns["b"]["importance"] == columns["day"]["importance"] == 0  # not even by rounding
    assert found.numbers["value"] == pytest.approx(0.01, rel=1e-3) and told[-1] == 1
    bars, table = found.figures
    assert isinstance(bars, Bars) and bars.label == "rise of rmse" and bars.names[0] == "a"
    assert isinstance(table, Rows) and table.columns[:2] == ["column", "rmse"]


def test_permutation_importance_is_the_mean_over_its_own_shuffles():
    """The same by hand: shuffle the encoded column, take the error, for each of the draws that the seed gives."""
    from deepen.core import rng

    explainer, request, _ = made(repeats=3, seed=5)
    found = explainer.methods["permutation"].call(request).numbers["columns"]["town"]
    encoded, errors = request.encoded.tensors, []
    for k in range(3):
        order = torch.from_numpy(rng.generator(5, "shuffle", "town", k).permutation(N))
        answers = Known()(encoded["numbers"], encoded["categories"][order]).double()
        errors.append(float((answers - encoded["truth"]).pow(2).mean().sqrt()) - 0.01)
    assert found["importance"] == pytest.approx(np.mean(errors), rel=1e-4)
    assert found["deviation"] == pytest.approx(np.std(errors, ddof=1), rel=1e-3)


def test_better_means_larger_where_the_objective_says_so():
    explainer, request, _ = made(("no", "yes"))
    request.task.objective = ("accuracy", "max")
    found = explainer.methods["permutation"].call(request)
    assert found.numbers["columns"]["a"]["importance"] > 0.1 and found.figures[0].label == "fall of accuracy"


def test_partial_dependence_of_a_sum_is_its_term_plus_a_constant():
    explainer, request, told = made(curves=("a", "town", "day"), grid=11, rows=31)
    found = explainer.methods["partial-dependence"].call(request)
    assert [type(figure) for figure in found.figures] == [Curves, Curves, Bars] and told[-1] == 1
    curve = found.numbers["a"]
    encoded = request.encoded.tensors["numbers"][:, 0]
    raw = np.array([float(cell) for cell in request.encoded.table.column("a").to_pylist()])
    assert len(curve["values"]) == 11 and curve["values"][0] == raw.min() and curve["values"][-1] == raw.max()
    at = [float(encoded[int(np.flatnonzero(raw == value)[0])]) for value in curve["values"]]
    means = np.array(curve["mean"]["y"])
    np.testing.assert_allclose(means - means[0], 4 * (np.array(at) - at[0]), atol=1e-4)
    assert np.ptp(found.numbers["day"]["mean"]["y"]) == pytest.approx(0, abs=1e-6)
    towns = dict(zip(found.numbers["town"]["values"], found.numbers["town"]["mean"]["y"], strict=True))
    assert towns["b"] - towns["a"] == pytest.approx(2, abs=1e-5) and towns["a"] == pytest.approx(towns["c"])
    assert found.tensors["a"].shape == (11, 31, 1) and len(found.figures[0].behind) == 31


def test_by_default_the_columns_that_move_the_answer_are_drawn_first():
    explainer, request, _ = made()
    names = [figure.title.removeprefix("Partial dependence on ") for figure in
             explainer.methods["partial-dependence"].call(request).figures]  # fmt: skip
    assert names[:2] == ["a", "town"]


def test_classes_have_a_line_each_or_that_of_the_class_asked_for():
    explainer, request, _ = made(("no", "yes", "never"), curves=("a", "town"))
    curve, table = explainer.methods["partial-dependence"].call(request).figures
    assert list(curve.lines) == ["no", "yes", "never"] and curve.behind == []
    assert table.columns == ["town", "no", "yes", "never"]
    assert sum(table.rows[0][1:]) == pytest.approx(1, abs=1e-6)
    explainer, request, _ = made(("no", "yes", "never"), curves=("a",), of_class="never")
    (curve,) = explainer.methods["partial-dependence"].call(request).figures
    assert list(curve.lines) == ["never"] and curve.behind


def test_shapley_values_of_a_sum_are_exact_and_add_up():
    explainer, request, _ = made(references=13, orders=2)
    found = explainer.methods["shapley"].call(request)
    encoded = request.encoded.tensors
    drawn = explainer._references(request)
    for row in (5, 2):
        told = found.by_row[row]
        shares = told["columns"]
        assert sum(shares.values()) == pytest.approx(told["value"] - told["reference"], abs=1e-9)
        assert shares["a"] == pytest.approx(4 * float(encoded["numbers"][row, 0] - drawn[:, 0].mean()), abs=1e-5)
        is_b = float(encoded["categories"][row, 0] == 2)
        assert shares["town"] == pytest.approx(2 * (is_b - float((drawn[:, -1] == 2).float().mean())), abs=1e-6)
        assert abs(shares["b"]) < 1e-6 and abs(shares["day"]) < 1e-6
        (bars,) = found.panels[row]
        cell = request.encoded.table.column("a")[row].as_py()
        assert f"a = {cell}" in bars.names[:2]


def test_occlusion_of_a_column_is_the_answer_minus_its_mean_without_it():
    explainer, request, _ = made(("no", "yes"), explained=(7,), references=17)
    told = explainer.methods["occlusion"].call(request).by_row[7]
    vectors, drawn = explainer._vectors(request.encoded), explainer._references(request)
    index = 1 if told["of"] == "yes" else 0

    def probability(x):
        values = 4 * x[:, 0] + 2 * (x[:, -1] == 2)
        return torch.stack([values * 0, values], dim=1).softmax(1)[:, index]

    changed = vectors[7].repeat(17, 1)
    changed[:, 0] = drawn[:, 0]
    expected = float(probability(vectors[7:8])[0] - probability(changed).mean())
    assert told["columns"]["a"] == pytest.approx(expected, abs=1e-6)
    assert told["value"] == pytest.approx(float(probability(vectors[7:8])[0]), abs=1e-6)


def test_no_batch_is_larger_than_stated(monkeypatch):
    monkeypatch.setattr("deepen.explain.tables.ROWS_AT_ONCE", 19)
    explainer, request, _ = made(repeats=2, orders=1)
    results = {name: method.call(request).numbers for name, method in explainer.methods.items()}
    assert max(request.task.calls) <= 19
    monkeypatch.setattr("deepen.explain.tables.ROWS_AT_ONCE", 10_000)
    explainer, request, _ = made(repeats=2, orders=1)
    again = explainer.methods["permutation"].call(request).numbers
    for name, told in results["permutation"]["columns"].items():
        assert told["importance"] == pytest.approx(again["columns"][name]["importance"], abs=1e-6)


def test_what_does_not_fit_is_said_in_one_sentence():
    explainer, request, _ = made(curves=("towm",))
    with pytest.raises(OptionError, match=r"--curves towm: no column of that name .*; did you mean town\?"):
        explainer.methods["partial-dependence"].call(request)
    explainer, request, _ = made(of_class="yes")
    with pytest.raises(OptionError, match="--of-class yes: this run answers none of named classes"):
        explainer.methods["shapley"].call(request)
    encoded = request.encoded
    one = Encoded({name: tensor[:1] for name, tensor in encoded.tensors.items()}, encoded.table.slice(0, 1))
    for name in ("permutation", "partial-dependence"):
        with pytest.raises(Unfit, match=f"--method {name}: .*two rows"):
            explainer.methods[name].call(Request(**{**vars(request), "encoded": one}))
