from __future__ import annotations

import math
from dataclasses import replace

from deepen.report.history import history_table, pace_curves, training_curves
from tests.report.contents import plain


def test_a_chart_per_figure_loss_first_rate_last():
    charts = training_curves(plain())
    assert [chart.title for chart, _ in charts] == ["loss", "accuracy", "learning rate"]
    loss = charts[0][0]
    assert loss.lines == {"train": [(1.0, 2.0), (2.0, 1.0), (3.0, 2 / 3), (4.0, 0.5), (5.0, 0.4)]}
    assert loss.x_label == "epoch"


def test_train_and_val_of_one_figure_share_a_chart():
    history = [{"step": i, "train_loss": 1.0, "val_loss": 2.0} for i in range(1, 4)]
    ((chart, mark),) = training_curves(replace(plain(), history=history))
    assert list(chart.lines) == ["train", "val"]
    assert chart.x_label == "step"
    assert mark is None


def test_the_kept_weights_are_the_last_of_equals():
    marks = {chart.title: mark for chart, mark in training_curves(plain())}
    assert marks == {"loss": None, "accuracy": (4.0, 0.9), "learning rate": None}


def test_a_minimum_is_kept_where_less_is_better():
    history = [{"epoch": float(i), "val_rmse": value} for i, value in enumerate([3.0, 1.0, 2.0])]
    ((_, mark),) = training_curves(replace(plain(), history=history, objective=("rmse", "min")))
    assert mark == (1.0, 1.0)


def test_a_missing_number_is_a_gap():
    accuracy = training_curves(plain())[1][0].lines["val"]
    assert math.isnan(accuracy[2][1])
    assert [x for x, _ in accuracy] == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_one_evaluation_is_no_curve_but_a_row():
    content = replace(plain(), history=plain().history[:1])
    assert training_curves(content) == []
    assert history_table(content).rows == [[11, 1.0, 0.1, 2.0, 0.5]]


def test_pace_needs_two_points():
    (curve,) = pace_curves(plain())
    assert curve.lines["training"][0] == (2.0, 1001.0)
    assert pace_curves(replace(plain(), pace=plain().pace[:1])) == []
