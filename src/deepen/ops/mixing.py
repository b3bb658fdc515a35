"""Two samples as one: mixup and cutmix, as pure functions of explicit random numbers.

    a, b     [B, ...]: the samples, and the partner of each
    share    [B] float in [0, 1]: how much of a sample is its own; 1 - share is its partner's

Partner, share and place are drawn as functions of (seed, epoch, row), here as everywhere.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from deepen.core import rng
from deepen.ops.losses import cross_entropies, weighted_sum

IMAGE_DRAWS = 4  # random numbers that `mixed_images` takes for one image


def partner_rows(seed: int, epoch: int, rows: np.ndarray, num_rows: int) -> np.ndarray:
    """The partner of each row: any row of the training table, itself once in num_rows, whatever batch the row is in.

    rows     [B] int64
    returns  [B] int64 in [0, num_rows)
    """
    return (rng.row_keys(seed, epoch, rows, "partner") % np.uint64(num_rows)).astype(np.int64)


def pair_weights(own: dict[str, Tensor], others: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights [B] of mixed samples, where samples have any: the product of the two, as by them a pair that is drawn
    from what there is stands for one that is drawn from what is corrected for."""
    return {"weight": own["weight"] * others["weight"]} if "weight" in own else {}


def beta_share(u: np.ndarray, alpha: float) -> np.ndarray:
    """Shares from Beta(alpha, alpha), by the inverse of its distribution function.

    u        [B] float in [0, 1)
    returns  [B] float32 in [0, 1]

    alpha 1 is uniform; a small alpha mixes little, as nearly all of its mass is close to 0 and 1.
    """
    from scipy.special import betaincinv

    return betaincinv(alpha, alpha, u.astype(np.float64)).astype(np.float32)


def mixup(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """share * a + (1 - share) * b, row by row.

    Source: Zhang, Cisse, Dauphin and Lopez-Paz 2018, mixup: Beyond Empirical Risk Minimization, eq. 1.
    """
    share = share.view(-1, *[1] * (a.dim() - 1))
    return share * a + (1 - share) * b


def chosen(a: Tensor, b: Tensor, share: Tensor, u: Tensor) -> Tensor:
    """a where u < share, else b, element by element: of categories, one-hot, its mean over u is their mixup.

    a, b, u  [B, G]
    """
    return torch.where(u < share[:, None], a, b)


def mixed_images(
    a: Tensor, b: Tensor, u: np.ndarray, *, mixup_alpha: float, cutmix_alpha: float
) -> tuple[Tensor, Tensor]:
    """Each image mixed with its partner, by one way or the other: where both have an alpha, by cutmix if u[0] < 0.5.

    u        [B, 4] in [0, 1): which way, share, and the centre of cutmix's box
    mixup_alpha, cutmix_alpha  of the Beta distribution of shares; 0: not this way
    returns  [B, C, H, W] and the shares [B] float32
    """
    draws = torch.from_numpy(u).to(a.device)
    if not cutmix_alpha:
        share = torch.from_numpy(beta_share(u[:, 1], mixup_alpha)).to(a.device)
        return mixup(a, b, share), share
    share = torch.from_numpy(beta_share(u[:, 1], cutmix_alpha)).to(a.device)
    cut, cut_share = cutmix(a, b, share, draws[:, 2:])
    if not mixup_alpha:
        return cut, cut_share
    share = torch.from_numpy(beta_share(u[:, 1], mixup_alpha)).to(a.device)
    is_cut = draws[:, 0] < 0.5
    return torch.where(is_cut.view(-1, 1, 1, 1), cut, mixup(a, b, share)), torch.where(is_cut, cut_share, share)


def mixed_rows(
    own: dict[str, Tensor], others: dict[str, Tensor], u: np.ndarray, *, alpha: float
) -> tuple[dict[str, Tensor], Tensor]:
    """Rows of a table mixed with their partners: numbers by mixup, each category its own with the share as its chance.

    own, others  numbers [B, F] float, categories [B, G] int64
    u            [B, 1 + G] in [0, 1): share, and which of the two each category is
    returns      both tensors, and the shares [B] float32

    So the mean of a one-hot category over its draw is the mixup of the two one-hots.
    """
    share = torch.from_numpy(beta_share(u[:, 0], alpha)).to(own["numbers"].device)
    draws = torch.from_numpy(u[:, 1:]).to(share.device)
    mixed = {
        "numbers": mixup(own["numbers"], others["numbers"], share),
        "categories": chosen(own["categories"], others["categories"], share, draws),
    }
    return mixed, share


def cutmix(a: Tensor, b: Tensor, share: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Images with a box of their partner's, and the share of pixels that are their own.

        box height = H sqrt(1 - share),  width = W sqrt(1 - share),  rounded down to whole pixels
        centre = floor(u[0] H), floor(u[1] W);   what lies outside the image is cut off

    a, b     [B, C, H, W]
    u        [B, 2] float in [0, 1)
    returns  [B, C, H, W] and [B] float: 1 - (pixels in the box) / (H W), which the cut may have made larger than share

    Source: Yun et al. 2019, CutMix, section 3.1 and its algorithm.
    """
    height, width = a.shape[-2:]
    side = (1 - share).clamp(min=0).sqrt()
    rows = _span((u[:, 0] * height).floor(), (side * height).floor(), height)  # [B, H]
    columns = _span((u[:, 1] * width).floor(), (side * width).floor(), width)  # [B, W]
    inside = rows[:, :, None] & columns[:, None, :]  # [B, H, W]
    return torch.where(inside[:, None], b, a), 1 - inside.float().mean((1, 2))


def mixed_cross_entropy_sum(
    logits: Tensor,
    targets: Tensor,
    others: Tensor,
    share: Tensor,
    *,
    label_smoothing: float = 0.0,
    weights: Tensor | None = None,
) -> Tensor:
    """The summed cross-entropy with the target of each sample and that of its partner, in nats.

        sum over b of  w[b] (share[b] CE(logits[b], targets[b]) + (1 - share[b]) CE(logits[b], others[b]))

    logits   [B, K] float
    targets, others  [B] int64 in [0, K), or IGNORED for a row that counts for nothing
    share    [B] float in [0, 1]
    weights  [B] float, None for 1 each
    returns  scalar; CE is that of `cross_entropies`, smoothing included

    It is linear in the target, so it equals the cross-entropy with the mixed target.
    """
    own, other = (cross_entropies(logits, y, label_smoothing=label_smoothing) for y in (targets, others))
    mixed = share * own + (1 - share) * other
    return weighted_sum(mixed, weights)


def _span(centre: Tensor, length: Tensor, size: int) -> Tensor:
    """[B, size] bool: `length[b]` places around centre[b], as far as there are any."""
    first = (centre - (length / 2).floor())[:, None]
    places = torch.arange(size, device=centre.device)
    return (places >= first) & (places < first + length[:, None])
