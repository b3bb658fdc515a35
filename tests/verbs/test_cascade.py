"""Runs one after the other: the ends are the runs themselves, each row is answered by the right one, and refusals."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

import deepen
from deepen import evaluate, predict, train
from deepen.cli.main import main
from deepen.compress.cascade import Wish, least_accuracy
from deepen.core.errors import OptionError, RunError
from deepen.data.columns import with_origin
from deepen.data.dataset import Dataset
from deepen.verbs.cascade import CascadeTask, answered_by, cascade_of, confidence, learned_thresholds
from deepen.verbs.ensemble import EnsembleTask, together
from deepen.verbs.learned_weights import common_validation
from deepen.verbs.loaded import loaded
from deepen.verbs.predict import answers

MODELS = {
    "image-classification": ("softmax-regression", "lenet"),
    "tabular-classification": ("softmax-regression", "mlp"),
    "text-classification": ("fasttext", "textcnn"),
}
TASKS = tuple(MODELS)


@pytest.fixture(scope="module")
def runs_of(tmp_path_factory):
    """A cheap and a large run of a task on its tiny data, trained once."""
    made = {}

    def runs(task: str) -> list[str]:
        if task not in made:
            folder = tmp_path_factory.mktemp("runs")
            made[task] = [
                str(train(task, "tiny", model=model, out=folder / model, epochs=2, threads=1).folder)
                for model in MODELS[task]
            ]
        return made[task]

    return runs


def said(runs, **keywords) -> list[dict]:
    return [dataclasses.asdict(answer) for answer in predict(runs, "tiny", **keywords)]


def alike(one: list[dict], two: list[dict]) -> None:
    """The same but for the last bits of probabilities."""
    assert [each["source"] for each in one] == [each["source"] for each in two]
    for first, second in zip(one, two, strict=True):
        assert first["label"] == second["label"]
        assert [each["label"] for each in first["top"]] == [each["label"] for each in second["top"]]
        for own, its in zip(first["top"], second["top"], strict=True):
            assert own["probability"] == pytest.approx(its["probability"], abs=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_the_ends_are_the_runs_alone(task, runs_of):
    cheap, large = runs_of(task)
    for threshold, alone in ((0.0, cheap), (1.0, large)):
        alike(said([cheap, large], cascade={"thresholds": [threshold]}), said(alone))
        found = evaluate([cheap, large], cascade={"thresholds": [threshold]})
        assert found.metrics == pytest.approx(evaluate(alone).metrics, rel=1e-6, abs=1e-6)
        assert found.cascade is not None and found.weights == ()
        assert [each.asked for each in found.cascade.stages] == [1.0, threshold]


@pytest.mark.parametrize("task", TASKS)
def test_each_row_is_answered_by_the_first_that_is_sure(task, runs_of):
    cheap, large = runs_of(task)
    own, its = said(cheap), said(large)
    sure = [max(each["probability"] for each in answer["top"]) for answer in own]
    threshold = float(np.median(sure)) + 1e-5
    alike(
        said([cheap, large], cascade={"thresholds": [threshold]}),
        [first if p > threshold else second for first, second, p in zip(own, its, sure, strict=True)],
    )


@pytest.mark.parametrize("task", TASKS)
def test_answers_do_not_depend_on_the_batch(task, runs_of):
    """One row at a time, in batches of 7, and in another order."""
    members = [loaded(folder) for folder in runs_of(task)]
    whole = together(members, [0.5, 0.5])
    assert isinstance(whole.task, EnsembleTask)
    encoded = whole.task.encode(common_validation(members, instead="it"), "val", [])
    with torch.inference_mode():
        first = whole.task.outputs_of(0, whole.model, whole.task.batch(encoded, np.arange(len(encoded)), None))
    sure = confidence(first).sort().values
    gap = len(sure) // 4 + int(sure.diff()[len(sure) // 4 : -1].argmax())
    both = CascadeTask(whole.task, [float(sure[gap : gap + 2].mean())])
    found = []
    for size, order in ((len(encoded), 1), (7, 1), (1, 1), (11, -1)):
        rows = np.arange(len(encoded))[::order].copy()
        with torch.inference_mode():
            parts = [
                both.answered(whole.model, both.batch(encoded, rows[start : start + size], None))
                for start in range(0, len(rows), size)
            ]
        outputs, by = (torch.cat([part[k] for part in parts])[torch.from_numpy(rows.argsort())] for k in (0, 1))
        assert 0 < by.sum() < len(by)
        found.append((outputs, by))
    for outputs, by in found[1:]:
        assert torch.equal(by, found[0][1])
        assert torch.allclose(outputs, found[0][0], atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_learned_thresholds_keep_the_wish_on_validation(task, runs_of):
    members = [loaded(folder) for folder in runs_of(task)]
    whole = together(members, [0.5, 0.5])
    assert isinstance(whole.task, EnsembleTask)
    encoded = whole.task.encode(common_validation(members, instead="it"), "val", [])
    last = answered_by(dataclasses.replace(whole, task=CascadeTask(whole.task, [1.0])), encoded)[0].result()
    for text in ("-0%", "-3%"):
        thresholds = learned_thresholds(members, whole.task, Wish(text))
        both = dataclasses.replace(whole, task=CascadeTask(whole.task, thresholds))
        reached = answered_by(both, encoded)[0].result()["accuracy"]
        assert reached >= least_accuracy(text, of_last=last["accuracy"]) - 1e-9
    assert learned_thresholds(members, whole.task, Wish("-100%")) == (0.0,)
    assert learned_thresholds(members, whole.task, Wish(cost_share=1e9))


def test_three_runs(runs_of, capsys):
    cheap, large = runs_of("image-classification")
    found = evaluate([cheap, large, large], cascade={"thresholds": [0.7, 1.0]})
    two = evaluate([cheap, large], cascade={"thresholds": [0.7]})
    assert found.metrics == pytest.approx(two.metrics, rel=1e-6)
    assert found.cascade is not None and two.cascade is not None
    asked = [each.asked for each in found.cascade.stages]
    assert asked[0] == 1 and asked[1] == asked[2] == two.cascade.stages[1].asked
    assert main(["evaluate", cheap, "--then", f"{large},{large}", "--thresholds", "0.7,1", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["cascade"]
    assert [each["threshold"] for each in shown["stages"]] == [0.7, 1.0, None]
    assert shown["lost"] == pytest.approx(shown["stages"][-1]["accuracy"] - shown["accuracy"])
    assert shown["saved"] == pytest.approx(1 - shown["seconds"] / shown["stages"][-1]["seconds"])


def test_from_the_command_line(runs_of, capsys):
    cheap, large = runs_of("image-classification")
    assert main(["evaluate", cheap, "--then", large, "--accuracy", "-0.2%"]) == 0
    text = capsys.readouterr().out
    assert "run" in text and "the cascade" in text and "against the last run alone: " in text
    threshold = text.rpartition("--thresholds ")[2].strip()
    assert main(["predict", cheap, "tiny", "--then", large, "--thresholds", threshold, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["answers"]
    expected = said([cheap, large], cascade={"thresholds": [float(threshold)]})
    assert [each["label"] for each in shown] == [each["label"] for each in expected]
    for words, sentence in (
        (["--accuracy", "93%"], "--accuracy: is of a cascade; name the next run with --then"),
        (["--cost-share", "0"], "--cost-share: is of a cascade"),
        (["--then", large, "--with", large], "leave one out"),
        (["--then", large, "--thresholds", "0.5", "--accuracy", "93%"], "leaves nothing to a wish"),
        (["--then", large, "--thresholds", "0.5,0.6"], "expected 1, one for each run but the last, but has 2"),
        (["--then", large, "--thresholds", "1.5"], "from 0 to 1, but has 1.5"),
        (["--then", large, "--cost-share", "0"], "a part of the last run's cost, but is 0.0"),
    ):
        assert main(["evaluate", cheap, *words]) != 0
        assert sentence in capsys.readouterr().err


def test_what_cannot_be_a_cascade(runs_of, tmp_path):
    cheap, large = runs_of("tabular-classification")
    with pytest.raises(OptionError, match="expected two runs or more, cheapest first"):
        evaluate(cheap, cascade={})
    with pytest.raises(OptionError, match="no option 'speed'; there are thresholds"):
        evaluate([cheap, large], cascade={"speed": 3})
    with pytest.raises(OptionError, match="weights are of runs that answer together"):
        evaluate([cheap, large], weights=(1, 2), cascade={})
    with pytest.raises(RunError, match="a run of text-classification, but is one of tabular-classification"):
        cascade_of([runs_of("text-classification")[0], cheap], {})
    for task, model in (("tabular-regression", "mlp"), ("token-tagging", "bilstm-crf"), ("clustering", None)):
        given: dict[str, Any] = {} if model is None else {"model": model}
        run = train(task, "tiny", out=tmp_path / task, epochs=1, threads=1, **given).folder
        with pytest.raises(RunError, match=f"a cascade needs runs whose answer is one of several classes.*{task}"):
            cascade_of([run, run], {"thresholds": [0.5]})
    other = train("tabular-classification", "tiny", model="mlp", seed=1, out=tmp_path / "other", epochs=1).folder
    with pytest.raises(RunError, match=r"validated on other samples than .*; state --thresholds"):
        cascade_of([cheap, other], {})
    assert deepen.predict([cheap, other], "tiny", cascade={"thresholds": [0.5]})


def test_label_sets_are_refused(tmp_path):
    """Where several labels may hold at once no softmax is a probability."""
    texts = ["bright sun", "dark rain", "dry wind"] * 20
    made = pa.table({"text": texts, "labels": [["a", "b"], ["b"], ["a", "c"]] * 20})
    made = with_origin(made, [f"made up, line {row + 1}" for row in range(len(texts))])
    given = {"model": "fasttext", "epochs": 1, "threads": 1}
    run = train("text-classification", Dataset("sets", "", {"all": made}), out=tmp_path / "run", **given).folder
    with pytest.raises(RunError, match="a cascade needs runs whose answer is one of several classes"):
        cascade_of([run, run], {"thresholds": [0.5]})


def test_answers_stream_through_the_same_code(runs_of):
    """The cascade is a Loaded like any other."""
    cheap, large = runs_of("tabular-classification")
    _, both = cascade_of([cheap, large], {"thresholds": [0.8]})
    assert [dataclasses.asdict(each) for each in answers(both, ["tiny"], {})] == said(
        [cheap, large], cascade={"thresholds": [0.8]}
    )
