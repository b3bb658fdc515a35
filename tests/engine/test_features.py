from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from deepen.core.errors import OptionError
from deepen.engine.features import features_of
from deepen.prepare.encoded import Batch


class Answers:
    """A task that only answers, with whatever network it is given."""

    def answer(self, model, batch, sources):
        model(batch["pixels"])
        return list(sources)


class OwnCode(Answers):
    def features(self, model, batch):
        return batch["pixels"][:, :1] * 2


def batch(*shape):
    return Batch({"pixels": torch.randn(*shape, generator=torch.Generator().manual_seed(0))}, 5, np.arange(5))


def test_features_are_what_the_last_linear_layer_sees():
    model = nn.Sequential(nn.Linear(7, 11), nn.ReLU(), nn.Linear(11, 3)).eval()
    given = batch(5, 7)
    assert torch.equal(features_of(Answers(), model, given), model[:2](given["pixels"]))


def test_of_a_map_the_mean_over_its_places_counts():
    model = nn.Sequential(nn.Conv2d(2, 7, 3), nn.ReLU(), nn.Conv2d(7, 3, 1), nn.AdaptiveAvgPool2d(1)).eval()
    given = batch(5, 2, 11, 13)
    assert torch.allclose(features_of(Answers(), model, given), model[:2](given["pixels"]).mean(dim=(2, 3)))


def test_of_a_sequence_the_mean_over_the_places_that_there_are_counts():
    model = nn.Sequential(nn.Linear(7, 11), nn.Tanh(), nn.Linear(11, 3)).eval()
    mask = torch.arange(13) < torch.tensor([13, 2, 5, 1, 0])[:, None]
    given = replace(batch(5, 13, 7), tensors={**batch(5, 13, 7).tensors, "mask": mask})
    found, inside = features_of(Answers(), model, given), model[:2](given["pixels"])
    for row, count in enumerate((13, 2, 5, 1)):
        assert torch.allclose(found[row], inside[row, :count].mean(0), atol=1e-6)
    assert found.shape == (5, 11) and not found[4].any()


def test_the_layer_used_last_counts_not_the_one_made_last():
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.trunk = nn.Linear(11, 3), nn.Linear(7, 11)

        def forward(self, x):
            return self.head(self.trunk(x))

    model, given = Turned().eval(), batch(5, 7)
    assert torch.equal(features_of(Answers(), model, given), model.trunk(given["pixels"]))


def test_a_task_may_say_itself():
    given = batch(5, 7)
    assert torch.equal(features_of(OwnCode(), nn.Linear(7, 3), given), given["pixels"][:, :1] * 2)


def test_no_hook_is_left_behind():
    model = nn.Linear(7, 3)
    features_of(Answers(), model, batch(5, 7))
    assert not model._forward_pre_hooks


def test_a_network_without_weights_is_refused():
    with pytest.raises(OptionError, match="ReLU has no layer whose input could be taken"):
        features_of(Answers(), nn.ReLU(), batch(5, 7))
