"""Sharpness, posterize, solarize, autocontrast and equalize against Pillow's (version 12) and against loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from deepen.ops.augment_tone import autocontrast, equalize, posterize, sharpness, solarize

B, C, H, W = 5, 3, 17, 19


def some_images(low=0, high=256, height=H, width=W):
    draw = torch.Generator().manual_seed(5)
    return torch.randint(low, high, (B, C, height, width), generator=draw, dtype=torch.uint8)


def by_pillow(images, change):
    """Each image after a change of a Pillow image."""
    done = [np.asarray(change(Image.fromarray(image.permute(1, 2, 0).numpy()))) for image in images]
    return torch.from_numpy(np.stack(done)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("u", [0.0, 0.3, 0.8, 0.99])
def test_sharpness_is_pillows(u):
    images = some_images()
    factor = 1 + 0.9 * (2 * u - 1)
    expected = by_pillow(images, lambda image: ImageEnhance.Sharpness(image).enhance(factor))
    found = sharpness(images, torch.full((B, 1), u))
    assert (found.int() - expected.int()).abs().max() <= 2  # Pillow rounds the smooth image before it blends


@pytest.mark.parametrize(("u", "bits"), [(0.5, 8), (0.7, 6), (0.25, 6), (0.0, 4), (0.999, 4)])
def test_posterize_is_pillows(u, bits):
    images = some_images()
    expected = by_pillow(images, lambda image: ImageOps.posterize(image, bits))
    assert torch.equal(posterize(images, torch.full((B, 1), u)), expected)


@pytest.mark.parametrize(("u", "threshold"), [(0.5, 256), (0.75, 128), (0.25, 128), (0.0, 0), (0.625, 192)])
def test_solarize_is_pillows(u, threshold):
    images = some_images()
    expected = by_pillow(images, lambda image: ImageOps.solarize(image, threshold))
    assert torch.equal(solarize(images, torch.full((B, 1), u)), expected)


def test_autocontrast_is_pillows_where_it_is_done():
    images = some_images(40, 200)
    expected = by_pillow(images, lambda image: ImageOps.autocontrast(image))
    found = autocontrast(images, torch.tensor([[0.0], [0.49], [0.5], [0.9], [0.2]]))
    for b, is_done in enumerate((True, True, False, False, True)):
        wanted = expected if is_done else images
        assert (found[b].int() - wanted[b].int()).abs().max() <= 1  # Pillow cuts the decimals off
    flat = torch.full((1, 1, 3, 5), 77, dtype=torch.uint8)
    assert torch.equal(autocontrast(flat, torch.zeros(1, 1)), flat)


def test_equalize_is_the_loop_over_pixels():
    images = (some_images().float() ** 2 / 255).to(torch.uint8)  # mostly dark
    found = equalize(images, torch.zeros(B, 1))
    for b in range(B):
        for c in range(C):
            pixels = images[b, c].flatten().tolist()
            brightest = max(pixels)
            darker = sum(pixel < brightest for pixel in pixels)
            expected = [int(255 * sum(other < pixel for other in pixels) / darker + 0.5) for pixel in pixels]
            assert found[b, c].flatten().tolist() == expected


def test_equalize_of_a_large_picture_is_near_pillows():
    images = (some_images(height=211, width=307).float() ** 2 / 255).to(torch.uint8)
    expected = by_pillow(images, ImageOps.equalize)
    found = equalize(images, torch.zeros(B, 1))
    assert (found.int() - expected.int()).abs().max() <= 3  # Pillow's step is a whole number of pixels
    flat = torch.full((1, 1, 3, 5), 77, dtype=torch.uint8)
    assert torch.equal(equalize(flat, torch.zeros(1, 1)), flat)
    assert torch.equal(equalize(images, torch.full((B, 1), 0.5)), images)
