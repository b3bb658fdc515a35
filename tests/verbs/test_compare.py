"""Runs side by side: their figures are those of evaluate, a run beside itself, a real difference, folds, refusals."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from deepen import compare, evaluate, train
from deepen.core.errors import OptionError, RunError
from deepen.metrics.paired import mcnemar
from deepen.verbs.ensemble import together
from deepen.verbs.evaluate import samples_for
from deepen.verbs.folds import cross_validate
from deepen.verbs.loaded import loaded
from deepen.verbs.options import task_module

SMALL = {"threads": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def digits(folder):
    """Two runs on the digits, of which the second has hardly learned, and a third like the second but for its pace."""
    given = {"model": "lenet", **SMALL}
    made = [
        train("image-classification", "digits", out=folder / name, epochs=1, **given, **changes)
        for name, changes in (
            ("quick", {"batch_size": 8}),
            ("slow", {"optimizer": {"learning_rate": 1e-5}}),
            ("slower", {"optimizer": {"learning_rate": 1e-6}}),
        )
    ]
    return [str(run.folder) for run in made]


@pytest.fixture(scope="module")
def numbers(folder):
    """Two runs of a regression."""
    return [
        str(train("tabular-regression", "tiny", model="mlp", epochs=epochs, out=folder / name, **SMALL).folder)
        for name, epochs in (("long", 20), ("short", 1))
    ]


def rights(run: str) -> np.ndarray:
    """Which samples of its test split a run gets right, worked out beside all of the comparing."""
    model = loaded(run)
    samples = samples_for([model], None, {})
    encoded = model.task.encode(samples.table, samples.split, [])
    batch = model.task.batch(encoded, np.arange(len(encoded)), None)
    with torch.inference_mode():
        return (model.model(batch["pixels"]).argmax(1) == batch["label"]).numpy()


def test_a_real_difference_is_found(digits, tmp_path):
    found = compare(digits[:2], out=tmp_path / "page.html")
    assert [run.name for run in found.runs] == ["quick", "slow"]
    assert found.objective == ("accuracy", "max") and found.over == "179 samples (test)"
    for run, path in zip(found.runs, digits[:2], strict=True):
        alone = evaluate(path)
        assert run.metrics == alone.metrics
        assert run.intervals == alone.intervals
    first = found.pairs[0]
    quick, slow = rights(digits[0]), rights(digits[1])
    assert (first.figure, first.leader, first.other) == ("accuracy", "quick", "slow")
    assert first.difference.value == pytest.approx(quick.mean() - slow.mean())
    assert first.difference.p == mcnemar(int(np.sum(quick & ~slow)), int(np.sum(slow & ~quick)))
    assert first.adjusted_p == first.difference.p < 0.001
    assert found.sentences()[0].startswith("quick is better than slow: its accuracy is higher by ")
    assert {pair.figure for pair in found.pairs} == {"accuracy", "cross_entropy", "top5_accuracy"}
    assert "quick is better than slow" in (tmp_path / "page.html").read_text("utf-8")


def test_only_options_that_differ_are_named(digits):
    found = compare(digits[:2])
    assert {name: list(values) for name, values in found.options.items()} == {
        "batch_size": [8, loaded(digits[1]).header["options"]["batch_size"]],
        "optimizer.learning_rate": [loaded(digits[0]).header["options"]["optimizer.learning_rate"], 1e-5],
    }
    assert found.runs[0].parameters == 61_706
    assert found.runs[0].seconds and found.runs[0].samples_per_second and found.runs[0].history


def test_the_order_in_which_runs_are_named_does_not_matter(digits):
    there, back = compare(digits[:2]), compare(digits[1::-1])
    assert there.pairs == back.pairs and [run.name for run in back.runs] == ["quick", "slow"]


def test_a_run_beside_itself(digits):
    found = compare([digits[0], digits[0]])
    assert [run.name for run in found.runs] == [digits[0], f"{digits[0]} (2)"]
    assert all(pair.difference.value == 0 and pair.difference.p == 1 for pair in found.pairs)
    assert found.options == {}
    assert len(found.sentences()) == 1 and "have the same accuracy" in found.sentences()[0]


def test_many_runs_are_set_against_the_best_and_corrected_over_all_pairs(digits):
    found = compare(digits[::-1])
    accuracy = [pair for pair in found.pairs if pair.figure == "accuracy"]
    assert {pair.leader for pair in accuracy} == {"quick"}
    assert {pair.other for pair in accuracy} == {"slow", "slower"}
    alone = {pair.other: pair for path in digits[1:] for pair in compare([digits[0], path]).pairs[:1]}
    for pair in accuracy:
        assert pair.difference == alone[pair.other].difference
        assert pair.adjusted_p >= pair.difference.p
    between = compare(digits[1:]).pairs[0].difference.p
    ordered = sorted([*(pair.difference.p for pair in accuracy), between])
    assert min(pair.adjusted_p for pair in accuracy) == pytest.approx(3 * ordered[0])


def test_numbers_are_compared_by_their_errors(numbers):
    found = compare(numbers)
    assert found.runs[0].name == "long"
    rmse = next(pair for pair in found.pairs if pair.figure == "rmse")
    figures = [evaluate(path).metrics["rmse"] for path in numbers]
    assert rmse.difference.value == pytest.approx(figures[0] - figures[1])
    assert rmse.difference.interval is not None and rmse.difference.interval[1] < 0
    assert rmse.difference.p < 0.01


def test_data_can_be_named(numbers):
    dataset = task_module("tabular-regression").TINY.make(17)
    found = compare(numbers, dataset)
    assert found.over == "400 samples (all)"
    assert found.runs[0].metrics == evaluate(numbers[0], dataset).metrics


def test_runs_that_cannot_be_compared(digits, numbers, folder):
    with pytest.raises(OptionError, match="expected two runs or more"):
        compare(digits[:1])
    with pytest.raises(RunError, match=r"expected a run of image-classification.*is one of tabular-regression"):
        compare([digits[0], numbers[0]])
    other = train("image-classification", "digits", model="lenet", epochs=1, seed=5, out=folder / "seed", **SMALL)
    with pytest.raises(RunError, match=r"seed: tests other samples of its data than .*name data that none of them"):
        compare([digits[0], other.folder])
    tiny = train("image-classification", "tiny", model="lenet", epochs=1, out=folder / "tiny", **SMALL)
    with pytest.raises(RunError, match="was trained on other data than"):
        compare([digits[0], tiny.folder])


def test_folds_are_compared_fold_by_fold(folder):
    made = [
        cross_validate(
            "tabular-regression", "tiny", {"model": "mlp", "epochs": e, **SMALL, **c}, folds=k, out=folder / n
        )
        for n, e, k, c in (("f6", 6, 3, {}), ("f1", 1, 3, {}), ("four", 1, 4, {}), ("seeded", 1, 3, {"seed": 7}))
    ]
    found = compare([made[1].folder, made[0].folder])
    assert [run.name for run in found.runs] == ["f6", "f1"]
    assert found.over == "3 folds" and found.count == 400
    assert found.runs[0].metrics == pytest.approx(made[0].metrics)
    name = found.objective[0]
    gaps = [made[0].runs[k].metrics[name] - made[1].runs[k].metrics[name] for k in (1, 2, 3)]
    first = found.pairs[0]
    assert first.figure == name and first.difference.method == "corrected resampled t"
    assert first.difference.value == pytest.approx(np.mean(gaps))
    t = abs(np.mean(gaps)) / math.sqrt(
        (1 / 3 + 1 / 2) * np.var(gaps, ddof=1)
    )  # three equal folds test half of the rest
    assert first.difference.p == pytest.approx(1 - t / math.sqrt(t * t + 2), rel=0.02)
    with pytest.raises(RunError, match="four: cuts its data into other folds"):
        compare([made[0].folder, made[2].folder])
    with pytest.raises(RunError, match="seeded: cuts its data into other folds"):
        compare([made[0].folder, made[3].folder])
    lone = json.loads((made[1].folder / "folds.json").read_text())
    (made[1].folder / "folds.json").write_text(json.dumps({"folds": {"2": lone["folds"]["2"]}}))
    with pytest.raises(RunError, match="f1: expected two folds or more in common"):
        compare([made[0].folder, made[1].folder])
    data = task_module("tabular-regression").TINY.make(23)
    as_ensembles = compare([made[0].folder, made[3].folder], data)
    assert as_ensembles.runs[0].metrics == pytest.approx(evaluate(as_ensembles.runs[0].folder, data).metrics)
    assert as_ensembles.runs[0].parameters == 3 * found.runs[0].parameters


def test_samples_that_not_all_can_use_are_left_out_and_said(digits, folder):
    """A run that does not know a class is compared on the samples of the others."""
    run = loaded(digits[0])
    state = json.loads((run.folder / "prepare.json").read_text())
    fewer = {**state, "labels": state["labels"][:9], "labels_given": False}
    module = task_module("image-classification")

    class Nine(torch.nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, pixels):
            return self.network(pixels)[:, :9]

    from deepen.verbs import compare as verb

    nine = dataclasses.replace(
        run, task=module.Task(run.options.task, fewer, run.options.network), model=Nine(run.model)
    )
    samples = samples_for([run], None, {})
    faults = []
    scored, count = verb._scored([run, nine], samples, faults, skip_bad=False)
    labels = samples.table.column("label").to_pylist()
    assert count == sum(label != state["labels"][9] for label in labels) < len(labels)
    entry = verb._Entry("quick", run.folder, [run])
    assert verb._said_of([entry], samples, count) == [
        f"{len(labels) - count} samples left out, since not all of the runs can use them."
    ]
    figures, notes = verb._per_row(scored)
    assert notes == [] and len(figures["accuracy"][0].values) == count
    assert figures["accuracy"][1].figure() >= figures["accuracy"][0].figure()
    with pytest.raises(RunError, match=f"lacks '{state['labels'][9]}'"):
        together([run, nine], [0.5, 0.5])
