"""Attributions against what they are defined to be: weights, differences, loops and values by hand."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deepen.ops.attribution import (
    blurred,
    grad_cam,
    gradients,
    integrated_gradients,
    occlusion,
    patch_places,
    picked,
    saliency,
    smooth_gradients,
)

B, C, H, W, K = 3, 2, 7, 5, 11


@pytest.fixture
def images():
    return torch.randn(B, C, H, W, generator=torch.Generator().manual_seed(3))


TARGETS = torch.tensor([4, 0, 10])


def linear(weight):
    """images -> weight times the flat image, plus something that no attribution may see."""
    return lambda x: x.flatten(1) @ weight.T + 2.5


def small_network(seed=0, *, curve=False):
    torch.manual_seed(seed)
    bend = nn.Tanh() if curve else nn.ReLU()
    return nn.Sequential(nn.Conv2d(C, 13, 3, padding=1), bend, nn.Flatten(), nn.Linear(13 * H * W, K)).double()


def test_the_gradient_of_a_linear_model_is_its_weights(images):
    weight = torch.randn(K, C * H * W, generator=torch.Generator().manual_seed(1))
    found = gradients(linear(weight), images, TARGETS)
    assert torch.equal(found, weight[TARGETS].view(B, C, H, W))
    assert torch.equal(saliency(linear(weight), images, TARGETS), weight[TARGETS].view(B, C, H, W).abs().amax(1))


def test_saliency_equals_finite_differences(images):
    model, images = small_network(curve=True), images.double()
    found = saliency(model, images, TARGETS)
    step, slopes = 1e-5, torch.zeros(B, C, H, W, dtype=torch.float64)
    with torch.no_grad():
        for b, c, y, x in itertools.product(range(B), range(C), range(H), range(W)):
            up, down = images[b : b + 1].clone(), images[b : b + 1].clone()
            up[0, c, y, x] += step
            down[0, c, y, x] -= step
            slopes[b, c, y, x] = (model(up) - model(down))[0, TARGETS[b]] / (2 * step)
    torch.testing.assert_close(found, slopes.abs().amax(1), rtol=1e-6, atol=1e-8)


def test_parameters_get_no_gradient_and_nothing_is_left_behind(images):
    model = small_network()
    with torch.no_grad():
        gradients(model, images.double(), TARGETS)
    integrated_gradients(model, images.double(), TARGETS, torch.zeros(1, 1, 1, 1).double(), steps=4)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not images.requires_grad


def test_integrated_gradients_of_a_linear_model_are_weight_times_way_exactly(images):
    weight = torch.randn(K, C * H * W, generator=torch.Generator().manual_seed(1))
    baseline = torch.randn(B, C, H, W, generator=torch.Generator().manual_seed(2))
    for steps in (1, 64):
        found = integrated_gradients(linear(weight), images, TARGETS, baseline, steps=steps, batch_size=17)
        assert torch.equal(found.values, (weight[TARGETS].view(B, C, H, W) * (images - baseline)))


def test_integrated_gradients_are_complete(images):
    """The sum is the change of the output, for a network with ReLU and one without corners."""
    baseline = torch.full((1, C, 1, 1), -0.5, dtype=torch.float64)
    for curve, bound in ((False, 2e-3), (True, 1e-5)):
        model = small_network(curve=curve)
        found = integrated_gradients(model, images.double(), TARGETS, baseline, steps=512, batch_size=100)
        with torch.no_grad():
            change = (model(images.double()) - model(baseline.expand(B, C, H, W)))[torch.arange(B), TARGETS]
        torch.testing.assert_close(found.change, change, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found.gap, change - found.values.flatten(1).sum(1), rtol=1e-9, atol=1e-12)
        assert found.gap.abs().max() < bound, found.gap


def test_a_batch_of_the_path_changes_nothing(images):
    model = small_network()
    one, other = (
        integrated_gradients(model, images.double(), TARGETS, images.double() * 0, steps=19, batch_size=size)
        for size in (1, 23)
    )
    torch.testing.assert_close(one.values, other.values, rtol=1e-12, atol=1e-14)


def test_rows_that_are_not_complete_get_more_steps(images):
    """A step function's gradient is seen by no coarse path; a linear row beside it stays at the first number."""

    def function(x):
        flat = x.flatten(1)
        sharp = torch.sigmoid((flat[:, :1] - 0.503) * 400) * 10
        return torch.cat([sharp, flat[:, 1:2]], dim=1)

    inputs = torch.ones(2, 1, 3, 1, dtype=torch.float64)
    targets = torch.tensor([0, 1])
    coarse = integrated_gradients(function, inputs, targets, inputs * 0, steps=16)
    assert coarse.gap[0].abs() > 0.5 and coarse.gap[1].abs() < 1e-12
    fine = integrated_gradients(function, inputs, targets, inputs * 0, steps=16, tolerance=0.05)
    assert fine.gap[0].abs() <= 0.5 and fine.steps[0] > 16 and fine.steps[1] == 16
    little = integrated_gradients(lambda x: function(x) / 100, inputs, targets, inputs * 0, steps=16, tolerance=0.05)
    assert little.steps[0] == fine.steps[0]  # a share of a small change is small
    capped = integrated_gradients(function, inputs, targets, inputs * 0, steps=16, tolerance=1e-9, most_steps=32)
    assert capped.steps.tolist() == [32, 16]


def test_smooth_gradients_are_the_mean_of_the_gradients(images):
    model, images = small_network(curve=True), images.double()
    noises = [
        torch.randn(images.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) for n in range(5)
    ]
    found = smooth_gradients(model, images, TARGETS, iter(noises))
    expected = sum(gradients(model, images + noise, TARGETS) for noise in noises) / 5
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    assert torch.equal(smooth_gradients(model, images, TARGETS, [noises[0] * 0]), gradients(model, images, TARGETS))


def test_grad_cam_by_hand():
    """Two maps of 2x2 and their gradients, worked out on paper.

    Mean gradients: (1 + 2 + 3 + 2) / 4 = 2 and (-1 - 1 + 0 - 2) / 4 = -1.
    2 [[1, 0], [2, 3]] - [[4, 1], [1, 0]] = [[-2, -1], [3, 6]], and what is below zero is cut.
    """
    maps = torch.tensor([[[[1.0, 0.0], [2.0, 3.0]], [[4.0, 1.0], [1.0, 0.0]]]])
    slopes = torch.tensor([[[[1.0, 2.0], [3.0, 2.0]], [[-1.0, -1.0], [0.0, -2.0]]]])
    assert grad_cam(maps, slopes).tolist() == [[[0.0, 0.0], [3.0, 6.0]]]


def test_occlusion_equals_a_naive_loop(images):
    model, image = small_network(curve=True), images[1].double()
    patch, stride, target = 3, 2, 6
    fill = torch.randn(C, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(8))

    def probability(x):
        return model(x).softmax(1)

    found = occlusion(probability, image, target, fill, patch=patch, stride=stride, batch_size=2)
    with torch.no_grad():
        whole = probability(image[None])[0, target].item()
        drops = [[[] for _ in range(W)] for _ in range(H)]
        lowest = whole
        for top, left in itertools.product((0, 2, 4), (0, 2)):
            covered = image.clone()
            for c, y, x in itertools.product(range(C), range(top, top + patch), range(left, left + patch)):
                covered[c, y, x] = fill[c, 0, 0]
            value = probability(covered[None])[0, target].item()
            lowest = min(lowest, value)
            for y, x in itertools.product(range(top, top + patch), range(left, left + patch)):
                drops[y][x].append(whole - value)
    expected = torch.tensor([[sum(cell) / len(cell) for cell in line] for line in drops], dtype=torch.float64)
    torch.testing.assert_close(found.drops, expected, rtol=1e-10, atol=1e-14)
    assert (found.whole, found.lowest) == pytest.approx((whole, lowest), rel=1e-12)


@pytest.mark.parametrize(("side", "patch", "stride"), [(7, 3, 2), (10, 4, 3), (5, 5, 1), (29, 7, 7), (13, 1, 1)])
def test_patches_cover_every_pixel_and_stay_inside(side, patch, stride):
    places = patch_places(side, patch, stride)
    covered = {pixel for start in places for pixel in range(start, start + patch)}
    assert covered == set(range(side)) and places == sorted(set(places))


def test_what_is_planted_in_a_picture_is_where_the_mass_is():
    """A network that was trained on where a bright square stands; 13x13 pictures, the square 4x4."""
    draw = torch.Generator().manual_seed(5)
    images = torch.rand(200, 1, 13, 13, generator=draw) * 0.5
    labels = torch.randint(0, 2, (200,), generator=draw)
    for image, label in zip(images, labels, strict=True):
        top = 1 if label else 8
        image[0, top : top + 4, 5:9] += 1.0
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 7, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(7 * 25, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(40):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    assert (model(images).argmax(1) == labels).all()
    some = slice(0, 9)
    path = integrated_gradients(model, images[some], labels[some], torch.full((1, 1, 1, 1), 0.25))
    for index in range(9):
        top = 1 if labels[index] else 8
        positive = path.values[index, 0].clamp_min(0)
        share = positive[top : top + 4, 5:9].sum() / positive.sum()
        assert share > 0.5, share  # 16 of 169 pixels
        covered = occlusion(
            lambda x: model(x).softmax(1), images[index], int(labels[index]), torch.tensor(0.25), patch=4, stride=1
        )
        y, x = divmod(int(covered.drops.argmax()), 13)
        assert top <= y < top + 4 and 5 <= x < 9


def test_picked_takes_each_rows_own_output():
    outputs = torch.arange(B * K).view(B, K)
    assert picked(outputs, TARGETS).tolist() == [4, 11, 32]


def test_blurring_keeps_a_constant_and_equals_the_gaussian_of_a_point():
    flat = torch.full((2, 3, 11, 13), 0.7, dtype=torch.float64)
    torch.testing.assert_close(blurred(flat, 1.5), flat, rtol=1e-12, atol=0)
    point = torch.zeros(1, 1, 17, 19, dtype=torch.float64)
    point[0, 0, 8, 9] = 1
    found = blurred(point, 1.0)[0, 0]
    weights = torch.exp(-(torch.arange(-3, 4, dtype=torch.float64) ** 2) / 2)
    weights /= weights.sum()
    torch.testing.assert_close(found[5:12, 6:13], weights[:, None] * weights, rtol=1e-12, atol=1e-15)
    assert found.sum().item() == pytest.approx(1)
