"""Logits of a network with auxiliary classifiers, side branches that bring lower layers a gradient in training."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

WEIGHT = 0.3


class Auxiliary(NamedTuple):
    """What such a network returns in training; in evaluation it returns the logits alone, as any other.

    logits     [B, K] of the network itself
    auxiliary  [B, K] of each side branch
    weight     what the losses of the side branches are multiplied by

    Source: Szegedy et al., Going Deeper with Convolutions, 2015, section 5, for the branches and the weight 0.3.
    """

    logits: Tensor
    auxiliary: tuple[Tensor, ...]
    weight: float = WEIGHT


def with_auxiliary(output: Tensor | Auxiliary, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """The loss of a network's output, whether it has side branches or not.

        loss(logits) + weight * sum over branches of loss(branch)

    loss  logits [B, K] -> scalar

    >>> with_auxiliary(Auxiliary(tensor(1.0), (tensor(2.0), tensor(4.0)), weight=0.5), lambda logits: logits)
    tensor(4.)
    """
    if not isinstance(output, Auxiliary):
        return loss(output)
    total = loss(output.logits)
    for branch in output.auxiliary:
        total = total + output.weight * loss(branch)
    return total
