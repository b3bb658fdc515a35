"""Exported features and clusters: every network of the kind, and clusters of features of other runs.

Programs are checked as they are traced, in memory: what an .onnx file answers is a promise in tests/contract.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from deepen.core.errors import OptionError
from deepen.data.dataset import Dataset
from deepen.export import graph
from deepen.export.check import Eager, checked
from deepen.ops.lloyd import squared_distances
from deepen.runtime import load
from deepen.runtime.program import Program
from deepen.verbs.export import description_of, export
from deepen.verbs.loaded import Loaded, loaded
from deepen.verbs.options import task_module
from deepen.verbs.train import train

TINY: dict[str, Any] = {"epochs": 1, "threads": 1}


def tiny(task: str, count: int = 61) -> pa.Table:
    return next(iter(task_module(task).TINY.make(0).tables.values())).slice(0, count)


def program_of(model: Loaded) -> Program:
    """What a file of the run would be, computed by PyTorch."""
    exported = model.task.exported(model.model)  # type: ignore[attr-defined]
    known = description_of(model, exported) | {"sizes": {}}
    return Program(Path("run.onnx"), known, Eager(exported))


def assert_the_same(model: Loaded, table: pa.Table) -> dict[str, float]:
    """Figures and answers of the run and of its program; the figures."""
    exported, program = model.task.exported(model.model), program_of(model)  # type: ignore[attr-defined]
    found = checked(model.task, model.model, exported, program, table, "test", [])
    assert found.apart < 1e-5 and found.count == table.num_rows
    assert found.before.keys() == found.after.keys()
    for name, value in found.before.items():
        assert found.after[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
    encoded = model.task.encode(table, "predict", [])
    batch = model.task.batch(encoded, np.arange(len(encoded)), None)
    with torch.inference_mode():
        own = model.task.answer(model.model, batch, encoded.table.column("source").to_pylist())
    answers = list(program.answers(table, program.prepared(table, "predict", [])))
    assert [type(each) for each in answers] == [type(each) for each in own]
    for a, b in zip(answers, own, strict=True):
        for one, other in zip(dataclasses.astuple(a), dataclasses.astuple(b), strict=True):
            assert one == other or np.allclose(one, other, rtol=1e-4, atol=1e-5)
    return found.after


FEATURES = [
    ({"model": "principal-components", "noise": "none"}, set()),
    ({"model": "convolutional-autoencoder", "network.hidden": (), "noise": "salt-and-pepper"}, {"denoising_error"}),
    (
        {"model": "variational-autoencoder", "network.hidden": (13,), "noise": "masking"},
        {"denoising_error", "elbo", "divergence"},
    ),
    (
        {
            "model": "convolutional-variational-autoencoder",
            "network.hidden": (),
            "network.likelihood": "gaussian",
            "noise": "none",
        },
        {"elbo", "divergence"},
    ),
]


@pytest.mark.parametrize(("options", "figures"), FEATURES)
def test_every_network_of_features(options: dict, figures: set[str], tmp_path: Path) -> None:
    run = train("representation-learning", "tiny", {**TINY, **options}, out=tmp_path / "run")
    found = assert_the_same(loaded(run.folder, device="cpu"), tiny("representation-learning"))
    assert figures | {"mean_squared_error", "variance_explained", "probe_accuracy"} <= found.keys()
    assert not {"denoising_error", "elbo", "divergence"} & found.keys() - figures


def test_a_file_leaves_out_bad_pictures_as_the_run_does(tmp_path: Path) -> None:
    """Noise belongs to the place among the usable pictures, so one that is left out moves the noise of the next."""
    from PIL import Image

    from deepen.prepare.image_guard import guarded

    folder = tmp_path / "pictures"
    folder.mkdir()
    pixels = tiny("representation-learning", 23).column("image").combine_chunks().to_numpy_ndarray()
    for place, picture in enumerate(pixels):
        Image.fromarray(picture[..., 0]).save(folder / f"{place:02}.png")
    (folder / "07.png").write_bytes(b"no picture")
    run = train("representation-learning", "tiny", {**TINY, "noise_level": 0.5}, out=tmp_path / "run")
    model = loaded(run.folder, device="cpu")
    program = program_of(model)
    from deepen.verbs.evaluate import evaluate

    with guarded():
        own = evaluate(run.folder, folder, skip_bad=True)
    found = program.evaluate(folder, skip_bad=True)
    assert own.count == found.count == 22 and own.metrics.keys() == found.metrics.keys()
    for name, value in own.metrics.items():
        assert found.metrics[name] == pytest.approx(value, rel=1e-5), name


def test_clusters_of_pictures(tmp_path: Path) -> None:
    data = task_module("representation-learning").TINY.make(0)
    run = train("clustering", data, {**TINY, "clusters": 3}, out=tmp_path / "run")
    found = assert_the_same(loaded(run.folder, device="cpu"), tiny("representation-learning"))
    assert {"silhouette", "mean_squared_distance", "purity"} <= found.keys()


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("representation-learning", {"model": "variational-autoencoder", "noise": "gaussian", "network.hidden": (13,)}),
        ("image-classification", {"model": "neural-tree", "network.depth": 3, "network.leaf_hidden": 5}),
        ("tabular-regression", {"model": "tabm", "network.width": 13, "network.members": 3}),
        ("text-classification", {"model": "textcnn", "network.width": 11, "network.filters": 5}),
        ("token-tagging", {"network.width": 11, "network.hidden": 13, "network.filters": 5}),
    ],
)
def test_clusters_of_the_features_of_a_run(task: str, options: dict, tmp_path: Path) -> None:
    first = train(task, "tiny", {**TINY, **options}, out=tmp_path / "first")
    data: Dataset = task_module(task).TINY.make(0)
    chosen = {**TINY, "clusters": 3, "features": str(first.folder)}
    run = train("clustering", data, chosen, out=tmp_path / "run")
    model = loaded(run.folder, device="cpu")
    assert_the_same(model, tiny(task))
    program = program_of(model)
    faults: list = []
    table = tiny(task).append_column("further", pa.array(["x"] * 61))
    assert len(program.prepared(table, "test", faults).kept) == 61 and not faults
    assert "first" not in program.engine.inputs and program.description["preparation"]["kind"] == "of_run"


def test_clusters_of_features_in_a_file(tmp_path: Path) -> None:
    """Traced and written: nothing of the run's own answers is left in the graph."""
    import onnx

    options = {**TINY, "model": "mlp", "network.hidden": (13,)}
    first = train("tabular-classification", "tiny", options, out=tmp_path / "first")
    data = task_module("tabular-classification").TINY.make(0)
    run = train("clustering", data, {**TINY, "clusters": 3, "features": str(first.folder)}, out=tmp_path / "run")
    result = export(run.folder, data=data)
    assert result.apart < 1e-5 and result.before.keys() == result.after.keys()
    held = {each.dims[0]: each.name for each in onnx.load(result.path).graph.initializer if len(each.dims) == 2}
    assert not any(name.endswith("output.weight") for name in held.values()), held
    program = load(result.path, engine="onnxruntime", threads=1)
    table = tiny("tabular-classification")
    own = loaded(run.folder, device="cpu")
    encoded = own.task.encode(table, "predict", [])
    right = own.task.answer(own.model, own.task.batch(encoded, np.arange(61), None), [""] * 61)
    found = list(program.answers(table, program.prepared(table, "predict", [])))
    assert [each.cluster for each in found] == [each.cluster for each in right]


def test_distances_of_a_traced_graph_lose_no_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Far from zero, where products of float32 would lose all of them."""
    torch.manual_seed(0)
    vectors, centres = torch.randn(31, 7) + 1000, torch.randn(5, 7) + 1000
    vectors[3] = centres[2]
    right = squared_distances(vectors, centres)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    found = squared_distances(vectors, centres)
    assert found.dtype == torch.float32 and found[3, 2] == 0
    assert torch.allclose(found, right, rtol=1e-5, atol=1e-5)


def test_word_vectors_are_refused_by_name_with_their_file(tmp_path: Path) -> None:
    options = {**TINY, "width": 5}
    first = train("word-vectors", "tiny", options, out=tmp_path / "plain")
    with pytest.raises(OptionError, match=r"word-vectors cannot be exported: .* --export fasttext, .* vectors\.vec"):
        export(first.folder)
    second = train("word-vectors", "tiny", {**options, "export": ("glove",)}, out=tmp_path / "written")
    with pytest.raises(OptionError, match=r"take vectors\.glove\.txt in its folder\."):
        export(second.folder)
    assert (second.folder / "vectors.glove.txt").exists()


def test_a_graph_is_free_in_its_rows_alone(tmp_path: Path) -> None:
    run = train("representation-learning", "tiny", {**TINY, "model": "principal-components"}, out=tmp_path / "run")
    model = loaded(run.folder, device="cpu")
    exported = model.task.exported(model.model)  # type: ignore[attr-defined]
    traced = graph.traced(exported, place="run", for_onnx=True)
    assert traced.sizes == {"batch": (1, None)}
