"""`deepen compare`: what it prints, and what it refuses before anything is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepen.cli.main import main
from deepen.metrics.paired import Difference
from deepen.report.comparison import NO_OPTION, Comparison, Pair, Side

RUNS = tuple(
    Side(name, f"runs/{name}", model, "digits", {"accuracy": value, "rmse": None}, intervals, 1_234, 61.0, None, {})
    for name, model, value, intervals in (("a", "lenet", 0.91, {"accuracy": (0.9, 0.92)}), ("b", "mlp", 0.9, {}))
)
RESULT = Comparison(
    "image-classification",
    "the built-in digits",
    "179 samples (test)",
    179,
    ("accuracy", "max"),
    RUNS,
    (Pair("accuracy", "a", "b", Difference(0.01, (-0.01, 0.03), 0.25, "McNemar, exact"), 0.25),),
    {"model": ["lenet", "mlp"], "network.dropout": [0.5, NO_OPTION]},
    ["a note"],
    ["a warning"],
)


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """What looks like two run folders, and one of folds."""
    for name, file in (("a", "run.json"), ("b", "run.json"), ("folds", "folds.json")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("{}")
    return [str(tmp_path / name) for name in ("a", "b", "folds")]


def test_text_and_json(folders: list[str], stub: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]) -> None:
    calls = stub("compare", RESULT)
    assert main(["compare", *folders[:2]]) == 0
    shown = capsys.readouterr()
    assert calls == [((folders[:2], None, {}), {"out": None, "skip_bad": False, "flags": True})]
    assert shown.err == "a warning\n"
    assert shown.out.splitlines() == [
        "                    a                          b",
        "accuracy            0.9100 (0.9000 to 0.9200)  0.9000",
        "rmse                –                          –",
        "model               lenet                      mlp",
        "parameters          1,234                      1,234",
        "training time       1 min 1 s                  1 min 1 s",
        "samples per second  –                          –",
        "network.dropout     0.5                        –",
        "over 179 samples (test); in brackets 95 % intervals, the best run first",
        "",
        "figure    best  other  best - other  95 %               p      test",
        "accuracy  a     b            0.0100  -0.0100 to 0.0300  0.250  McNemar, exact",
        "",
        "a is ahead of b, but it may well be chance (p = 0.25): its accuracy is higher by 1 point (95 %: -1 to 3).",
        "a note",
    ]
    assert main(["compare", *folders, "--data", "x.csv", "--json", "--skip-bad", "--target", "y"]) == 0
    assert calls[1] == ((folders, "x.csv", {"target": "y"}), {"out": None, "skip_bad": True, "flags": True})
    said = json.loads(capsys.readouterr().out)
    assert said["pairs"] == [
        {
            "figure": "accuracy",
            "leader": "a",
            "other": "b",
            "adjusted_p": 0.25,
            "value": 0.01,
            "interval": [-0.01, 0.03],
            "p": 0.25,
            "method": "McNemar, exact",
        }
    ]
    assert said["options"] == {"model": ["lenet", "mlp"], "network.dropout": [0.5, None]}
    assert [run["metrics"] for run in said["runs"]] == [
        {"accuracy": 0.91, "rmse": None},
        {"accuracy": 0.9, "rmse": None},
    ]
    assert said["sentences"] == RESULT.sentences()


def test_the_page_is_named(folders: list[str], stub: Callable[..., list[Any]], capsys, tmp_path: Path) -> None:
    calls = stub("compare", RESULT)
    page = str(tmp_path / "page.html")
    assert main(["compare", *folders[:2], "--out", page]) == 0
    assert calls[0][1]["out"] == page
    assert capsys.readouterr().err.splitlines()[-1] == f"the comparison as a page: {page}"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "RUN is missing"),
        (["{a}"], "a second RUN is missing"),
        (["{a}", "{a}x"], "no such run folder; did you mean"),
        (["{a}", "{b}", "--out", "page.pdf"], "--out page.pdf: expected a name that ends in .html."),
        (["{a}", "{b}", "--outt", "page.html"], "--outt: no such option; did you mean --out?"),
    ],
)
def test_refused(folders: list[str], capsys, words: list[str], sentence: str) -> None:
    assert main(["compare", *(word.format(a=folders[0], b=folders[1]) for word in words)]) == 2
    assert sentence in capsys.readouterr().err


def test_ensembles_reach_predict_and_evaluate(folders: list[str], stub: Callable[..., list[Any]], capsys) -> None:
    calls = stub("predict", lambda *_, **__: iter(()))
    assert main(["predict", folders[0], "x.png", "--with", f"{folders[1]},{folders[2]}", "--weights", "3,1,1"]) == 0
    assert calls[0][0] == (folders, ["x.png"], {})
    assert calls[0][1]["weights"] == (3.0, 1.0, 1.0)
    assert main(["predict", folders[0], "x.png", "--with", f"{folders[0]}x"]) == 2
    assert "no such run folder" in capsys.readouterr().err
