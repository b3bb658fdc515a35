"""Layers seen from outside."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deepen.nn.feature_maps import frame_of, frozen, last_map_layer, layer_outputs

IMAGE = torch.randn(2, 3, 11, 13, generator=torch.Generator().manual_seed(0))


class Framed(nn.Module):
    """Frames the image with zeros, then a convolution, pooling to a fixed size, and a linear layer."""

    def __init__(self, frame: tuple[int, int, int, int], pooled: int = 1) -> None:
        super().__init__()
        self.frame = frame
        self.conv = nn.Conv2d(3, 5, 3, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(pooled)
        self.head = nn.Linear(5 * pooled**2, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = F.relu(self.conv(F.pad(x, self.frame)), inplace=True)
        return self.head(self.pool(maps).flatten(1))


def test_the_last_maps_are_found_and_pooling_to_more_places_is_passed_over():
    torch.manual_seed(0)
    for pooled in (1, 17):
        model = Framed((0, 0, 0, 0), pooled).eval()
        assert last_map_layer(model, lambda model=model: model(IMAGE)) == "conv"
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 11 * 13, 5))
    assert last_map_layer(flat, lambda: flat(IMAGE)) is None
    whole = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.AdaptiveMaxPool2d(1), nn.Flatten())
    assert last_map_layer(whole, lambda: whole(IMAGE)) == "0"  # the outer one finishes last


def test_outputs_of_layers_are_those_of_the_pass_and_can_be_derived_by():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Tanh(), nn.Flatten(), nn.Linear(5 * 9 * 11, 7))
    x = IMAGE.clone().requires_grad_(True)
    result, found = layer_outputs(model, lambda: model(x), ("1", "3"))
    assert list(found) == ["1", "3"] and torch.equal(found["3"], result)
    (slope,) = torch.autograd.grad(result[:, 4].sum(), found["1"])
    assert torch.allclose(slope.flatten(1), model[3].weight[4].expand(2, -1))
    assert not any(module._forward_hooks for module in model.modules())


def test_a_frame_of_zeros_is_found_by_looking():
    model = Framed((4, 5, 2, 2))
    assert frame_of(model, lambda: model(IMAGE), IMAGE) == (2, 4, 15, 22)
    plain = Framed((0, 0, 0, 0))
    assert frame_of(plain, lambda: plain(IMAGE), IMAGE) == (0, 0, 11, 13)


def test_hooks_go_even_where_the_call_fails():
    model = Framed((0, 0, 0, 0))
    with pytest.raises(RuntimeError):
        layer_outputs(model, lambda: model(IMAGE[:, :1]))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_frozen_network_answers_and_is_what_it_was_afterwards():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 5, 3), nn.Dropout(0.5)).train()
    model[1].bias.requires_grad_(False)
    model[0].eval()
    with frozen(model):
        assert not any(module.training for module in model.modules())
        assert not any(parameter.requires_grad for parameter in model.parameters())
    assert [module.training for module in model.modules()] == [True, False, True, True]
    assert [name for name, parameter in model.named_parameters() if not parameter.requires_grad] == ["1.bias"]
