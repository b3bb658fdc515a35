"""The words, the tables and the page of a comparison."""

from __future__ import annotations

import html
import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from deepen.metrics.paired import Difference
from deepen.report import forest
from deepen.report.comparison import (
    NO_OPTION,
    Comparison,
    Pair,
    Side,
    cost_rows,
    curves,
    figure_names,
    option_words,
    options_table,
    pairs_table,
    render,
    verdict,
    write_page,
)

HOSTILE = "<script>alert('x')</script>"


def side(name: str, accuracy: float, **changes) -> Side:
    history = [{"epoch": epoch, "train_loss": 1 / epoch, "val_accuracy": accuracy} for epoch in (1, 2, 3)]
    given = {
        "folder": f"runs/{name}",
        "model": "lenet",
        "trained_on": "digits",
        "metrics": {"cross_entropy": 0.5, "accuracy": accuracy},
        "intervals": {"accuracy": (accuracy - 0.01, accuracy + 0.01)},
        "parameters": 1_234,
        "seconds": 61.0,
        "samples_per_second": 4_321.0,
        "options": {},
        "history": history,
    }
    return Side(name=name, **{**given, **changes})


def pair(value: float, p: float, figure: str = "accuracy", other: str = "b", interval=(0.001, 0.007)) -> Pair:
    return Pair(figure, "a", other, Difference(value, interval, p, "McNemar, exact"), p)


def comparison(**changes) -> Comparison:
    given = {
        "task": "image-classification",
        "layout": "the built-in digits",
        "over": "179 samples (test)",
        "count": 179,
        "objective": ("accuracy", "max"),
        "runs": (side("a", 0.91), side("b", 0.9)),
        "pairs": (pair(0.004, 0.01), pair(-0.03, 0.004, "cross_entropy", interval=(-0.05, -0.01))),
        "options": {"network.dropout": [0.5, NO_OPTION], "augment": [("crop", "flip"), ()], "ema": [True, None]},
        "notes": ["a note"],
    }
    return Comparison(**{**given, **changes})


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            pair(0.004, 0.01),
            "a is better than b: its accuracy is higher by 0.4 points (95 %: 0.1 to 0.7); "
            "the difference is unlikely to be chance (p = 0.01).",
        ),
        (
            pair(0.01, 0.412, interval=(-0.01, 0.05)),
            "a is ahead of b, but it may well be chance (p = 0.41): its accuracy is higher by 1 point (95 %: -1 to 5).",
        ),
        (
            pair(-0.125, 0.00012, "rmse", interval=(-0.2, -0.05)),
            "a is better than b: its rmse is lower by 0.125 (95 %: 0.05 to 0.2); "
            "the difference is unlikely to be chance (p < 0.001).",
        ),
        (pair(0.0, 1.0), "a and b have the same accuracy (p = 1)."),
        (
            pair(-3211.5, 0.04, "rmse", interval=None),
            "a is better than b: its rmse is lower by 3,212; the difference is unlikely to be chance (p = 0.04).",
        ),
    ],
)
def test_verdicts(found: Pair, sentence: str) -> None:
    assert verdict(found) == sentence


def test_with_many_runs_the_correction_is_said() -> None:
    assert "(p = 0.01 after Holm's correction)" in verdict(pair(0.004, 0.01), 3)


def test_the_first_other_figure_that_is_no_chance_is_said_too() -> None:
    more = (*comparison().pairs, pair(0.5, 0.001, "macro_f1"), pair(0.1, 0.2, "top5_accuracy"))
    _, further = comparison(pairs=more).sentences()
    assert further == (
        "The cross entropy of a is lower than that of b by 0.03 (95 %: 0.01 to 0.05), which is unlikely to be chance "
        "(p = 0.004)."
    )


def test_tables() -> None:
    found = comparison()
    assert figure_names(found) == ["accuracy", "cross_entropy"]
    assert options_table(found).rows == [
        ["network.dropout", "0.5", "–"],
        ["augment", "crop, flip", "none"],
        ["ema", "on", "none"],
    ]
    assert cost_rows(found)[1:] == [
        ["parameters", "1,234", "1,234"],
        ["training time", "1 min 1 s", "1 min 1 s"],
        ["samples per second", "4,321/s", "4,321/s"],
    ]
    assert pairs_table(found).columns == ["figure", "best", "other", "best - other", "95 %", "p", "test"]
    assert pairs_table(found).rows[1] == [
        "cross entropy",
        "a",
        "b",
        -0.03,
        "-0.0500 to -0.0100",
        "0.004",
        "McNemar, exact",
    ]
    third = comparison(runs=(*found.runs, side("c", 0.5)))
    assert "p, Holm" in pairs_table(third).columns
    assert option_words(NO_OPTION) == "–"


def test_curves_are_laid_over_each_other() -> None:
    lone = side("c", 0.5, history=[{"epoch": 2, "train_loss": 0.25, "val_accuracy": None}])
    drawn = {chart.title: chart.lines for chart in curves([side("a", 0.91), lone])}
    assert drawn["train loss"] == {"a": [(1.0, 1.0), (2.0, 0.5), (3.0, 1 / 3)], "c": [(2.0, 0.25)]}
    assert list(drawn["val accuracy"]) == ["a"]
    assert curves([lone]) == []


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in ("meta", "link", "line", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_closed_and_escaped(tmp_path) -> None:
    hostile = comparison(
        runs=(side(HOSTILE, 0.91, trained_on=HOSTILE, folder=HOSTILE), side("b", 0.9)),
        pairs=(Pair("accuracy", HOSTILE, "b", Difference(0.1, (0.0, 0.2), 0.5, "McNemar, exact"), 0.5),),
        options={HOSTILE: [HOSTILE, HOSTILE]},
        notes=[HOSTILE],
        warnings=[HOSTILE],
        layout=HOSTILE,
    )
    page = write_page(tmp_path / "page.html", hostile).read_text("utf-8")
    assert page == render(hostile)
    assert "<script" not in page and "&lt;script&gt;" in page
    tags = Tags()
    tags.feed(page)
    assert tags.open == [] and "script" not in tags.seen
    assert not re.search(r"(src|href)=\"(?!#|data:)", page)
    assert "default-src 'none'" in html.unescape(page)
    for title in ("Figures", "Differences", "Training", "Size and speed", "Options that differ"):
        assert f">{title}" in page


def test_the_page_says_what_was_found() -> None:
    page = render(comparison())
    for text in ("a is better than b", "0.9100", "0.9000 to 0.9200", "ranks the runs", "network.dropout", "a note"):
        assert text in page
    assert "None: the runs were trained with the same options." in render(comparison(options={}))
    assert 'id="differences"' not in render(comparison(pairs=()))


def test_the_forest_puts_each_value_on_its_scale() -> None:
    estimates = [forest.Estimate("lenet", 0.02, (-0.01, 0.05)), forest.Estimate("mlp & co", 0.0, (0.0, 0.0))]
    root = ElementTree.fromstring(str(forest.draw("accuracy", estimates)))
    dots = [float(dot.attrib["cx"]) for dot in root.iter("circle")]
    low, high = next(
        (float(line.attrib["x1"]), float(line.attrib["x2"]))
        for line in root.iter("line")
        if line.attrib["class"] == "line s0"
    )
    zero = next(float(line.attrib["x1"]) for line in root.iter("line") if line.attrib["class"] == "diagonal")
    scale = (high - low) / 0.06
    assert dots[0] - zero == pytest.approx(0.02 * scale, abs=0.2)
    assert dots[1] == pytest.approx(zero, abs=0.1)
    assert all(math.isfinite(each) and 0 <= each <= 360 for each in (*dots, low, high))
    assert "mlp & co" in [text.text for text in root.iter("text")]
