import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from deepen.core.errors import DataError, OptionError, RunError
from deepen.core.figures import Bars, Gallery, Matrix, Points
from deepen.data.read import ReadOptions
from deepen.data.readers.digits import read
from deepen.engine.features import features_of
from deepen.tasks.clustering import TINY, Options, Task, learn
from deepen.verbs.evaluate import evaluate
from deepen.verbs.loaded import loaded
from deepen.verbs.predict import predict
from deepen.verbs.prepared import prepare
from deepen.verbs.train import train


def tiny_task(**options):
    dataset = TINY.make(0)
    table, chosen, faults = dataset.tables["all"], Options(**options), []
    task = Task(chosen, learn(chosen, table, dataset, faults))
    return task, task.encode(table, "train", faults), faults


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits") / "run"
    return train("clustering", "digits", {"clusters": 10, "threads": 1}, out=folder)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier") / "run"
    given = {"model": "mlp", "network.hidden": (23, 17), "epochs": 20, "threads": 1}
    return train("image-classification", "digits", given, out=folder)


def test_the_planted_groups_and_their_number_are_found():
    task, encoded, faults = tiny_task()
    assert task.num_clusters == 3
    assert any(fault.kind == "clusters-chosen" and "3 clusters chosen" in fault.message for fault in faults)
    model, metrics = task.build().eval(), task.metrics()
    with torch.inference_mode():
        task.score(model, task.batch(encoded, np.arange(len(encoded)), None), metrics)
    assert metrics.result()["adjusted_rand_index"] == 1


def test_the_centres_are_as_good_as_sklearns(digits):
    """The inertia of the training digits, standardized, against sklearn 1.9's KMeans(10, n_init=10, random_state=0)."""
    run = loaded(digits.folder)
    prepared = prepare("clustering", "digits", run.options)
    encoded = prepared.encoded["train"]
    with torch.inference_mode():
        vectors = run.task.vectors(run.model, run.task.batch(encoded, np.arange(len(encoded)), None))
        inertia = float(2 * run.model.clusters.loss(vectors).double().sum())
    reference = KMeans(10, n_init=10, random_state=0).fit(vectors.double().numpy())
    assert inertia == pytest.approx(reference.inertia_, rel=5e-3)


def test_answers_name_the_nearest_centre(digits):
    answers = list(predict(digits.folder, "digits"))
    assert len(answers) == 1797 and {each.cluster for each in answers} == set(range(10))
    assert all(0 <= each.distance <= each.next_distance for each in answers)
    assert all(each.cluster != each.next_cluster for each in answers)


def test_the_features_of_a_run_are_clustered_and_kept(classifier, tmp_path):
    """The clustering answers without the run, whose network it holds unchanged."""
    copy = tmp_path / "classifier"
    shutil.copytree(classifier.folder, copy)
    given = {"clusters": 7, "features": str(copy), "threads": 1}
    run = train("clustering", "digits", given, out=tmp_path / "run")
    shutil.rmtree(copy)
    kept, own = loaded(run.folder), loaded(classifier.folder)
    for name, value in own.model.state_dict().items():
        assert torch.equal(kept.model.extractor.state_dict()[name], value)
    assert kept.model.clusters.centres.shape == (7, 17)
    assert evaluate(run.folder).metrics == run.metrics
    assert run.metrics["adjusted_rand_index"] > 0.3
    answers = list(predict(run.folder, "digits"))
    assert len(answers) == 1797 and dataclasses.asdict(answers[0])["source"].startswith("digits")


@pytest.mark.parametrize("features", [False, True])
@pytest.mark.parametrize("given", [{"initialization": "he-normal"}, {"max_norm": 3.0}])
def test_what_is_for_layers_that_learn_is_refused_where_none_does(given, features, classifier, tmp_path):
    """A run's network is frozen, so that an initialization would undo what it has learned."""
    name = next(iter(given)).replace("_", "-")
    given |= {"clusters": 3, "steps": 1, "threads": 1} | ({"features": str(classifier.folder)} if features else {})
    with pytest.raises(OptionError, match=f"--{name} .*: expected a linear, .* this network has none; leave it out"):
        train("clustering", "digits", given, out=tmp_path / "run")


def test_what_is_clustered_is_what_the_last_layer_sees(classifier, tmp_path):
    given = {"clusters": 3, "features": str(classifier.folder), "threads": 1}
    run = loaded(train("clustering", "digits", given, out=tmp_path / "run").folder)
    own = loaded(classifier.folder)
    table = read(Path("digits"), ReadOptions()).tables["all"].slice(0, 41)
    there = run.task.encode(table, "predict", [])
    here = own.task.encode(table, "predict", [])
    rows = np.arange(41)
    with torch.inference_mode():
        found = run.task.vectors(run.model, run.task.batch(there, rows, None))
        expected = features_of(own.task, own.model, own.task.batch(here, rows, None))
    assert torch.equal(found, expected)


def test_the_extractor_is_never_in_training(classifier, tmp_path):
    given = {"clusters": 3, "features": str(classifier.folder), "threads": 1}
    run = loaded(train("clustering", "digits", given, out=tmp_path / "run").folder)
    run.model.train()
    assert run.model.clusters.training and not any(module.training for module in run.model.extractor.modules())
    assert not any(p.requires_grad for p in run.model.extractor.parameters())


def test_figures_show_sizes_labels_maps_and_typical_rows():
    task, encoded, _ = tiny_task(clusters=3)
    model, metrics = task.build().eval(), task.metrics()
    with torch.inference_mode():
        task.score(model, task.batch(encoded, np.arange(len(encoded)), None), metrics)
    found = {type(figure): figure for figure in task.figures(metrics, encoded)}
    assert sum(found[Bars].values) == len(encoded)
    assert found[Matrix].column_names == ["lilac", "lime", "willow"] and np.sum(found[Matrix].values) == len(encoded)
    assert len(set(found[Points].groups)) == 3
    assert len(found[Gallery].samples) == 12
    assert all("length" in sample.text for sample in found[Gallery].samples)


def test_wrong_numbers_and_runs_are_refused(classifier, tmp_path):
    with pytest.raises(OptionError, match="--clusters 1009: there are only 300 training samples"):
        tiny_task(clusters=1009)
    with pytest.raises(DataError, match="this run takes pictures, but these data are tables"):
        tiny_task(features=str(classifier.folder))
    with pytest.raises(RunError, match=r"no_run: no such run folder"):
        tiny_task(features=str(tmp_path / "no_run"))
    run = train("clustering", "tiny", {"epochs": 1}, out=tmp_path / "run")
    with pytest.raises(OptionError, match="is a clustering itself"):
        tiny_task(features=str(run.folder))
