"""The page of a study: its numbers are there, names are escaped, and charts follow the trials."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from xml.dom.minidom import parseString

from deepen.report.tuning import (
    DimensionRow,
    TrialRow,
    TuningPage,
    all_trials,
    best_options,
    gains,
    history,
    parallel,
    render,
    slices,
)

DIMENSIONS = [
    DimensionRow("optimizer.learning_rate", "0.0001..0.1:log", log_base=10),
    DimensionRow("network.dropout", "0..0.5"),
    DimensionRow("optimizer.kind", "sgd,<adamw>", is_number=False),
]
TRIALS = [
    TrialRow(0, "done", 0.7, {"optimizer.learning_rate": 0.001, "network.dropout": 0.0, "optimizer.kind": "sgd"}, 3.0),
    TrialRow(1, "pruned", 0.2, {"optimizer.learning_rate": 0.1, "network.dropout": 0.3, "optimizer.kind": "sgd"}, 1.0),
    TrialRow(2, "done", 0.6, {"optimizer.learning_rate": 0.01, "network.dropout": 0.5, "optimizer.kind": "sgd"}, 3.0),
    TrialRow(
        3, "done", 0.9, {"optimizer.learning_rate": 0.0001, "network.dropout": 0.25, "optimizer.kind": "<adamw>"}, 3.0,
        is_best=True,
    ),
]  # fmt: skip
PAGE = TuningPage(
    title="<digits> · lenet",
    task="image-classification",
    data="<digits>",
    objective=("accuracy", "max"),
    command="deepen train image-classification '<digits>' --config runs/x/best.json",
    run="trials/003",
    dimensions=DIMENSIONS,
    trials=TRIALS,
    metrics={
        "default": {"val": {"accuracy": 0.7}, "test": {"accuracy": 0.65}},
        "best": {"val": {"accuracy": 0.9}, "test": {"accuracy": 0.6125}},
    },
    importance={"optimizer.learning_rate": 0.75, "network.dropout": 0.25},
)


def test_the_difference_is_taken_on_each_split() -> None:
    assert gains(PAGE).rows == [["val: accuracy", 0.7, 0.9, "+0.2000"], ["test: accuracy", 0.65, 0.6125, "-0.0375"]]
    assert best_options(PAGE).rows[0] == ["optimizer.learning_rate", "0.0001..0.1:log", "0.001", "0.0001"]


def test_history_follows_the_finished_trials_and_the_best_so_far() -> None:
    found = history(PAGE)
    assert found.lines == {"best so far": [(0, 0.7), (2, 0.7), (3, 0.9)], "trial": [(0, 0.7), (2, 0.6), (3, 0.9)]}
    assert "1 trial stopped early" in found.note
    falling = history(replace(PAGE, objective=("rmse", "min")))
    assert [value for _, value in falling.lines["best so far"]] == [0.7, 0.6, 0.6]


def test_slices_are_of_numbers_and_logarithms() -> None:
    rate, dropout = slices(PAGE)
    assert rate.points == [(-3.0, 0.7), (-2.0, 0.6), (-4.0, 0.9)]
    assert rate.x_label == "log10 of optimizer.learning_rate"
    assert dropout.points == [(0.0, 0.7), (0.5, 0.6), (0.25, 0.9)]


def test_parallel_axes() -> None:
    """Each line has one point per axis; heights worked out by hand: the axes run from 246 (low) up to 40 (high)."""
    drawn = parallel(PAGE)
    parsed = parseString(re.search(r"<svg.*</svg>", drawn, re.DOTALL)[0])  # type: ignore[index]
    lines = parsed.getElementsByTagName("polyline")
    assert [line.getAttribute("class") for line in lines] == ["behind", "behind", "line s0"]
    best = [tuple(map(float, point.split(","))) for point in lines[-1].getAttribute("points").split()]
    assert best == [(55, 246), (165, 143), (275, 246), (385, 40)]  # rate lowest, dropout half way, "<" before "s", best
    assert math.isclose(float(lines[0].getAttribute("points").split()[0].split(",")[1]), 246 - 206 / 2, abs_tol=0.1)
    assert parallel(replace(PAGE, trials=TRIALS[:1])) == ""


def test_the_page_escapes_names_and_allows_nothing_but_itself() -> None:
    text = render(PAGE)
    assert "<digits>" not in text
    assert "&lt;digits&gt; · lenet" in text
    assert "default-src &#39;none&#39;" in text
    assert "<script" not in text
    assert "0.6125" in text
    assert text.count("<svg") >= 4
    assert "Other workers" not in text
    assert "Other workers still had 2 trials in hand" in render(replace(PAGE, others=2))
    assert render(PAGE) == text
    assert [row[2] for row in all_trials(PAGE).rows] == ["done", "ended early", "done", "best"]
