"""A conditional random field over a sequence of tags: the probability of whole sequences, not of tag by tag.

    p(y | x) = exp(s(y)) / sum over all y' of exp(s(y')),    s(y) = sum of emissions and of transitions along y

See ops/chain.py for the score and the recursions. Source: Lafferty, McCallum and Pereira, Conditional Random Fields,
2001; above a neural network: Collobert et al., Natural Language Processing (Almost) from Scratch, 2011, section 3.3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepen.core.errors import ShapeError
from deepen.ops import chain

_FORBIDDEN = -1e4  # beside it exp is exactly 0 in float32, and unlike -inf it leaves no NaN in a gradient


class LinearChainCRF(nn.Module):
    """Scores of the transitions between K tags, from the start and to the end, and what follows from them.

    allowed    [K + 2, K + 2] bool, [i, j]: whether j may follow i; K stands for the start and K + 1 for the end; None
               allows all

    emissions  [B, T, K] float
    tags       [B, T] int64, not read where the mask is False
    mask       [B, T] bool, True up to the end of each row and nowhere behind it

    Transitions begin at 0, where the field says the same as tag by tag. A forbidden transition has no weight in any sum
    and is on no decoded path, unless every path goes over one. A row without a place costs 0 and has no tags. What is
    computed is float32 at least, whatever the emissions are.
    """

    allowed: Tensor | None

    def __init__(self, num_tags: int, allowed: Tensor | None = None) -> None:
        super().__init__()
        self.num_tags = num_tags
        self.transitions = nn.Parameter(torch.zeros(num_tags, num_tags))
        self.start = nn.Parameter(torch.zeros(num_tags))
        self.end = nn.Parameter(torch.zeros(num_tags))
        if allowed is not None:
            if allowed.shape != (num_tags + 2, num_tags + 2) or allowed.dtype != torch.bool:
                raise ShapeError(
                    f"allowed is {allowed.dtype} {tuple(allowed.shape)} instead of torch.bool "
                    f"{(num_tags + 2, num_tags + 2)}: a row and a column for each tag, the start and the end."
                )
            allowed = allowed.detach().clone()
        self.register_buffer("allowed", allowed, persistent=False)

    def forward(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        return self.loss(emissions, tags, mask)

    def loss(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """-log p(tags | emissions) of each row, [B], at least 0 up to rounding.

        Tags that go over a forbidden transition have no probability; they cost about 10,000 for each, not infinity.
        """
        emissions, *scores = self.prepared(emissions, mask)
        return chain.log_partition(emissions, mask, *scores) - chain.path_score(emissions, mask, tags, *scores)

    def decode(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """The most probable tags of each row, [B, T] int64; 0 behind its end."""
        emissions, *scores = self.prepared(emissions, mask)
        return chain.best_path(emissions, mask, *scores)[0]

    def marginals(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """The probability of each tag at each place given all emissions, [B, T, K]; 0 behind a row's end."""
        emissions, *scores = self.prepared(emissions, mask)
        return chain.marginals(emissions, mask, *scores)

    def probability(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """p(tags | emissions) of each row, [B]."""
        return torch.exp(-self.loss(emissions, tags, mask))

    def prepared(self, emissions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Emissions, transitions, start and end, those not allowed at a score that no sum sees."""
        if emissions.shape[:2] != mask.shape or emissions.shape[2] != self.num_tags:
            raise ShapeError(
                f"emissions have shape {tuple(emissions.shape)} and mask {tuple(mask.shape)} instead of "
                f"[batch, places, {self.num_tags}] and [batch, places]."
            )
        emissions = emissions.to(torch.promote_types(emissions.dtype, torch.float32))
        emissions = emissions.masked_fill(~mask[..., None], 0.0)
        scores = (self.transitions, self.start, self.end)
        if self.allowed is not None:
            k = self.num_tags
            permitted = (self.allowed[:k, :k], self.allowed[k, :k], self.allowed[:k, k + 1])
            scores = (each.masked_fill(~may, _FORBIDDEN) for each, may in zip(scores, permitted, strict=True))
        transitions, start, end = (each.to(emissions.dtype) for each in scores)
        return emissions, transitions, start, end

    def extra_repr(self) -> str:
        return f"num_tags={self.num_tags}"
