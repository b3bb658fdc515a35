"""Contrast normalization against loops over images and pixels."""

from __future__ import annotations

import math

import pytest
import torch

from deepen.ops.contrast import global_contrast, local_contrast

B, C, H, W = 3, 2, 11, 13


def some_images(channels=C):
    return torch.rand(B, channels, H, W, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_global_contrast_is_the_loop():
    images = some_images()
    found = global_contrast(images, steady=0.01, least=1e-8)
    for b in range(B):
        values = images[b].flatten().tolist()
        mean = sum(values) / len(values)
        spread = math.sqrt(0.01 + sum((value - mean) ** 2 for value in values) / len(values))
        assert found[b].flatten().tolist() == pytest.approx([(value - mean) / spread for value in values], rel=1e-12)


def test_global_contrast_forgets_brightness_and_contrast():
    images = some_images()
    plain, changed = global_contrast(images, steady=0.0), global_contrast(images * 0.3 + 0.4, steady=0.0)
    assert torch.allclose(plain, changed, atol=1e-12)
    assert torch.allclose(plain.mean((1, 2, 3)), torch.zeros(B, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(plain.square().mean((1, 2, 3)), torch.ones(B, dtype=torch.float64))


@pytest.mark.parametrize("normalize", [global_contrast, local_contrast])
def test_a_flat_image_is_zero(normalize):
    found = normalize(torch.full((1, 3, 7, 5), 0.4))
    assert found.abs().max() < 1e-3 and torch.isfinite(found).all()


@pytest.mark.parametrize(("channels", "radius"), [(1, 2), (2, 4), (3, 12)])
def test_local_contrast_is_the_loop(channels, radius):
    images = some_images(channels)
    found = local_contrast(images, radius=radius, deviation=1.7)
    for b in range(B):
        centred, spread = torch.zeros_like(images[b]), torch.zeros(H, W, dtype=torch.float64)
        for y in range(H):
            for x in range(W):
                mean = weighted(images[b], y, x, radius)
                centred[:, y, x] = images[b, :, y, x] - mean
        for y in range(H):
            for x in range(W):
                spread[y, x] = math.sqrt(weighted(centred.square(), y, x, radius))
        expected = centred / spread.clamp(min=float(spread.mean()))
        assert torch.allclose(found[b], expected, atol=1e-10)


def weighted(image, y, x, radius):
    """The Gaussian mean around a pixel over all channels, of what lies inside the image."""
    total, weights = 0.0, 0.0
    for v in range(max(0, y - radius), min(H, y + radius + 1)):
        for h in range(max(0, x - radius), min(W, x + radius + 1)):
            weight = math.exp(-((v - y) ** 2 + (h - x) ** 2) / (2 * 1.7**2))
            total += weight * float(image[:, v, h].sum())
            weights += weight * len(image)
    return total / weights


def test_local_contrast_shows_an_edge_in_shadow_as_one_in_light():
    image = torch.zeros(1, 1, 17, 60)
    image[..., :30] = 0.1
    image[..., 8:10] += 0.02
    image[..., 30:] = 0.5
    image[..., 48:50] += 0.1
    found = local_contrast(image)[0, 0, 8]
    assert float(found[8:10].mean()) > 0.15 * float(found[48:50].mean()) > 0  # of raw pixels it would be 0.04
    assert abs(float(found[2])) < 0.1 * abs(float(found[8]))
