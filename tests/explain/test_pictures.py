"""Pictures are shown, covered and left empty as they are, whatever the network makes of them before it looks."""

from __future__ import annotations

import io
import math

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from torch import nn

from deepen.engine.task import Terms
from deepen.explain.explaining import ExplainOptions, Request, Unfit
from deepen.explain.images import ImageExplainer
from deepen.explain.pictures import Pictures
from deepen.nn.feature_maps import frozen
from deepen.prepare import image
from deepen.prepare.encoded import Batch, Encoded

N, H, W = 11, 7, 5
NORMALIZATIONS = ("mean", "global-contrast", "local-contrast", "whitening")
PIXELS = np.random.default_rng(3).integers(0, 256, (N, H, W, 3)).astype(np.uint8)


class PictureTask:
    """What the explainer asks of a task."""

    terms = Terms("label", ("cat", "dog"))

    def __init__(self, state):
        self.state = state

    def batch(self, encoded, rows, draws):
        return Batch({"pixels": image.normalized(encoded.tensors["pixels"][rows], self.state)}, len(rows), rows)

    def outputs(self, model, batch):
        return model(batch["pixels"])


def learned(normalize):
    tensor = pa.FixedShapeTensorArray.from_numpy_ndarray(PIXELS)
    return image.learn(
        pa.table({"image": tensor, "source": [str(n) for n in range(N)]}), faults=[], normalize=normalize
    )


@pytest.fixture(params=NORMALIZATIONS)
def state(request):
    return learned(request.param)


def asked(state, rows=(2,), **options):
    torch.manual_seed(5)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(4 * H * W, 2)).eval()
    encoded = Encoded({"pixels": torch.from_numpy(PIXELS)}, pa.table({"source": [f"{n}.png" for n in range(N)]}))
    return Request(
        PictureTask(state), model, torch.device("cpu"), encoded, np.array(rows), False, None,
        ExplainOptions(**options), lambda part: None,
    )  # fmt: skip


def explainer(state):
    return ImageExplainer(PictureTask(state), state, pictures="pixels", truth="label")


def answers(request, pixels):
    """Logits of pictures [B, H, W, 3] uint8, by the task's own way."""
    return request.model(image.normalized(torch.from_numpy(pixels), request.task.state).contiguous()).detach()


def test_a_sample_is_shown_as_it_is(state):
    request = asked(state, (2, 7))
    with frozen(request.model):
        shown = explainer(state).samples(request)
    for row, (sample, _) in zip((2, 7), shown, strict=True):
        assert (np.asarray(Image.open(io.BytesIO(sample.png))) == PIXELS[row]).all()


@pytest.mark.parametrize("baseline", ["black", "white"])
def test_occlusion_is_what_is_answered_of_a_picture_with_that_patch_on_it(state, baseline):
    request = asked(state, baseline=baseline, patch=3, stride=2)
    with frozen(request.model):
        told = explainer(state).methods["occlusion"].call(request).by_row[2]
    k = int(answers(request, PIXELS[2:3]).argmax())
    painted = []
    for y in (0, 2, 4):
        for x in (0, 2):
            painted.append(PIXELS[2].copy())
            painted[-1][y : y + 3, x : x + 3] = 255 if baseline == "white" else 0
    assert told["probability"] == pytest.approx(float(answers(request, PIXELS[2:3]).softmax(1)[0, k]), abs=1e-6)
    assert told["lowest"] == pytest.approx(float(answers(request, np.stack(painted)).softmax(1)[:, k].min()), abs=1e-6)


@pytest.mark.parametrize("baseline", ["auto", "white", "mean"])
def test_integrated_gradients_go_from_an_empty_picture_to_the_picture(state, baseline):
    request = asked(state, baseline=baseline)
    with frozen(request.model):
        found = explainer(state).methods["integrated-gradients"].call(request)
    means = np.round(PIXELS.reshape(-1, 3).mean(0))  # of a whole number: what a picture could hold
    empty = np.broadcast_to({"auto": 0, "white": 255, "mean": means}[baseline], (1, H, W, 3)).astype(np.uint8)
    before, after = answers(request, empty), answers(request, PIXELS[2:3])
    k = int(after.argmax())
    assert found.by_row[2]["change"] == pytest.approx(float(after[0, k] - before[0, k]), abs=0.02)
    assert found.by_row[2]["complete"]
    assert ("--normalize" in found.notes[0]) == (state["normalize"] != "mean")


def test_what_shows_nothing_is_what_it_is_called(state):
    pictures = Pictures(state)
    like = torch.from_numpy(PIXELS[:2]).permute(0, 3, 1, 2).float()
    assert (pictures.empty("black", like) == 0).all() and (pictures.empty("white", like) == 255).all()
    means = torch.from_numpy(PIXELS.reshape(-1, 3).mean(0))
    assert torch.allclose(pictures.empty("mean", like)[1, :, 4, 3].double(), means, atol=2e-4)
    blurred = pictures.empty("blur", like)
    assert math.isclose(float(blurred.mean()), float(like.mean()), rel_tol=0.1) and blurred.std() < like.std() / 2


def test_a_run_that_never_kept_the_mean_colour_says_so():
    old = {name: value for name, value in learned("local-contrast").items() if name != "mean_colour"}
    with pytest.raises(Unfit, match="--baseline mean: a run of --normalize local-contrast"):
        explainer(old).methods["occlusion"].call(asked(old, baseline="mean"))
    notes = explainer(old).methods["occlusion"].call(asked(old)).notes
    assert "with what is black" in notes[0]
