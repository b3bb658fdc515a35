"""Explaining a network over pictures through the task's contract alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from deepen.core.errors import OptionError
from deepen.core.figures import Gallery
from deepen.engine.task import Terms
from deepen.explain.explaining import ExplainOptions, Request, Unfit
from deepen.explain.images import ImageExplainer
from deepen.nn.feature_maps import frozen
from deepen.ops import attribution
from deepen.prepare import image
from deepen.prepare.encoded import Batch, Encoded

N, H, W = 5, 9, 7
LABELS = ("cat", "dog", "cow")
STATE = {"mean": [0.4, 0.5, 0.6], "std": [0.25, 0.2, 0.3], "channels": 3, "size": [H, W]}


@dataclass
class PictureTask:
    """What the explainer asks of a task."""

    terms: Terms = field(default_factory=lambda: Terms("label", LABELS))
    state: dict[str, Any] = field(default_factory=lambda: STATE)

    def batch(self, encoded, rows, draws):
        index = torch.from_numpy(rows)
        pixels = image.normalized(encoded.tensors["pixels"][index], self.state)
        return Batch({"pixels": pixels, "label": encoded.tensors["label"][index]}, len(rows), rows)

    def outputs(self, model, batch):
        return model(batch["pixels"])


def network():
    torch.manual_seed(2)
    return nn.Sequential(nn.Conv2d(3, 11, 3), nn.ReLU(), nn.Flatten(), nn.Linear(11 * 7 * 5, 3))


def flat_network():
    torch.manual_seed(2)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * H * W, 13), nn.ReLU(), nn.Linear(13, 3))


def request(model, rows=(3, 0), *, has_targets=True, **options):
    draw = torch.Generator().manual_seed(7)
    pixels = torch.randint(0, 256, (N, H, W, 3), generator=draw, dtype=torch.uint8)
    tensors = {"pixels": pixels, "label": torch.tensor([0, 1, 2, 1, 0])}
    encoded = Encoded(tensors, pa.table({"source": [f"{index}.png" for index in range(N)]}))
    progress: list[float] = []
    made = Request(
        PictureTask(), model.eval(), torch.device("cpu"), encoded, np.array(rows), has_targets, None,
        ExplainOptions(**options), progress.append,
    )  # fmt: skip
    return made, progress


def seen(asked):
    """All pictures as the network gets them, without memory order, on which torch's sums hang."""
    return image.normalized(asked.encoded.tensors["pixels"], STATE).contiguous()


@pytest.fixture
def explainer():
    return ImageExplainer(PictureTask(), STATE, pictures="pixels", truth="label")


def test_samples_show_the_picture_its_answer_and_its_truth(explainer):
    asked, _ = request(network())
    with frozen(asked.model):
        (first, told), _ = explainer.samples(asked)
    probabilities = asked.model(seen(asked)[3:4]).detach().softmax(1)[0]
    assert told["answer"] == LABELS[int(probabilities.argmax())] and told["truth"] == "dog"
    assert told["probability"] == pytest.approx(float(probabilities.max()), abs=1e-6)
    assert first.caption[0] == "truth: dog" and first.caption[-1] == "3.png" and first.png.startswith(b"\x89PNG")
    unknown, _ = request(network(), has_targets=False)
    assert "truth" not in explainer.samples(unknown)[0][1]


def test_every_method_answers_for_every_row_and_tells_how_far_it_is(explainer):
    for name, method in explainer.methods.items():
        asked, progress = request(network())
        with frozen(asked.model):
            found = method.call(asked)
        if method.needs == "samples":
            assert list(found.panels) == list(found.by_row) == [3, 0], name
            assert progress == [0.5, 1.0]
        assert (found.values or found.tensors) and all(parameter.grad is None for parameter in asked.model.parameters())


def test_integrated_gradients_start_from_black_and_are_told_as_complete(explainer):
    asked, _ = request(network(), (2,))
    found = explainer.methods["integrated-gradients"].call(asked)
    picture = seen(asked)[2:3]
    black = -torch.tensor(STATE["mean"]).view(1, 3, 1, 1) / torch.tensor(STATE["std"]).view(1, 3, 1, 1)
    target = asked.model(picture).argmax(1)
    change = (asked.model(picture) - asked.model(black.expand_as(picture)))[0, target].item()
    told = found.by_row[2]
    assert told["change"] == pytest.approx(change, rel=1e-5)
    assert told["complete"] and abs(told["gap"]) <= 0.05 * max(1, abs(change))
    assert float(found.values[2][""].sum()) == pytest.approx(told["sum"], rel=1e-4)
    assert "1 of 1 do within 5%" in found.notes[0] and "black" in found.notes[0]


def test_the_class_that_is_asked_for_is_the_one_explained(explainer):
    asked, _ = request(network(), (1,), of_class="cow")
    found = explainer.methods["saliency"].call(asked)
    expected = attribution.saliency(asked.model, seen(asked)[1:2], torch.tensor([2]))[0]
    assert torch.equal(found.values[1][""], expected) and found.by_row[1]["class"] == "cow"
    y, x = divmod(int(expected.argmax()), W)
    assert found.by_row[1]["peak"] == [y, x]


def test_grad_cam_finds_its_layer_and_equals_the_formula_on_it(explainer):
    asked, _ = request(network(), (4,))
    found = explainer.methods["grad-cam"].call(asked)
    assert found.by_row[4]["layer"] == "1"
    picture = seen(asked)[4:5]
    maps = asked.model[:2](picture).detach().requires_grad_(True)
    outputs = asked.model[2:](maps)
    (slopes,) = torch.autograd.grad(outputs[0, outputs.argmax()], maps)
    assert torch.allclose(found.values[4][""], attribution.grad_cam(maps, slopes)[0].detach(), atol=1e-6)
    other, _ = request(network(), (4,), layer=("0",))
    assert explainer.methods["grad-cam"].call(other).by_row[4]["layer"] == "0"


def test_smoothgrad_draws_by_seed_row_and_copy(explainer):
    one, two, both = (request(network(), rows, draws=3)[0] for rows in ((0,), (3,), (3, 0)))
    call = explainer.methods["smoothgrad"].call
    found = call(both).values
    assert torch.equal(found[0][""], call(one).values[0][""]) and torch.equal(found[3][""], call(two).values[3][""])
    other, _ = request(network(), (0,), draws=3, seed=1)
    assert not torch.equal(call(other).values[0][""], found[0][""])


def test_what_does_not_fit_is_said_in_one_sentence(explainer):
    cases = [
        ("grad-cam", flat_network(), {}, Unfit, "--method grad-cam: no layer of this network keeps places apart"),
        ("grad-cam", network(), {"layer": ("3",)}, Unfit, r"--layer 3: puts out \(3,\), but Grad-CAM needs maps"),
        (
            "grad-cam",
            network(),
            {"layer": ("conv",)},
            OptionError,
            "--layer conv: no such layer; there is: 0, 1, 2, 3.",
        ),
        ("activations", network(), {"layer": ("9",)}, OptionError, "--layer 9: no such layer"),
        ("filters", network(), {"layer": ("1",)}, Unfit, "--layer 1: ReLU has no filters"),
        (
            "filters",
            nn.Sequential(nn.AvgPool2d(3), nn.Flatten(), nn.Linear(18, 3)),
            {},
            Unfit,
            "no layer of this network",
        ),
        ("occlusion", network(), {"patch": 8}, Unfit, "--patch 8: the pictures are 7 pixels high or wide"),
        ("occlusion", network(), {"patch": 2, "stride": 3}, Unfit, "--stride 3: pixels between patches of 2"),
        ("saliency", network(), {"of_class": "cov"}, OptionError, "--of-class cov: no such class; did you mean cow?"),
    ]
    for name, model, options, kind, words in cases:
        asked, _ = request(model, **options)
        with pytest.raises(kind, match=words):
            explainer.methods[name].call(asked)


def test_filters_of_a_linear_layer_are_pictures_too(explainer):
    for model, shape in ((network(), [11, 3, 3, 3]), (flat_network(), [13, 3, H, W])):
        asked, _ = request(model)
        found = explainer.methods["filters"].call(asked)
        (figure,) = found.figures
        assert isinstance(figure, Gallery) and figure.samples[0].png.startswith(b"\x89PNG")
        (told,) = found.numbers.values()
        assert told["shape"] == shape and len(told["norms"]) == shape[0]


def test_activations_of_named_layers_are_those_of_the_network(explainer):
    asked, _ = request(network(), (1,), layer=("1", "3"))
    found = explainer.methods["activations"].call(asked)
    picture = seen(asked)[1:2]
    assert torch.equal(found.values[1]["1"], asked.model[:2](picture)[0].detach())
    assert torch.equal(found.values[1]["3"], asked.model(picture)[0].detach())
    assert [panel.caption[0] for panel in found.panels[1]] == ["1", "3"]
    default, _ = request(network(), (1,))
    assert list(explainer.methods["activations"].call(default).by_row[1]) == ["0"]
