"""`train`: what is said at its start, and what is left of a run that is refused after it was begun."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from deepen.bundle import save
from deepen.core.errors import OptionError, RunError
from deepen.engine.events import Silent
from deepen.verbs.folds import cross_validate
from deepen.verbs.train import train

WIDTH = {"width": 5, "threads": 1, "steps": 1}


class Plans(Silent):
    """Keeps the plan that training begins with."""

    def started(self, plan):
        self.plan = dict(plan)


@pytest.mark.parametrize("folds", [False, True])
def test_what_comes_with_the_data_is_not_taken_for_stated(folds: bool, tmp_path: Path) -> None:
    """The tiny pictures come with a level of noise, which nothing reads without noise; with it a run may be resumed."""
    given = {"model": "autoencoder", "network.hidden": (5,), "code_size": 2, "steps": 1, "threads": 1}
    task, plain = "representation-learning", {**given, "noise": "none"}
    if folds:
        assert len(cross_validate(task, "tiny", plain, folds=2, out=tmp_path / "folds").runs) == 2
        return
    train(task, "tiny", plain, out=tmp_path / "plain")
    stated = {**given, "noise_level": 0.3}
    out = train(task, "tiny", stated, out=tmp_path / "noisy").folder
    with pytest.raises(RunError, match="nothing is left to resume"):
        train(task, "tiny", stated, out=out, resume=True)
    with pytest.raises(OptionError, match=r"noise_level \(0.3 before, 0.4 now\)"):
        save.update(out, status="interrupted")
        train(task, "tiny", {"noise_level": 0.4}, out=out, resume=True)


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    """Word vectors of three numbers, of words that the tiny text has."""
    path = tmp_path / "vectors.txt"
    path.write_text("2 3\nthe 1 2 3\nof 3 2 1\n")
    return path


@pytest.mark.parametrize(
    ("given", "budget"),
    [
        ({"model": "lstm", "width": 3, "epochs": 1, "network.hidden_size": 3}, "1 epoch"),
        ({"model": "lstm", "width": 3, "steps": 2, "network.hidden_size": 3}, "2 steps"),
        ({"model": "ngram"}, None),
    ],
)
def test_a_budget_is_said_where_training_has_one(tmp_path: Path, given: dict, budget: str | None) -> None:
    heard = Plans()
    train("language-modeling", "tiny", {**given, "threads": 1}, out=tmp_path / "run", events=heard)
    assert heard.plan.get("budget") == budget


def test_of_folds_of_which_the_first_is_refused_nothing_is_left(tmp_path, vectors, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for task, width in (("text-classification", 16), ("word-vectors", 5)):
        given = {"embeddings": str(vectors), "threads": 1} | ({} if width == 16 else WIDTH)
        for out in (None, "new", "mine"):
            with pytest.raises(OptionError, match=f"have 3 numbers, but the network's embedding has {width}"):
                cross_validate(task, "tiny", given, folds=2, out=out)
    assert sorted(os.listdir(tmp_path)) == ["mine", "runs", "vectors.txt"]
    assert os.listdir(tmp_path / "runs") == os.listdir(tmp_path / "mine") == []


def test_of_a_run_whose_vectors_are_refused_nothing_is_left(tmp_path, vectors, monkeypatch) -> None:
    """The table's width is known once the run folder is there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    given = {**WIDTH, "embeddings": str(vectors)}
    for out in (None, "new", "mine"):
        with pytest.raises(OptionError, match="have 3 numbers, but the network's embedding has 5"):
            train("word-vectors", "tiny", given, out=out)
    assert sorted(os.listdir(tmp_path)) == ["mine", "runs", "vectors.txt"]
    assert os.listdir(tmp_path / "runs") == os.listdir(tmp_path / "mine") == []
    assert train("word-vectors", "tiny", WIDTH, out="mine").folder == Path("mine")


def test_folds_that_are_gone_on_with_are_trained_alike(tmp_path) -> None:
    small = {"model": "mlp", "batch_size": 61, "threads": 1}
    out = tmp_path / "folds"
    cross_validate("tabular-classification", "tiny", {**small, "epochs": 1, "optimizer.lr": 0.01}, folds=2, out=out)
    shutil.rmtree(out / "fold-2")
    with pytest.raises(OptionError, match=r"fold-1, but these differ: epochs \(1 before, 3 now\)"):
        cross_validate("tabular-classification", "tiny", {**small, "epochs": 3}, folds=2, out=out, resume=True)
    assert not (out / "fold-2").exists()
    found = cross_validate("tabular-classification", "tiny", {**small, "epochs": 1}, folds=2, out=out, resume=True)
    first, second = (found.runs[number].header["options"] for number in (1, 2))
    assert first == second and first["epochs"] == 1 and first["optimizer.learning_rate"] == 0.01
