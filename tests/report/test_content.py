from __future__ import annotations

from dataclasses import replace

from deepen.report.content import Headline, ReportContent, flattened, headline, splits_of
from tests.report.contents import plain


def test_headline_is_the_objective_on_test():
    assert headline(plain()) == Headline("test", "accuracy", 0.9593, (0.9283, 0.9795))


def test_headline_falls_back_to_val_and_to_any_figure():
    content = plain()
    assert headline(replace(content, metrics={"val": {"accuracy": 0.5}})) == Headline("val", "accuracy", 0.5, None)
    assert headline(replace(content, metrics={"extra": {"r2": 0.7}})) == Headline("extra", "r2", 0.7, None)
    assert headline(ReportContent("t", "k", "m")) is None
    assert headline(ReportContent("t", "k", "m", metrics={"test": {}})) is None


def test_splits_stand_most_honest_first():
    assert splits_of(ReportContent("t", "k", "m", metrics={s: {"a": 1.0} for s in ("x", "train", "val", "test")})) == [
        "test",
        "val",
        "train",
        "x",
    ]


def test_flattened_names_are_dotted():
    assert flattened({"a": 1, "b": {"c": {"d": 2}}}) == [("a", 1), ("b.c.d", 2)]
