"""Images by their own contrast, and whitened: equal to what they are made of, and learned from training alone."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from deepen.core.errors import DataError, OptionError
from deepen.ops.contrast import global_contrast, local_contrast
from deepen.ops.whitening import spectrum, zca_whitened
from deepen.prepare import image, image_learn


def photographs(count, height=7, width=5, channels=3, seed=0):
    """Smooth random pictures: neighbours are alike, as in photographs."""
    draw = np.random.default_rng(seed)
    rough = draw.normal(size=(count, height + 2, width + 2, channels))
    smooth = sum(rough[:, y : y + height, x : x + width] for y in range(3) for x in range(3))
    return (smooth * 20 + 128).clip(0, 255).astype(np.uint8)


def table(pixels):
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(pixels.copy())
    return pa.table({"image": column, "source": [str(row) for row in range(len(pixels))]})


def normalized(pixels, state):
    return image.normalized(torch.from_numpy(pixels), state)


@pytest.mark.parametrize(
    ("name", "function"), [("global-contrast", global_contrast), ("local-contrast", local_contrast)]
)
def test_contrast_is_that_of_pixels_in_0_to_1(name, function):
    pixels = photographs(11)
    state = image.learn(table(pixels), faults=[], normalize=name)
    assert json.loads(json.dumps(state)) == state
    found = normalized(pixels, state)
    expected = function(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)
    assert torch.allclose(found, expected, atol=1e-6)
    assert found.dtype == torch.float32 and found.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(normalized(pixels[3:4], state), found[3:4], atol=1e-6)


def test_whitening_is_zca_of_the_contrast_normalized_training_images():
    training, others = photographs(211), photographs(13, seed=1)
    state = json.loads(json.dumps(image.learn(table(training), faults=[], normalize="whitening")))

    def by_contrast(pixels):
        return global_contrast(torch.from_numpy(pixels).permute(0, 3, 1, 2).double() / 255).flatten(1)

    learned = spectrum(by_contrast(training))
    expected = zca_whitened(by_contrast(others), learned, epsilon=0.1).view(13, 3, 7, 5)
    assert torch.allclose(normalized(others, state).double(), expected, atol=2e-5)  # the state is float32


def test_whitened_training_images_are_white():
    """Covariance U diag(l / (l + 0.1)) U^T: near the identity where the variance is far above 0.1."""
    training = photographs(4_001, channels=1)
    state = image.learn(table(training), faults=[], normalize="whitening")
    x = normalized(training, state).double().flatten(1)
    covariance = x.T @ x / len(x)
    plain = (
        normalized(training, image.learn(table(training), faults=[], normalize="global-contrast")).double().flatten(1)
    )
    values, vectors = torch.linalg.eigh(plain.T @ plain / len(plain) - plain.mean(0)[:, None] * plain.mean(0))
    expected = vectors @ torch.diag(values / (values + 0.1)) @ vectors.T
    assert torch.allclose(covariance, expected, atol=1e-4)
    apart = (plain.T @ plain / len(plain))[0, 1]
    assert float(apart) > 0.4 and abs(float(covariance[0, 1])) < 0.12  # neighbours were alike and no longer are


def test_large_images_keep_their_main_directions(monkeypatch):
    monkeypatch.setattr(image_learn, "WHITENING_NUMBERS", 35 * 9)
    training = photographs(211, channels=1)
    state = image.learn(table(training), faults=[], normalize="whitening")
    assert state["whitening"]["directions"]["shape"] == [35, 9]
    data = global_contrast(torch.from_numpy(training).permute(0, 3, 1, 2).double() / 255).flatten(1)
    expected = zca_whitened(data, spectrum(data, most=9), epsilon=0.1)
    assert torch.allclose(normalized(training, state).double().flatten(1), expected, atol=2e-5)


def test_what_cannot_be_is_refused_with_its_mend():
    with pytest.raises(
        OptionError, match=r"--normalize whitening: expected images of at most 12,288 numbers, but 96 x 80"
    ):
        image.learn(table(photographs(2, 96, 80)), faults=[], normalize="whitening")
    with pytest.raises(OptionError, match=r"--normalize local-contrast: expected no --mean.* but there is \[0\.5\]"):
        image.learn(table(photographs(2, channels=1)), faults=[], mean=(0.5,), normalize="local-contrast")


def test_files_whose_headers_alone_are_whole_are_refused():
    buffer = io.BytesIO()
    Image.fromarray(photographs(1, 40, 50)[0]).save(buffer, "PNG")
    column = pa.array([buffer.getvalue()[:900]] * 3, pa.binary())
    broken = pa.table({"image": column, "source": ["a.png", "b.png", "c.png"]})
    with pytest.raises(DataError, match="none of the 3 that were looked at can be decoded"):
        image.learn(broken, faults=[], normalize="whitening")


def test_one_image_and_flat_images_stay_finite():
    for pixels in (photographs(1), np.full((3, 5, 7, 1), 9, np.uint8)):
        state = image.learn(table(pixels), faults=[], normalize="whitening")
        assert torch.isfinite(normalized(pixels, state)).all()


def test_a_state_of_before_is_read_as_mean():
    pixels = photographs(3)
    state = image.learn(table(pixels), faults=[])
    assert state["normalize"] == "mean"
    before = {name: value for name, value in state.items() if name != "normalize"}
    assert torch.equal(normalized(pixels, before), normalized(pixels, state))


def test_a_graph_leaves_nothing_of_its_tracing_behind() -> None:
    """The numbers of a normalization are kept from call to call; those that a tracer made would be no numbers."""
    from deepen.prepare import image, image_graph

    state = {"size": [5, 7], "channels": 1, "mean": [0.123], "std": [0.456], "normalize": "mean"}
    pixels = image_graph.examples(state)["pixels"]
    for _ in range(2):
        graph = image_graph.ImageGraph(torch.nn.Identity(), state).eval()
        program = torch.export.export(graph, (pixels,))
        assert torch.equal(program.module()(pixels), image.normalized(pixels, state))
