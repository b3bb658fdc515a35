"""Policies: for each image, changes chosen at random from a list of them, which is data.

A policy lists operations by name, each with its strongest form; an image's draws choose which of them it meets, how
strongly and in which direction. With all draws at 0.5 the operation chosen is the eighth, which is "identity".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from deepen.ops import augment_tone as tone
from deepen.ops import augment_warp as warp


@dataclass(frozen=True)
class Operation:
    """One change of a policy.

    function  images, u [B, n] -> images, as in `augment`; None leaves the image as it is
    draws     n
    place     which of the n draws says how strong it is; the others are 0.5
    always    whether there is only one strength, that of u = 0
    """

    name: str
    function: Callable[[Tensor, Tensor], Tensor] | None
    draws: int = 1
    place: int = 0
    always: bool = False


@dataclass(frozen=True)
class Policy:
    """How many operations an image meets one after the other, how strong they are, and which there are.

    strength  from 0 (nothing) to 1 (the operation's strongest form); None: drawn for each image
    """

    num_operations: int
    strength: float | None
    operations: tuple[Operation, ...]

    @property
    def draws(self) -> int:
        """Random numbers for one image: which operation, which direction, and, where it is drawn, how strong."""
        return self.num_operations * (2 if self.strength is not None else 3)


def operations(*, shear: float, translate: float, degrees: float, factor: float, bits: int) -> tuple[Operation, ...]:
    """The fourteen operations of RandAugment, up to these strengths; the eighth is the identity."""

    def bound(function: Callable[..., Tensor], **settings: Any) -> Callable[[Tensor, Tensor], Tensor]:
        return partial(function, **settings)

    colours = bound(tone.colour, brightness=factor, contrast=factor, saturation=factor)
    return (
        Operation("shear-x", bound(warp.shear, shear=shear), 2, 0),
        Operation("shear-y", bound(warp.shear, shear=shear), 2, 1),
        Operation("translate-x", bound(warp.translate, share=translate), 2, 0),
        Operation("translate-y", bound(warp.translate, share=translate), 2, 1),
        Operation("rotate", bound(warp.rotate, degrees=degrees)),
        Operation("brightness", colours, 3, 0),
        Operation("contrast", colours, 3, 1),
        Operation("identity", None),
        Operation("saturation", colours, 3, 2),
        Operation("sharpness", bound(tone.sharpness, strength=factor)),
        Operation("posterize", bound(tone.posterize, most=bits)),
        Operation("solarize", tone.solarize),
        Operation("autocontrast", tone.autocontrast, always=True),
        Operation("equalize", tone.equalize, always=True),
    )


# Cubuk et al. 2020, RandAugment, section 3: two operations of 14 at one strength for all, here 9 of 30.
# Mueller and Hutter 2021, TrivialAugment, section 3 and its table of the wide space: one operation, any strength. Its
# 32 pixels of translation are 45 % of the side here, as in RandAugment, whatever the image's size.
POLICIES: dict[str, Policy] = {
    "randaugment": Policy(2, 0.3, operations(shear=0.3, translate=0.45, degrees=30.0, factor=0.9, bits=4)),
    "trivial": Policy(1, None, operations(shear=0.99, translate=0.45, degrees=135.0, factor=0.99, bits=6)),
}


def apply(policy: Policy, images: Tensor, u: Tensor) -> Tensor:
    """Each image after the operations that its draws choose.

        operation = floor(u[0] K),    direction = -1 if u[1] < 0.5 else 1,    strength = u[2], where it is drawn
        then the same for the next operation

    u        [B, policy.draws]
    """
    per_operation = policy.draws // policy.num_operations
    for start in range(0, policy.draws, per_operation):
        part = u[:, start : start + per_operation].float()
        number = (part[:, 0] * len(policy.operations)).floor().long()
        strength = part[:, 2] if policy.strength is None else torch.full_like(part[:, 0], policy.strength)
        direction = torch.where(part[:, 1] < 0.5, -1.0, 1.0)
        images = _chosen(policy, images, number, strength * direction)
    return images


def _chosen(policy: Policy, images: Tensor, number: Tensor, signed: Tensor) -> Tensor:
    """The operation of each image, done together for all images that meet the same one."""
    out = images.clone()
    for index, operation in enumerate(policy.operations):
        places = (number == index).nonzero()[:, 0]
        if operation.function is None or not len(places):
            continue
        draws = signed.new_full((len(places), operation.draws), 0.5)
        draws[:, operation.place] = 0.0 if operation.always else (1 + signed[places]) / 2
        out[places] = operation.function(images[places], draws)
    return out
