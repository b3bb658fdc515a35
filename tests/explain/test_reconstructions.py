"""Codes of pictures explained through a network that is only called."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from deepen.core.errors import OptionError
from deepen.explain.explaining import ExplainOptions, Request, Unfit
from deepen.explain.reconstructions import ReconstructionExplainer
from deepen.nn.feature_maps import frozen
from deepen.prepare import image
from deepen.prepare.encoded import Batch, Encoded

N, H, W = 5, 9, 7
STATE = {"mean": [0.0], "std": [1.0], "channels": 1, "size": [H, W], "normalize": "mean"}
PIXELS = np.random.default_rng(1).integers(0, 256, (N, H, W, 1)).astype(np.uint8)
MEAN = torch.from_numpy(PIXELS.mean(0) / 255).permute(2, 0, 1).float()


class Codes:
    def batch(self, encoded, rows, draws):
        return Batch({"label": encoded.tensors["label"][rows]}, len(rows), rows)


def network():
    torch.manual_seed(2)
    return nn.Sequential(nn.Flatten(), nn.Linear(H * W, 3), nn.Tanh(), nn.Linear(3, H * W), nn.Unflatten(1, (1, H, W)))


def request(rows=(3, 0), model=None, **options):
    tensors = {"pixels": torch.from_numpy(PIXELS), "label": torch.tensor([0, 1, 1, -1, 0])}
    encoded = Encoded(tensors, pa.table({"source": [f"{row}.png" for row in range(N)]}))
    return Request(
        Codes(), (model or network()).eval(), torch.device("cpu"), encoded, np.array(rows), True, None,
        ExplainOptions(**options), lambda part: None,
    )  # type: ignore[arg-type]  # fmt: skip


def explainer():
    return ReconstructionExplainer(STATE, MEAN, lambda model, pixels: model(pixels), ("cat", "dog"))


def errors_of(model, pixels):
    seen = image.normalized(torch.from_numpy(pixels), STATE)
    return (model(seen) - seen).square().flatten(1).mean(1).detach()


def test_errors_and_labels_are_told_and_the_parts_of_an_error_add_up():
    asked = request()
    expected = errors_of(asked.model, PIXELS[[3, 0]])
    with frozen(asked.model):
        told = [each for _, each in explainer().samples(asked)]
        found = explainer().methods["reconstruction"].call(asked)
    assert [each["answer"] for each in told] == pytest.approx(expected.tolist(), rel=1e-5)
    assert "truth" not in told[0] and told[1]["truth"] == "cat"
    for row, error in zip((3, 0), expected, strict=True):
        assert float(found.values[row]["errors"].mean()) == pytest.approx(float(error), rel=1e-5)
        assert len(found.panels[row]) == 2 and all(panel.png for panel in found.panels[row])  # type: ignore[union-attr]


def test_occlusion_puts_the_mean_picture_over_a_place():
    asked = request((2,), patch=5, stride=4)
    with frozen(asked.model):
        found = explainer().methods["occlusion"].call(asked)
    lowest = [float(errors_of(asked.model, PIXELS[2:3])[0])]
    for y in (0, 4):
        for x in (0, 2):
            seen = image.normalized(torch.from_numpy(PIXELS[2:3]), STATE).clone()
            seen[0, :, y : y + 5, x : x + 5] = MEAN[:, y : y + 5, x : x + 5]
            lowest.append((asked.model(seen) - seen).square().mean().item())
    assert found.by_row[2]["lowest"] == pytest.approx(min(lowest), rel=1e-4)
    assert "the mean of the training pictures" in found.notes[0]


def test_saliency_is_the_gradient_of_the_error():
    asked = request((1,))
    x = image.normalized(torch.from_numpy(PIXELS[1:2]), STATE).requires_grad_(True)
    (asked.model(x) - x).square().mean().backward()
    with frozen(asked.model):
        found = explainer().methods["saliency"].call(asked)
    assert torch.allclose(found.values[1][""], x.grad[0].abs().amax(0), atol=1e-8)  # type: ignore[index]


def test_layers_are_shown_as_those_of_any_network():
    asked = request((4,))
    with frozen(asked.model):
        filters = explainer().methods["filters"].call(asked)
        layers = explainer().methods["activations"].call(asked)
    assert filters.numbers["1"]["shape"] == [3, 1, H, W]
    assert list(layers.by_row[4]) == ["0", "2", "4"]
    with pytest.raises(Unfit, match="no layer of this network sees the picture's own pixels"):
        explainer().methods["filters"].call(request(model=nn.Identity()))
    with pytest.raises(OptionError, match="--of-class cat: this run answers none of named classes"):
        explainer().samples(request(of_class="cat"))
