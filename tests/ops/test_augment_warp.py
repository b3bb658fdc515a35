"""Turned, sheared, moved and bent images against slow loops over pixels."""

from __future__ import annotations

import math

import pytest
import torch

from deepen.ops.augment_warp import LATTICE, elastic, rotate, shear, translate

B, C, H, W = 5, 2, 11, 13


def some_images():
    return torch.randint(0, 256, (B, C, H, W), generator=torch.Generator().manual_seed(5)).double()


def draws(num, seed=3):
    return torch.rand(B, num, generator=torch.Generator().manual_seed(seed))


def sampled(image, y, x):
    """[C]: the image between pixels, the nearest pixel beyond the edge."""
    y, x = min(max(y, 0.0), H - 1.0), min(max(x, 0.0), W - 1.0)
    top, left = min(int(y), H - 2), min(int(x), W - 2)
    v, h = y - top, x - left
    upper = image[:, top, left] * (1 - h) + image[:, top, left + 1] * h
    lower = image[:, top + 1, left] * (1 - h) + image[:, top + 1, left + 1] * h
    return upper * (1 - v) + lower * v


def assert_loop(out, images, source):
    """out[b, :, y, x] is the image at source(b, x, y), places measured from the centre."""
    for b in range(B):
        for y in range(H):
            for x in range(W):
                sx, sy = source(b, x - (W - 1) / 2, y - (H - 1) / 2)
                expected = sampled(images[b], sy + (H - 1) / 2, sx + (W - 1) / 2)
                assert torch.allclose(out[b, :, y, x], expected, atol=0.02), (b, y, x)  # of 255; the grid is float32


def test_rotate_is_the_pixel_loop():
    images, u = some_images(), draws(1)
    r = (2 * u.double() - 1) * math.radians(40)

    def source(b, x, y):
        cos, sin = math.cos(r[b, 0]), math.sin(r[b, 0])
        return cos * x - sin * y, sin * x + cos * y

    assert_loop(rotate(images, u, degrees=40), images, source)


def test_shear_is_the_pixel_loop():
    images, u = some_images(), draws(2)
    r = (2 * u.double() - 1) * 0.7
    assert_loop(shear(images, u, shear=0.7), images, lambda b, x, y: (x + float(r[b, 0]) * y, y + float(r[b, 1]) * x))


def test_translate_moves_whole_pixels_as_slices_do():
    images = some_images()
    u = torch.full((B, 2), 0.5)
    u[:, 0] = 0.5 + 2 / W / 2 / 0.4  # r * 0.4 * W is two pixels to the right
    out = translate(images, u, share=0.4)
    assert torch.allclose(out[..., 2:], images[..., :-2], atol=0.02)
    assert torch.allclose(out[..., 0], images[..., 0], atol=0.02)


def test_elastic_is_the_loop_of_its_formula():
    images, u = some_images(), draws(2 * LATTICE**2)
    r = (2 * u.double() - 1).view(B, 2, LATTICE, LATTICE)

    def weights(place, size):
        raw = [math.exp(-(((place + 0.5) / size - (i + 0.5) / 8) ** 2) / (2 * (1 / 8) ** 2)) for i in range(8)]
        norm = math.sqrt(sum(value * value for value in raw))
        return [value / norm for value in raw]

    def source(b, x, y):
        across, down = weights(x + (W - 1) / 2, W), weights(y + (H - 1) / 2, H)
        field = [sum(down[i] * across[j] * float(r[b, k, i, j]) for i in range(8) for j in range(8)) for k in (0, 1)]
        return x + 0.1 * W * field[0], y + 0.1 * H * field[1]

    assert_loop(elastic(images, u, strength=0.1), images, source)


@pytest.mark.parametrize("place", [(0, 0), (5, 6), (10, 12)])
def test_elastic_displaces_by_strength_over_root_three_everywhere(place):
    ramp = torch.arange(W).double().expand(1, 1, H, W) * 10 + 60
    u = torch.rand(4_003, 2 * LATTICE**2, generator=torch.Generator().manual_seed(0))
    moved = elastic(ramp.expand(4_003, 1, H, W).float(), u, strength=0.01)[:, 0, place[0], place[1]]
    deviation = float(((moved.double() - ramp[0, 0, place[0], place[1]]) / 10).square().mean().sqrt())
    inside = 0 < place[1] < W - 1  # at the edge, where nothing lies outside, half of the moves show nothing
    assert deviation == pytest.approx(0.01 * W / math.sqrt(3) * (1 if inside else math.sqrt(0.5)), rel=0.05)


def test_elastic_is_smooth():
    """Neighbouring pixels move together: the field's change from pixel to pixel is small against the field."""
    size = 28
    across = torch.arange(size).float().expand(1, 1, size, size) * 4
    u = torch.rand(211, 2 * LATTICE**2, generator=torch.Generator().manual_seed(1))
    field = (elastic(across.expand(211, 1, size, size), u) - across)[..., 4:-4] / 4
    change = (field[..., 1:, :] - field[..., :-1, :]).square().mean().sqrt()
    assert float(change) < 0.35 * float(field.square().mean().sqrt())
