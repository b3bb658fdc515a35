"""`deepen explain`: what is printed, and how the verb is called."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deepen.cli.main import main
from deepen.core.faults import Fault

RESULT = SimpleNamespace(
    folder=Path("runs/x/explanation"),
    page=Path("runs/x/explanation/explanation.html"),
    methods={
        "permutation": {
            "metric": "rmse",
            "columns": {
                "age": {"importance": 0.5, "deviation": 0.25},
                "city": {"importance": 0.125, "deviation": 0.0625},
            },
        },
        "shapley": {},
    },
    samples=[
        {
            "source": "t.csv, row 2",
            "answer": "yes",
            "truth": "no",
            "probability": 0.75,
            "shapley": {"columns": {"age": -0.5, "city": 0.25}},
        },
        {"source": "t.csv, row 9", "answer": "no", "truth": "no", "probability": 0.5, "shapley": {"peak": [3, 4]}},
    ],
    notes=("Columns share.",),
    layout="CSV t.csv: 9 rows, 2 columns",
    split="test",
    faults=(Fault("warning", "double", "b.jpg", "is also a.jpg."),),
)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """What looks like a run folder."""
    (tmp_path / "run.json").write_text("{}")
    return str(tmp_path)


def test_text_and_json(folder: str, stub: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]) -> None:
    calls = stub("explain", RESULT)
    assert main(["explain", folder]) == 0
    assert (
        main(["explain", folder, "a.png", "b", "--method", "grad-cam,occlusion", "--patch=5", "--out", "o", "--json"])
        == 0
    )
    (first, keywords), (second, others) = calls
    assert first == (folder, [], {}) and keywords["out"] is None and keywords["flags"] is True
    assert (
        second == (folder, ["a.png", "b"], {"method": ("grad-cam", "occlusion"), "patch": 5}) and others["out"] == "o"
    )
    assert keywords["command"] == f"deepen explain {folder}"
    shown = capsys.readouterr()
    *text, as_json = shown.out.splitlines()
    assert text == [
        "permutation: column    rmse  deviation",
        "age                  0.5000     0.2500",
        "city                 0.1250     0.0625",
        "",
        "source        truth  answer  probability  shapley",
        "t.csv, row 2  no     yes          0.7500  age -0.5",
        "t.csv, row 9  no     no           0.5000  at y 3, x 4",
        "",
        "runs/x/explanation/explanation.html",
    ]
    told = json.loads(as_json)
    assert told["page"] == str(RESULT.page) and told["methods"] == RESULT.methods and told["samples"] == RESULT.samples
    assert shown.err.splitlines()[:3] == [RESULT.layout, "b.jpg: is also a.jpg.", "Columns share."]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "RUN is missing"),
        (["{run}", "--methid", "x"], "--methid: no such option; did you mean --method?"),
        (["{run}", "--repeats", "1"], "--repeats: expected a whole number of at least 2"),
        (["{run}", "--baseline", "blak"], "did you mean black"),
        (["{run}-gone"], "no such run folder"),
    ],
)
def test_mistakes_are_one_sentence(
    folder: str, words: list[str], said: str, stub: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = stub("explain", RESULT)
    assert main(["explain", *(word.replace("{run}", folder) for word in words)]) == 2
    shown = capsys.readouterr()
    assert said in shown.err and len(shown.err.splitlines()) == 1 and not calls and not shown.out


def test_the_help_names_every_method_and_needs_no_torch(capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys; from deepen.cli.main import main; main(['explain', '--help']); sys.exit('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0
    from deepen.cli.explain import METHODS
    from deepen.engine.task import Terms
    from deepen.explain.clusters import Centres, ClusterExplainer, Made
    from deepen.explain.images import ImageExplainer
    from deepen.explain.language import LanguageExplainer
    from deepen.explain.reconstructions import ReconstructionExplainer
    from deepen.explain.tables import TableExplainer
    from deepen.explain.text import TextExplainer
    from deepen.explain.word_nearness import WordExplainer

    task: Any = SimpleNamespace(terms=Terms("y", ("a", "b")))
    nothing: Any = None
    anything: Any = len
    column = {"name": "kind", "kind": "category", "levels": ["a"]}
    explainers = {
        "pictures": ImageExplainer(task, {"mean": [0], "std": [1]}, pictures="", truth=""),
        "tables": TableExplainer(task, {"columns": []}, truth=""),
        "texts": TextExplainer(sides=(), tokens=nothing, kind="classes", outputs=nothing, target=""),
        "language models": LanguageExplainer(outputs=nothing, token=nothing, hidden=0),
        "word vectors": WordExplainer(nothing, nothing, nothing, nothing),
        "codes of pictures": ReconstructionExplainer({"mean": [0]}, nothing, nothing),
        "clusters of pictures": ClusterExplainer(
            nothing, nothing, Made(image={"mean": [0]}), Centres(pictures=anything)
        ),
        "clusters of tables": ClusterExplainer(
            nothing, nothing, Made(table={"columns": [column]}), Centres(columns=anything)
        ),
        "clusters of texts": ClusterExplainer(nothing, nothing, Made(), Centres()),
    }
    assert [name for name, _ in METHODS] == list(explainers)
    shown = " ".join(found.stdout.split())
    for name, text in METHODS:
        assert f"{name} {text}" in shown
        defaults, _, others = text.partition(" (these if none is named)")
        methods = explainers[name].methods
        assert defaults.split(", ") == [name for name, method in methods.items() if method.is_default]
        assert (others.removeprefix("; ").split(", ") if others else []) == [
            name for name, method in methods.items() if not method.is_default
        ]
