"""Clusters explained: planted groups whose columns and places are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
import torch

from deepen.data.columns import with_origin
from deepen.data.dataset import Dataset
from deepen.explain.explaining import ExplainOptions, Request, Unfit
from deepen.tasks.clustering import Options, Task, learn

N = 41


def request(task, encoded, rows=(3, 0), **options):
    return Request(
        task, task.build().eval(), torch.device("cpu"), encoded, np.array(rows), False, encoded,
        ExplainOptions(**options), lambda part: None,
    )  # fmt: skip


def made(table, **options):
    task = Task(chosen := Options(**options), learn(chosen, table, Dataset("made", "", {"all": table}), []))
    return task, task.encode(table, "train", [])


@pytest.fixture(scope="module")
def table_task():
    """Two groups apart in `far` and in `kind`; `noise` is the same in both."""
    draw = np.random.default_rng(5)
    group = np.arange(N) % 2
    columns = {
        "far": [f"{10 * k + value:.3f}" for k, value in zip(group, draw.normal(0, 0.1, N), strict=True)],
        "noise": [f"{value:.3f}" for value in draw.normal(0, 0.01, N)],
        "kind": [("round", "square")[k] for k in group],
    }
    return made(with_origin(pa.table(columns), [f"row {row}" for row in range(N)]), clusters=2)


@pytest.fixture(scope="module")
def picture_task():
    """Bright on the left, or bright on the right."""
    pixels = np.random.default_rng(3).integers(0, 30, (N, 7, 5, 1)).astype(np.uint8)
    pixels[::2, 2:5, :2] = 250
    pixels[1::2, 2:5, 3:] = 250
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(pixels)
    names = [f"{row}.png" for row in range(N)]
    return *made(pa.table({"image": column, "source": names, "key": names}), clusters=2), pixels


def distances(asked, rows):
    task, model = asked.task, asked.model
    vectors = task.vectors(model, task.batch(asked.encoded, np.array(rows), None))
    return torch.cdist(vectors, model.clusters.centres).detach()


def test_prototypes_are_the_nearest_of_each_cluster(table_task):
    asked = request(*table_task)
    found = asked.task.explainer().methods["prototypes"].call(asked)
    every = distances(asked, range(N))
    for k in range(2):
        own = [row for row in range(N) if int(every[row].argmin()) == k]
        best = sorted(own, key=lambda row: float(every[row, k]))[:5]
        told = found.numbers[f"cluster {k}"]
        assert told["samples"] == len(own) and [each["source"] for each in told["nearest"]] == [
            f"row {r}" for r in best
        ]


def test_a_column_that_makes_the_clusters_moves_rows_and_noise_moves_none(table_task):
    """Lone shuffles: with one of `far` and `kind` gone the other still tells, so the farther one decides alone."""
    asked = request(*table_task)
    numbers = asked.task.explainer().methods["permutation"].call(asked).numbers
    shares = {name: each["importance"] for name, each in numbers["columns"].items()}
    assert 0.3 < shares["far"] < 0.7 and shares["noise"] == shares["kind"] == 0 and numbers["rows"] == N


def test_the_margin_of_a_row_goes_with_its_columns(table_task):
    asked = request(*table_task, references=N)
    found = asked.task.explainer().methods["occlusion"].call(asked)
    every = distances(asked, [3, 0])
    for row, each in zip((3, 0), every, strict=True):
        told = found.by_row[row]
        assert told["margin"] == pytest.approx(float(each.max() - each.min()), abs=1e-4)
        assert max(told["columns"], key=lambda name: told["columns"][name]) == "far"


def test_centres_are_told_in_terms_of_the_columns(table_task):
    asked = request(*table_task)
    numbers = asked.task.explainer().methods["centres"].call(asked).numbers
    low, high = sorted(numbers.values(), key=lambda each: each["far"])
    assert low["far"] == pytest.approx(-1, abs=0.1) and high["far"] == pytest.approx(1, abs=0.1)
    assert low["kind = round"] == pytest.approx(1, abs=1e-5) and low["kind = square"] == pytest.approx(0, abs=1e-5)


def test_a_covered_picture_is_measured_as_one_with_that_patch(picture_task):
    task, encoded, pixels = picture_task
    asked = request(task, encoded, (0,), baseline="black", patch=3, stride=2)
    found = task.explainer().methods["occlusion"].call(asked)
    painted = []
    for y in (0, 2, 4):
        for x in (0, 2):
            painted.append(pixels[0].copy())
            painted[-1][y : y + 3, x : x + 3] = 0
    table = pa.table(
        {"image": pa.FixedShapeTensorArray.from_numpy_ndarray(np.stack(painted)), "source": list("abcdef")}
    )
    table = table.append_column("key", table.column("source"))
    own = int(distances(asked, [0]).argmin())
    covered = distances(dataclasses.replace(asked, encoded=task.encode(table, "predict", [])), range(6))
    margins = covered[:, 1 - own] - covered[:, own]
    assert found.by_row[0]["lowest"] == pytest.approx(float(margins.min()), abs=1e-4)
    assert found.by_row[0]["peak"][1] < 2  # what is bright there keeps it where it is


def test_centres_of_pictures_are_their_means(picture_task):
    task, encoded, pixels = picture_task
    asked = request(task, encoded)
    centres = task.explainer().methods["centres"].call(asked).tensors["pictures"]
    means = {float(pixels[k::2].mean()): pixels[k::2].mean(0)[..., 0] / 255 for k in range(2)}
    for centre in centres:
        assert min(float(np.abs(centre[0].numpy() - mean).max()) for mean in means.values()) < 1e-4


def test_samples_name_their_cluster_and_the_farthest_stand_first(table_task):
    asked = request(*table_task)
    explainer, metrics = asked.task.explainer(), asked.task.metrics()
    asked.task.score(asked.model, asked.task.batch(asked.encoded, np.arange(N), None), metrics)
    every = distances(asked, range(N))
    assert explainer.worst(metrics, 3) == every.amin(1).argsort(descending=True)[:3].tolist()
    (shown, told), _ = explainer.samples(asked)
    assert told["answer"] == f"cluster {int(every[3].argmin())}" and "far: " in shown.text
    with pytest.raises(Unfit, match="shuffling needs two rows"):
        one = asked.task.encode(asked.encoded.table.slice(0, 1), "predict", [])
        explainer.methods["permutation"].call(dataclasses.replace(asked, encoded=one))
