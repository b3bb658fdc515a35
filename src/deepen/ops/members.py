"""Networks of several members, each of which answers for every row while training."""

from __future__ import annotations

from torch import Tensor


def flat_members(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, int]:
    """Every member's answers as rows of one batch, so that the mean loss of the members is a sum divided by M.

    outputs  [B, K], or [B, M, K] from a network of M members
    targets  [B, ...]
    returns  [B * M, K], [B * M, ...] and M (1 for [B, K], which is returned as it is)
    """
    if outputs.dim() == 2:
        return outputs, targets, 1
    members = outputs.shape[1]
    return outputs.flatten(0, 1), targets.repeat_interleave(members, dim=0), members
