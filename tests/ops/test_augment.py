"""Each augmentation against a slow loop over images and pixels, and as the identity when every draw is 0.5."""

import math

import pytest
import torch

from deepen.ops.augment import AUGMENTATIONS, affine, augment, colour, crop, cutout, erase, flip, num_draws

B, H, W = 7, 11, 13


def some_images(channels: int = 3, dtype: torch.dtype = torch.uint8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (B, channels, H, W), generator=generator).to(dtype)


def some_draws(num: int) -> torch.Tensor:
    return torch.rand(B, num, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_all_draws_a_half_change_nothing(name, channels, dtype):
    images = some_images(channels, dtype)
    out = augment(images, (name,), torch.full((B, AUGMENTATIONS[name].draws), 0.5))
    assert out.dtype == dtype
    tolerance = 0.0 if dtype == torch.uint8 else 2e-3  # of 255: bilinear weights and sums in float32
    assert (out.double() - images.double()).abs().max() <= tolerance


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_does_not_depend_on_its_batch(name, channels):
    images, draws = some_images(channels), some_draws(AUGMENTATIONS[name].draws)
    together = augment(images, (name,), draws)
    alone = torch.cat([augment(images[b : b + 1], (name,), draws[b : b + 1]) for b in range(B)])
    assert torch.equal(together, alone)
    assert not torch.equal(together, images)


def test_several_take_their_draws_in_order():
    images, draws = some_images(), some_draws(8)
    assert num_draws(("flip", "crop", "erase")) == 8
    expected = erase(crop(flip(images, draws[:, :1]), draws[:, 1:3]), draws[:, 3:])
    assert torch.equal(augment(images, ("flip", "crop", "erase"), draws), expected)


def test_none_named_changes_nothing():
    images = some_images()
    assert torch.equal(augment(images, (), torch.empty(B, 0)), images)


def mirrored(place: int, size: int) -> int:
    while not 0 <= place < size:
        place = -place if place < 0 else 2 * (size - 1) - place
    return place


@pytest.mark.parametrize("edge", ["edge", "zero", "reflect"])
@pytest.mark.parametrize("padding", [1, 3, 17])
def test_crop_is_the_pixel_loop(edge, padding):
    images, u = some_images(2), some_draws(2)
    expected = torch.zeros_like(images)
    for b in range(B):
        dy, dx = (math.floor(float(draw) * (2 * padding + 1)) - padding for draw in u[b])
        for y in range(H):
            for x in range(W):
                sy, sx = y + dy, x + dx
                if edge == "zero" and not (0 <= sy < H and 0 <= sx < W):
                    continue
                if edge == "reflect":
                    sy, sx = mirrored(sy, H), mirrored(sx, W)
                expected[b, :, y, x] = images[b, :, min(max(sy, 0), H - 1), min(max(sx, 0), W - 1)]
    assert torch.equal(crop(images, u, padding=padding, edge=edge), expected)


def test_crop_moves_at_most_a_sixteenth_of_the_side():
    ramp = torch.arange(32.0).expand(2, 1, 32, 32)
    out = crop(ramp, torch.tensor([[0.5, 0.0], [0.5, 0.999]]))
    assert out[0, 0, 0].tolist() == [2, 1, *range(30)]  # two pixels, mirrored at the left edge
    assert out[1, 0, 0].tolist() == [*range(2, 32), 30, 29]


def test_crop_of_one_pixel_is_that_pixel():
    pixel = torch.full((3, 1, 1, 1), 77, dtype=torch.uint8)
    assert torch.equal(crop(pixel, torch.rand(3, 2), padding=2), pixel)


def test_flip_is_the_image_loop():
    images, u = some_images(), torch.tensor([[0.0], [0.49], [0.5], [0.51], [0.9], [0.2], [0.7]])
    expected = torch.stack(
        [image.flip(2) if draw < 0.5 else image for image, draw in zip(images, u[:, 0], strict=True)]
    )
    assert torch.equal(flip(images, u), expected)
    assert torch.equal(flip(flip(images, u), u), images)


def bilinear(image: torch.Tensor, y: float, x: float) -> torch.Tensor:
    """[C]: the image at a place between pixels, the nearest pixel beyond the edge."""
    y, x = min(max(y, 0.0), H - 1.0), min(max(x, 0.0), W - 1.0)
    top, left = min(int(y), H - 2), min(int(x), W - 2)
    v, h = y - top, x - left
    upper = image[:, top, left] * (1 - h) + image[:, top, left + 1] * h
    lower = image[:, top + 1, left] * (1 - h) + image[:, top + 1, left + 1] * h
    return upper * (1 - v) + lower * v


def test_affine_is_the_pixel_loop():
    images, u = some_images(2, torch.float64), some_draws(5)
    degrees, scale, shear, translate = 40.0, 0.3, 0.5, 0.2
    out = affine(images, u, degrees=degrees, scale=scale, shear=shear, translate=translate)
    for b in range(B):
        r = [2 * float(draw) - 1 for draw in u[b]]
        angle, zoom = math.radians(degrees * r[0]), (1 + scale) ** r[1]
        for y in range(H):
            for x in range(W):
                px, py = x - (W - 1) / 2, y - (H - 1) / 2
                sx = px + shear * r[2] * py
                ex = (math.cos(angle) * sx - math.sin(angle) * py) / zoom - translate * W * r[3]
                ey = (math.sin(angle) * sx + math.cos(angle) * py) / zoom - translate * H * r[4]
                expected = bilinear(images[b], ey + (H - 1) / 2, ex + (W - 1) / 2)
                assert torch.allclose(out[b, :, y, x], expected, atol=0.02), (b, y, x)  # of 255; the grid is float32


def test_affine_by_a_quarter_turn_is_rot90():
    square = some_images(1)[..., :11].float()
    u = torch.full((B, 5), 0.5)
    u[:, 0] = 0.0  # r = -1, so minus `degrees`
    out = affine(square, u, degrees=90.0)
    assert torch.allclose(out, square.rot90(-1, (2, 3)), atol=0.01)


def test_colour_is_the_image_loop():
    images, u = some_images(3), some_draws(3)
    out = colour(images, u, brightness=0.5, contrast=0.7, saturation=0.9)
    for b in range(B):
        bright, contrast, saturation = (
            1 + strength * (2 * float(draw) - 1) for strength, draw in zip((0.5, 0.7, 0.9), u[b], strict=True)
        )
        x = (images[b].float() * bright).clamp(0, 255)
        grey = 0.299 * x[0] + 0.587 * x[1] + 0.114 * x[2]
        x = (contrast * x + (1 - contrast) * grey.mean()).clamp(0, 255)
        grey = 0.299 * x[0] + 0.587 * x[1] + 0.114 * x[2]
        x = (saturation * x + (1 - saturation) * grey).clamp(0, 255).round()
        assert (out[b].float() - x).abs().max() <= 1  # a rounding at .5 may fall either way


def test_colour_keeps_a_grey_picture_grey():
    grey = some_images(1).expand(B, 3, H, W)
    out = colour(grey, some_draws(3)).float()
    assert (out - out[:, :1]).abs().max() <= 1  # luma weights add up to one but for float32


def test_brightness_alone_by_hand():
    image = torch.full((1, 1, 2, 2), 100, dtype=torch.uint8)
    assert colour(image, torch.tensor([[0.0, 0.5, 0.5]])).unique().tolist() == [80]  # factor 1 - 0.2


def test_erase_is_the_image_loop():
    images, u = some_images(2), some_draws(5)
    u[:2, 0] = torch.tensor([0.2, 0.8])
    out, num_erased = erase(images, u), 0
    for b in range(B):
        expected = images[b].clone()
        if u[b, 0] < 0.5:
            num_erased += 1
            share, ratio = 0.02 + 0.18 * u[b, 1], 0.3 * 11 ** u[b, 2]
            high = min(max(int((share * ratio).sqrt().mul(H).round()), 1), H)
            wide = min(max(int((share / ratio).sqrt().mul(W).round()), 1), W)
            top, left = int(u[b, 3] * (H - high + 1)), int(u[b, 4] * (W - wide + 1))
            for c in range(2):
                expected[c, top : top + high, left : left + wide] = images[b, c].float().mean().round().to(torch.uint8)
        assert torch.equal(out[b], expected), b
    assert 0 < num_erased < B


def test_a_wrong_number_of_draws_is_our_own_fault():
    with pytest.raises(AssertionError, match=r"\(7, 2\) draws"):
        augment(some_images(), ("flip",), torch.rand(B, 2))


def test_cutout_is_the_image_loop():
    images, u = some_images(2), some_draws(3)
    u[:4, 0] = torch.tensor([0.2, 0.8, 0.1, 0.0])
    u[2, 1:], u[3, 1:] = 0.0, 0.999  # two corners
    out = cutout(images, u)
    side = round(0.5 * H)
    for b in range(B):
        expected = images[b].clone()
        if u[b, 0] < 0.5:
            top, left = (math.floor(float(u[b, 1 + i]) * size) - side // 2 for i, size in enumerate((H, W)))
            for c in range(2):
                square = expected[c, max(0, top) : top + side, max(0, left) : left + side]
                square[:] = images[b, c].float().mean().round().to(torch.uint8)
        assert torch.equal(out[b], expected), b
