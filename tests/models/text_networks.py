"""What tests of networks on texts share: made-up ids, and the promise that a row is answered for itself."""

from __future__ import annotations

import torch

VOCABULARY = 29
LENGTHS = (7, 3, 1, 0, 5)  # a single word and an empty text among them


def ids_and_mask(lengths=LENGTHS, *, width=None, seed=0, vocabulary=VOCABULARY):
    """ids [B, T] int64 with 0 behind each end, mask [B, T] bool."""
    draw = torch.Generator().manual_seed(seed)
    width = width or max(1, *lengths)
    ids = torch.randint(2, vocabulary, (len(lengths), width), generator=draw)
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    return ids * mask, mask


def shaken(network, seed=1):
    """The network in evaluation mode with every parameter away from its start, so that zeros hide nothing."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.2)
    return network.eval()


@torch.no_grad()
def farthest_from_alone(network, sides=1):
    """How far a row's outputs among others lie from those of the row alone, and with other ids behind its end."""
    parts = [ids_and_mask(LENGTHS if side == 0 else LENGTHS[::-1], width=11, seed=side) for side in range(sides)]
    together = network(*(tensor for part in parts for tensor in part))
    assert together.isfinite().all()
    littered = [(torch.where(mask, ids, 5), mask) for ids, mask in parts]
    gap = (network(*(tensor for part in littered for tensor in part)) - together).abs().max()
    for row in range(len(LENGTHS)):
        own = []
        for ids, mask in parts:
            length = max(1, int(mask[row].sum()))
            own += [ids[row : row + 1, :length], mask[row : row + 1, :length]]
        gap = torch.maximum(gap, (network(*own)[0] - together[row]).abs().max())
    return float(gap)
