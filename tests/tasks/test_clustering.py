import dataclasses
import functools
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from sklearn.cluster import KMeans

from deepen.core.errors import DataError, OptionError, RunError
from deepen.core.figures import Bars, Gallery, Matrix, Points
from deepen.data.columns import with_origin
from deepen.data.read import ReadOptions
from deepen.data.readers.digits import read
from deepen.engine.features import features_of
from deepen.tasks.clustering import TINY, Options, Task, learn
from deepen.verbs.compress import compress
from deepen.verbs.evaluate import evaluate
from deepen.verbs.loaded import loaded
from deepen.verbs.options import resolved, task_module
from deepen.verbs.predict import predict
from deepen.verbs.prepared import prepare
from deepen.verbs.train import train


def tiny_task(**options):
    dataset = TINY.make(0)
    table, chosen, faults = dataset.tables["all"], Options(**options), []
    task = Task(chosen, learn(chosen, table, dataset, faults))
    return task, task.encode(table, "train", faults), faults


@pytest.mark.parametrize(
    ("data", "given", "said"),
    [
        ("tiny", {"image_size": 8}, "image_size: training k-means on rows of a table does not read it; leave it out"),
        ("tiny", {"resize": "pad"}, "resize: training k-means on rows of a table"),
        ("digits", {"columns.whiten": True}, "columns.whiten: training k-means on pictures"),
    ],
)
def test_an_option_that_these_data_do_not_need_is_refused(data, given, said):
    with pytest.raises(OptionError, match=f"^{said}"):
        prepare("clustering", data, resolved("clustering", {"clusters": 3, **given}))


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


TEXT_RUNS = {
    "text-classification": {"model": "textcnn", "network.width": 11, "network.filters": 5},
    "text-pair-classification": {"model": "decomposable-attention", "network.width": 11, "network.hidden": 13},
    "token-tagging": {"network.width": 11, "network.hidden": 13, "network.filters": 5},
    "language-modeling": {"model": "lstm", "width": 11, "network.hidden_size": 13},
}


@pytest.fixture(scope="module")
def text_run(tmp_path_factory):
    """A run of a task on texts, and where its folder is; each is trained once."""

    @functools.cache
    def made(task):
        folder = tmp_path_factory.mktemp(task) / "run"
        return train(task, "tiny", {**TEXT_RUNS[task], "steps": 3, "threads": 1}, out=folder)

    return made


def alone(own, table, row):
    """What the network's last layer reads of one sample without any beside it, [D], by a hook of its own."""
    batch = own.task.batch(own.task.encode(table.slice(row, 1), "predict", []), np.arange(1), None)
    if own.header["task"] == "language-modeling":
        return own.model(batch["ids"][:, : int(batch["length"][0])], None)[0][0].mean(0)
    last = own.model.head if own.header["task"] == "text-pair-classification" else own.model.linear
    seen = []
    hook = last.register_forward_pre_hook(lambda layer, given: seen.append(given[0]))
    own.task.answer(own.model, batch, [""])
    hook.remove()
    return seen[-1][0].mean(0) if seen[-1].dim() == 3 else seen[-1][0]


@pytest.mark.parametrize("task", list(TEXT_RUNS))
def test_texts_are_clustered_by_what_a_run_makes_of_each_of_them(task, text_run, tmp_path):
    data = task_module(task).TINY.make(0)
    if task == "language-modeling":  # of which a line is a sample
        lines = [line for text in data.tables["all"].column("text").to_pylist() for line in text.split("\n") if line]
        made = with_origin(pa.table({"text": lines}), [f"line {row}" for row in range(len(lines))])
        data = data.with_tables({"all": made})
    run = train("clustering", data, {"clusters": 3, "features": str(text_run(task).folder), "threads": 1}, out=tmp_path)
    kept, own = loaded(run.folder), loaded(text_run(task).folder)
    table = data.tables["all"].slice(0, 7)
    encoded = kept.task.encode(table, "predict", [])
    with torch.inference_mode():
        found = kept.task.vectors(kept.model, kept.task.batch(encoded, np.arange(7), None))
        for row in range(7):
            assert torch.allclose(found[row], alone(own, table, row), atol=1e-5)
    assert ("adjusted_rand_index" in run.metrics) == ("label" in table.column_names)
    assert kept.model.clusters.centres.shape == (3, found.shape[1])


def test_files_of_texts_are_read_as_the_run_reads_them_also_when_it_is_gone(text_run, tmp_path):
    """Labels are compared with where there are any; a plain text has a sample on each line, in training too."""
    folder = tmp_path / "run"
    shutil.copytree(text_run("text-classification").folder, folder)
    table = task_module("text-classification").TINY.make(0).tables["all"].slice(0, 61)
    texts, kinds = (table.column(name).to_pylist() for name in ("text", "label"))
    (tmp_path / "labelled.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in zip(kinds, texts, strict=True)))
    (tmp_path / "plain.txt").write_text("\n".join(dict.fromkeys(texts)))
    given = {"clusters": 2, "features": str(folder), "threads": 1}
    labelled = train("clustering", tmp_path / "labelled.tsv", given, out=tmp_path / "labelled")
    plain = train("clustering", tmp_path / "plain.txt", given, out=tmp_path / "plain")
    assert "purity" in labelled.metrics and "purity" not in plain.metrics
    shutil.rmtree(folder)
    assert evaluate(labelled.folder).metrics == labelled.metrics
    answers = list(predict(plain.folder, tmp_path / "plain.txt"))
    assert [each.source for each in answers] == [f"plain.txt, line {row}" for row in range(1, len(set(texts)) + 1)]


def test_a_text_is_shown_as_one_with_its_label_and_not_beyond_its_beginning(text_run):
    chosen = Options(clusters=2, features=str(text_run("text-classification").folder))
    made = task_module("text-classification").TINY.make(0)
    table = made.tables["all"].slice(0, 41)
    table = table.set_column(
        0, "text", pa.array([f"{text} {'so ' * 300}" for text in table.column("text").to_pylist()])
    )
    task = Task(chosen, learn(chosen, table, made, []))
    metrics, encoded = task.metrics(), task.encode(table, "train", [])
    model = task.build().eval()
    with torch.inference_mode():
        task.score(model, task.batch(encoded, np.arange(41), None), metrics)
    (shown,) = [each for each in task.figures(metrics, encoded) if isinstance(each, Gallery)]
    assert all(each.text.startswith("text: ") and " ...\nlabel: " in each.text for each in shown.samples)
    assert all(len(each.text) < 450 and not each.png for each in shown.samples)


def test_an_unusable_sample_is_left_out_of_the_split_that_it_stands_in(classifier, tmp_path):
    """A run's preparation calls every sample one to be answered; who leaves it out must find it again."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for row in range(31):
        pixels = np.random.default_rng(row).integers(0, 256, (8, 8)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{row:02}.png")
    (folder / "07.png").write_bytes((folder / "07.png").read_bytes()[:60])
    given = {"clusters": 2, "features": str(classifier.folder), "threads": 1}
    with pytest.raises(DataError, match=r"07\.png"):
        train("clustering", folder, given, out=tmp_path / "whole")
    run = train("clustering", folder, given, out=tmp_path / "run", skip_bad=True)
    assert run.metrics["mean_squared_distance"] >= 0


def test_a_code_is_explained_with_the_mean_of_its_pictures_not_with_what_it_takes_away(tmp_path):
    """Which is nothing: pixels of representation learning count from 0 to 1, so the mean that they lose is black."""
    options = {"model": "principal-components", "code_size": 3, "threads": 1}
    code = train("representation-learning", "digits", options, out=tmp_path / "code")
    given = {"clusters": 2, "features": str(code.folder), "threads": 1}
    model = loaded(train("clustering", "digits", given, out=tmp_path / "run").folder)
    pictures = model.task.explainer()._originals
    empty = pictures.empty("mean", torch.zeros(1, 1, 8, 8))
    expected = loaded(code.folder).model.mean.detach().view(1, 1, 8, 8)  # which the components take away
    assert torch.allclose(empty, expected * 255, atol=1e-2) and float(empty.mean()) > 30
    assert pictures.words("mean") == "the mean of the training pictures"


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
    assert len(found[Gallery].samples) == 15
    assert all("length" in sample.text for sample in found[Gallery].samples)


def test_wrong_numbers_and_runs_are_refused(classifier, tmp_path):
    with pytest.raises(OptionError, match="--clusters 1009: there are only 300 training samples"):
        tiny_task(clusters=1009)
    with pytest.raises(DataError, match="this run takes pictures, but these data are tables"):
        tiny_task(features=str(classifier.folder))
    with pytest.raises(RunError, match=r"no_run: no such run folder"):
        tiny_task(features=str(tmp_path / "no_run"))
    run = train("clustering", "tiny", {"epochs": 1}, out=tmp_path / "run")
    with pytest.raises(
        OptionError, match=r"is a clustering itself; expected a run of image-classification, .* or token-"
    ):
        tiny_task(features=str(run.folder))


def test_runs_without_features_of_samples_are_refused_with_what_has_them(tmp_path):
    words = train("word-vectors", "tiny", {"epochs": 1, "width": 5, "threads": 1}, out=tmp_path / "words")
    with pytest.raises(OptionError, match="words: makes vectors of words, not of samples; expected a run of image-"):
        train("clustering", "tiny", {"features": str(words.folder)})
    counts = train("language-modeling", "tiny", {"model": "ngram", "threads": 1}, out=tmp_path / "counts")
    (tmp_path / "lines.txt").write_text("anna cooks\nben waters\ncarla meets\n" * 7)
    with pytest.raises(OptionError, match="--features: ngram counts and has no hidden states"):
        train("clustering", tmp_path / "lines.txt", {"features": str(counts.folder)})


def test_data_of_another_kind_are_refused(text_run):
    data = task_module("text-pair-classification").TINY.make(0)
    for task, taken in (("text-classification", "texts"), ("token-tagging", "sentences")):
        with pytest.raises(DataError, match=f"takes {taken}, but these data are pairs of texts"):
            train("clustering", data, {"features": str(text_run(task).folder)})


def test_the_network_of_a_compressed_run_is_the_compressed_one(classifier, tmp_path):
    small = compress(classifier.folder, {"method": ("int8",)}, out=tmp_path / "small").folder
    given = {"clusters": 3, "features": str(small), "threads": 1}
    run, own = loaded(train("clustering", "digits", given, out=tmp_path / "run").folder), loaded(small)
    table = read(Path("digits"), ReadOptions()).tables["all"].slice(0, 41)
    rows = np.arange(41)
    with torch.inference_mode():
        found = run.task.vectors(run.model, run.task.batch(run.task.encode(table, "predict", []), rows, None))
        expected = features_of(own.task, own.model, own.task.batch(own.task.encode(table, "predict", []), rows, None))
    assert torch.equal(found, expected)
