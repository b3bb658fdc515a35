"""Policies: each image gets what its draws choose, as one image after the other would."""

from __future__ import annotations

import pytest
import torch

from deepen.ops.augment_policy import POLICIES, Policy, apply
from deepen.ops.augment_tone import autocontrast, colour, posterize
from deepen.ops.augment_warp import rotate, shear

B, C, H, W = 211, 3, 11, 13


def some_images():
    return torch.randint(0, 256, (B, C, H, W), generator=torch.Generator().manual_seed(5), dtype=torch.uint8)


def draws(num):
    return torch.rand(B, num, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", POLICIES)
def test_one_by_one_is_all_at_once(name):
    policy, images = POLICIES[name], some_images()
    u = draws(policy.draws)
    alone = torch.cat([apply(policy, images[b : b + 1], u[b : b + 1]) for b in range(B)])
    together = apply(policy, images, u)
    assert torch.equal(together, alone)
    changed = (together != images).flatten(1).any(1).double().mean()
    assert 0.8 < changed < 1  # some meet the identity alone


def chosen(policy, number, direction, strength):
    """An image's draws for the operation of this number."""
    u = [(number + 0.5) / len(policy.operations), 0.0 if direction < 0 else 0.9]
    return torch.tensor([u if policy.strength is not None else [*u, strength]])


def half(images, num, place, value):
    u = torch.full((len(images), num), 0.5)
    u[:, place] = value
    return u


def test_the_chosen_operation_is_done_with_its_strength_and_direction():
    policy, image = POLICIES["trivial"], some_images()[:1]
    names = [operation.name for operation in policy.operations]

    def by_policy(name, direction, strength):
        return apply(policy, image, chosen(policy, names.index(name), direction, strength))

    assert torch.equal(by_policy("rotate", 1, 0.5), rotate(image, half(image, 1, 0, 0.75), degrees=135))
    assert torch.equal(by_policy("rotate", -1, 0.5), rotate(image, half(image, 1, 0, 0.25), degrees=135))
    assert torch.equal(by_policy("shear-y", 1, 1.0), shear(image, half(image, 2, 1, 1.0), shear=0.99))
    settings = {"brightness": 0.99, "contrast": 0.99, "saturation": 0.99}
    assert torch.equal(by_policy("contrast", -1, 0.2), colour(image, half(image, 3, 1, 0.4), **settings))
    assert torch.equal(by_policy("posterize", 1, 1.0), posterize(image, half(image, 1, 0, 1.0), most=6))
    assert torch.equal(by_policy("autocontrast", 1, 0.0), autocontrast(image, torch.zeros(1, 1)))
    assert torch.equal(by_policy("identity", 1, 1.0), image)


def test_randaugment_does_two_at_one_strength():
    policy, image = POLICIES["randaugment"], some_images()[:1]
    names = [operation.name for operation in policy.operations]
    first, second = (
        chosen(policy, names.index(name), sign, None) for name, sign in (("rotate", 1), ("brightness", -1))
    )
    expected = rotate(image, half(image, 1, 0, 0.65), degrees=30)
    settings = {"brightness": 0.9, "contrast": 0.9, "saturation": 0.9}
    expected = colour(expected, half(image, 3, 0, 0.35), **settings)
    assert (apply(policy, image, torch.cat([first, second], 1)).int() - expected.int()).abs().max() <= 1


def test_every_operation_is_met_equally_often():
    for policy in POLICIES.values():
        assert [operation.name for operation in policy.operations].index("identity") == 7
        assert len(policy.operations) == 14
    numbered = Policy(1, 1.0, POLICIES["trivial"].operations)
    u = torch.linspace(0, 1, 14 * 97 + 1)[:-1]
    assert torch.bincount((u * len(numbered.operations)).floor().long()).tolist() == pytest.approx([97] * 14, abs=1)
