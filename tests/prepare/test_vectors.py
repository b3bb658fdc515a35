import numpy as np
import pyarrow as pa
import pytest
import torch

from deepen.data.columns import with_origin
from deepen.data.pixels import pixel_table
from deepen.data.target import mark_target, target_of
from deepen.prepare import vectors
from deepen.prepare.tabular import ColumnOptions

RULES = vectors.ImageRules(None, "crop")


def table(count=53):
    draw = np.random.default_rng(0)
    far = np.where(draw.random(count) < 0.5, 0.0, 100.0) + draw.normal(size=count)
    cells = {
        "far": [f"{value:.3f}" for value in far],
        "some": ["" if row % 5 == 0 else f"{row}" for row in range(count)],
        "place": [("Oslo", "Lima", "Kyoto")[row % 3] for row in range(count)],
        "kind": [("a", "b")[row % 2] for row in range(count)],
    }
    made = pa.table({name: pa.array([cell or None for cell in each], pa.string()) for name, each in cells.items()})
    return mark_target(with_origin(made, [f"row {row}" for row in range(count)]), "kind"), far


def made(source, faults=None):
    state = vectors.learn(source, target_of(source), RULES, ColumnOptions(), [] if faults is None else faults)
    encoded, kept = vectors.encode(source, state, "train", [])
    return state, vectors.vectors_of(encoded, state, np.arange(len(encoded))), kept


def test_numbers_keep_their_gaps():
    source, far = table()
    state, found, kept = made(source)
    assert found.shape == (53, state["width"]) == (53, 1 + 2 + 4)  # far; some and whether; place, unknown included
    read = np.round(far, 3)
    assert np.allclose(found[:, 0], (read - read.mean()) / read.std(), atol=1e-5)
    assert np.array_equal(kept, np.arange(53))


def test_the_target_is_no_input():
    source, _ = table()
    assert [column["name"] for column in made(source)[0]["table"]["columns"]] == ["far", "some", "place"]


def test_rows_of_different_categories_lie_one_apart():
    _, found, _ = made(table()[0])
    places = found[:, 3:]
    assert float((places[0] - places[1]).norm()) == pytest.approx(1.0)
    assert float((places[0] - places[3]).norm()) == 0


def test_a_missing_number_says_so():
    _, found, _ = made(table()[0])
    assert found[:, 2].tolist() == [float(row % 5 == 0) for row in range(53)]


def test_pixels_are_standardized_by_channel():
    images = np.random.default_rng(0).integers(0, 255, (41, 7, 5, 3)).astype(np.uint8)
    source = pixel_table(images, pa.nulls(41, pa.string()), "test")
    assert vectors.is_of_images(source, "") and not vectors.is_of_images(table()[0], "kind")
    state, found, _ = made(source)
    assert found.shape == (41, 105) == (41, state["width"])
    channels = found.view(41, 3, -1)
    assert torch.allclose(channels.mean(dim=(0, 2)), torch.zeros(3), atol=1e-3)
    assert torch.allclose(channels.std(dim=(0, 2)), torch.ones(3), atol=1e-2)
