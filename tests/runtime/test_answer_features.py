"""Features and errors from a graph's columns: by hand, and the noise by the training's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from deepen.core import rng
from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.metrics.reconstruction import Reconstruction
from deepen.ops.corruption import corrupted
from deepen.runtime import prepare_coded_image, prepare_of_run, rows
from deepen.runtime.answer_features import NOISE_USE, Answers, FeatureAnswer, noise_of

STATE: dict[str, Any] = {"size": 2, "labels": [], "noise": None, "draws": []}
OUTPUTS = np.array([[1, 2, 0.5, 4], [3, -4, 0.25, 2]], np.float32)


def table(*labels: str | None) -> pa.Table:
    sources = [f"{place}.png" for place in range(len(labels))]
    return pa.table({"source": pa.array(sources), "label": pa.array(labels, pa.string())})


def test_answers_by_hand() -> None:
    found = Answers(STATE).answers(OUTPUTS, {}, table("a", "b"))
    assert found == [FeatureAnswer("0.png", (1.0, 2.0), 0.5), FeatureAnswer("1.png", (3.0, -4.0), 0.25)]


def test_labels_are_numbers_where_training_knew_them_and_no_row_is_left_out() -> None:
    some = Answers({**STATE, "labels": ["cat", "dog"]})
    numbers, kept = some.targets(table("dog", None, "cat", "cow", " dog "), "test", faults := [])
    assert numbers.tolist() == [1, -1, 0, -1, 1] and kept.tolist() == [0, 1, 2, 3, 4] and not faults
    numbers, _ = some.targets(table("dog").drop_columns(["label"]), "test", [])
    assert numbers.tolist() == [-1]
    numbers, _ = Answers(STATE).targets(table("dog"), "test", [])
    assert numbers.tolist() == [-1]


@pytest.mark.parametrize("kind", ["gaussian", "masking", "salt-and-pepper"])
@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_the_noise_is_that_of_the_task(kind: str, level: float) -> None:
    draw = np.random.default_rng(0)
    clean = draw.integers(0, 256, (5, 3, 7, 11)).astype(np.float32) / 255
    uniform = rng.uniform(0, 0, np.arange(5), 3 * 7 * 11, NOISE_USE).reshape(clean.shape)
    right = corrupted(torch.from_numpy(clean), kind, level, torch.from_numpy(uniform).flatten(1)).numpy()
    assert np.allclose(clean + noise_of(clean, kind, level, uniform), right, atol=1e-6)
    assert level == 0 or not np.allclose(right, clean)


def test_figures_ask_for_noise_first_and_then_for_each_draw() -> None:
    state = {**STATE, "noise": {"kind": "masking", "level": 1.0}, "draws": [[1, 2], [3, 4], [5, 6]]}
    answers = Answers(state)
    zeros = {"noise": np.zeros((2, 3, 1, 1), np.float32), "draws": np.zeros((2, 2), np.float32)}
    arrays = {"pixels": np.full((2, 1, 1, 3), 51, np.uint8), **zeros}
    asked = list(answers.further(arrays, np.arange(2)))
    assert len(asked) == 4 and all(each["pixels"] is arrays["pixels"] for each in asked)
    assert np.allclose(asked[0]["noise"], -0.2) and not asked[0]["draws"].any()
    assert [each["draws"].tolist() for each in asked[1:]] == [[[1, 2]] * 2, [[3, 4]] * 2, [[5, 6]] * 2]
    assert not any(each["noise"].any() for each in asked[1:])
    # columns behind the two features: error, variation, log-likelihood, divergence
    plain = np.array([[0, 0, 1, 4, 0, 2], [0, 0, 3, 12, 0, 4]], np.float32)
    further = {f"further {place}": plain.copy() for place in range(4)}
    further["further 0"][:, 2] = 7
    for place, value in zip((1, 2, 3), (-1, -2, -6), strict=True):
        further[f"further {place}"][:, 4] = value
    metrics = answers.metrics()
    answers.score(metrics, plain, np.array([-1, -1]), {**arrays, **further}, np.arange(2))
    expected = {"mean_squared_error": 2, "denoising_error": 7, "elbo": -6, "divergence": 3, "variance_explained": 0.75}
    assert metrics.result() == pytest.approx(expected)


def test_arrays_give_the_figures_of_tensors() -> None:
    draw = np.random.default_rng(1)
    names = ("errors", "variations", "labels")
    entries = {name: draw.random(31).astype(np.float32) for name in names[:2]} | {"labels": np.arange(31) % 3}
    codes = draw.normal(size=(31, 5)).astype(np.float32)
    first, second = Reconstruction(), Reconstruction()
    first.add(entries, codes, np.arange(31))
    tensors = {name: torch.from_numpy(each) for name, each in entries.items()}
    second.add(tensors, torch.from_numpy(codes), np.arange(31))
    assert first.result() == second.result() and first.intervals() == second.intervals()
    assert {name: each.tolist() for name, each in first.state().items()} == {
        name: each.tolist() for name, each in second.state().items()
    }


def test_how_far_apart_outputs_are() -> None:
    answers = Answers(STATE)
    assert answers.apart(OUTPUTS, OUTPUTS, {}) == 0
    moved = OUTPUTS.copy()
    moved[1, 0] += 0.1  # features have a root mean square of sqrt(30 / 4)
    assert answers.apart(OUTPUTS, moved, {}) == pytest.approx(0.1 / 7.5**0.5, rel=1e-5)
    moved = OUTPUTS.copy()
    moved[0, 2] += 0.1  # the distances from the mean image one of sqrt(10)
    assert answers.apart(OUTPUTS, moved, {}) == pytest.approx(0.1 / 10**0.5, rel=1e-5)
    moved[0, 0] = np.nan
    assert not answers.apart(OUTPUTS, moved, {}) <= 1e9


def pictures(count: int) -> pa.Table:
    pixels = np.random.default_rng(2).integers(0, 256, (count, 5, 3, 1)).astype(np.uint8)
    return pa.table({"image": pa.FixedShapeTensorArray.from_numpy_ndarray(pixels)})


def test_inputs_that_only_figures_fill_are_zeros() -> None:
    image = {"size": [5, 3], "channels": 1, "background": [0], "resize": "crop"}
    state = {"image": image, "max_pixels": 1000, "zeros": {"noise": [1, 5, 3], "draws": [7]}}
    found = prepare_coded_image.prepared(pictures(13), state, "test", [])
    arrays = found.arrays(np.array([2, 11]))
    assert found.kept.tolist() == list(range(13)) and found.rows_at_once == rows.ROWS_AT_ONCE
    assert arrays["pixels"].shape == (2, 5, 3, 1) and arrays["noise"].shape == (2, 1, 5, 3)
    assert arrays["draws"].dtype == np.float32 and arrays["draws"].shape == (2, 7) and not arrays["draws"].any()


def test_a_runs_own_preparation_says_nothing_of_other_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    from deepen.runtime import prepare_table

    def prepared(table: pa.Table, state: dict[str, Any], split: str, faults: list[Fault]) -> rows.Whole:
        faults += [Fault("warning", "column-extra", "", "kind"), Fault("sample", "cell", "", "bad", split, 1)]
        assert state == {"kind": "table", "table": {}, "sizes": {"batch": [1, None]}}
        return rows.Whole({}, np.array([0, 2]))

    monkeypatch.setattr(prepare_table, "prepared", prepared)
    state = {"kind": "of_run", "of": {"kind": "table", "table": {}}, "sizes": {"batch": [1, None]}}
    found = prepare_of_run.prepared(pictures(3), state, "test", faults := [])
    assert found.kept.tolist() == [0, 2] and [(each.kind, each.split) for each in faults] == [("cell", "predict")]
    with pytest.raises((ValueError, DataError)):
        prepare_of_run.prepared(pictures(3), {**state, "of": {"kind": "../../table"}}, "test", [])
