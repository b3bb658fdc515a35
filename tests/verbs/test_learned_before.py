"""A run whose weights or features are taken must not have learned what is tested now, or it is said, with counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepen.engine.events import Silent
from deepen.verbs.folds import cross_validate
from deepen.verbs.loaded import loaded
from deepen.verbs.options import rebuilt
from deepen.verbs.prepared import prepare
from deepen.verbs.run import Run
from deepen.verbs.train import train

TASK = "tabular-classification"
QUICK = {"model": "mlp", "steps": 7, "threads": 1, "target": "kind"}


class Heard(Silent):
    """Keeps the warnings about runs."""

    def __init__(self):
        self.said = []

    def message(self, text):
        if text.startswith("warning: --"):
            self.said.append(text)


def table(path: Path, seed: int = 0) -> Path:
    draw = np.random.default_rng(seed)
    rows = [f"{a:.4f},{b:.4f},{'yes' if a + b > 0 else 'no'},p{row // 3}" for row, (a, b) in _numbered(draw)]
    path.write_text("\n".join(["a,b,kind,patient", *rows]) + "\n")
    return path


def _numbered(draw):
    return enumerate(draw.normal(0, 1, (223, 2)))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return table(tmp_path_factory.mktemp("data") / "points.csv")


@pytest.fixture(scope="module")
def first(data: Path) -> Run:
    return train(TASK, data, {**QUICK, "seed": 1}, out=data.parent / "first")


def keys(run: Path, data: Path) -> dict[str, set[str]]:
    """By split, what a training had, worked out from its options alone."""
    header = loaded(run).header
    tables = prepare(header["task"], data, rebuilt(header["task"], header["options"])).tables
    return {name: set(part.column("key").to_pylist()) for name, part in tables.items()}


@pytest.mark.parametrize("place", ["", "weights.safetensors"])
def test_the_samples_that_both_had_are_counted(first: Run, data: Path, tmp_path: Path, place: str) -> None:
    heard = Heard()
    weights = str(first.folder / place)
    run = train(TASK, data, {**QUICK, "seed": 2, "weights": weights}, out=tmp_path / "run", events=heard)
    before, now = keys(first.folder, data), keys(run.folder, data)
    tested, validated = (len(before["train"] & now[name]) for name in ("test", "val"))
    assert min(tested, validated) > 0
    (said,) = heard.said
    assert said.startswith(
        f"warning: --weights {weights}: that run was trained on {tested} of the {len(now['test'])} samples of test and "
        f"{validated} of the {len(now['val'])} samples of val, "
    )
    assert said.removeprefix("warning: ") in loaded(run.folder).header["extra"]["warned"]


def test_nothing_is_said_of_the_same_split_or_of_other_data(first: Run, data: Path, tmp_path: Path) -> None:
    heard = Heard()
    given = {**QUICK, "weights": str(first.folder)}
    train(TASK, data, {**given, "seed": 1}, out=tmp_path / "same", events=heard)
    train(TASK, table(tmp_path / "other.csv", 5), {**given, "seed": 2}, out=tmp_path / "other", events=heard)
    assert heard.said == []


def test_the_groups_by_which_the_run_was_split_count(data: Path, tmp_path: Path) -> None:
    heard = Heard()
    grouped = train(TASK, data, {**QUICK, "seed": 1, "group": "patient"}, out=tmp_path / "grouped").folder
    run = train(TASK, data, {**QUICK, "seed": 2, "weights": str(grouped)}, out=tmp_path / "run", events=heard)
    before, now = keys(grouped, data), keys(run.folder, data)
    assert f"on {len(before['train'] & now['test'])} of the {len(now['test'])} samples of test" in heard.said[0]


def test_folds_test_every_sample_that_the_run_has_learned(first: Run, data: Path, tmp_path: Path) -> None:
    heard = Heard()
    given = {**QUICK, "weights": str(first.folder)}
    cross_validate(TASK, data, given, folds=2, out=tmp_path / "folds", events=heard)
    count = len(keys(first.folder, data)["train"])
    assert [said.split(", and each")[0] for said in heard.said] == [
        f"warning: --weights {first.folder}: that run was trained on {count} of these 223 samples"
    ]
    heard.said.clear()
    one = tmp_path / "folds" / "fold-1"
    cross_validate(TASK, data, {**given, "weights": str(one)}, folds=2, out=tmp_path / "again", events=heard)
    trained = loaded(one).header["data"]["counts"]["train"]
    assert f"was trained on {trained} of these 223 samples" in heard.said[0]


def test_features_of_a_run_that_has_learned_what_a_clustering_is_tested_on(
    first: Run, data: Path, tmp_path: Path
) -> None:
    heard = Heard()
    given = {"clusters": 3, "features": str(first.folder), "threads": 1, "seed": 2}
    run = train("clustering", data, given, out=tmp_path / "run", events=heard)
    before, now = keys(first.folder, data), keys(run.folder, data)
    assert f"on {len(before['train'] & now['test'])} of the {len(now['test'])} samples of test" in heard.said[0]
    assert heard.said[0].startswith(f"warning: --features {first.folder}: ")
