"""Contrast normalization: every image, or every place in it, brought to the same mean and spread by itself alone."""

from __future__ import annotations

import torch
from torch import Tensor

STEADY = 10 / 255**2  # added to the variance of an image of values in 0..1, so that flat ones stay flat
LEAST = 1e-8
RADIUS = 4  # of the window of local normalization: 9 x 9 pixels
DEVIATION = 2.0  # of its Gaussian
FAINTEST = 1 / 255  # the least deviation that is brought to 1: one level of grey, so that a flat image stays flat


def global_contrast(images: Tensor, *, steady: float = STEADY, least: float = LEAST) -> Tensor:
    """Each image minus its mean, over its deviation.

        y = (x - mean(x)) / max(least, sqrt(steady + mean((x - mean(x))^2)))

    with both means over all channels and pixels of the image.

    images   [B, C, H, W] float in 0..1
    returns  [B, C, H, W], each image of mean 0 and, unless it is flat, of deviation near 1

    Source: Coates, Lee and Ng 2011, An Analysis of Single-Layer Networks in Unsupervised Feature Learning, section
    3.1.1 (there 10 is added to the variance of values in 0..255); Goodfellow, Bengio and Courville, Deep Learning, eq.
    12.3.
    """
    centred = images - images.mean((1, 2, 3), keepdim=True)
    spread = (steady + centred.square().mean((1, 2, 3), keepdim=True)).sqrt()
    return centred / spread.clamp(min=least)


def local_contrast(
    images: Tensor, *, radius: int = RADIUS, deviation: float = DEVIATION, least: float = FAINTEST
) -> Tensor:
    """Each pixel minus the weighted mean around it, over the weighted deviation there.

        v[c, p] = x[c, p] - sum over c', q of  w[q] x[c', p + q]
        s[p]    = sqrt(sum over c', q of  w[q] v[c', p + q]^2)
        y[c, p] = v[c, p] / max(least, s[p], mean of s over the image)

    with w a Gaussian over a window of 2 radius + 1 pixels, cut at the image's edge, that adds up to 1 over all channels
    and all places inside the image. So edges stand out wherever they are, in shadow and in light.

    images   [B, C, H, W] float in 0..1
    returns  [B, C, H, W]

    Source: Jarrett, Kavukcuoglu, Ranzato and LeCun 2009, What is the Best Multi-Stage Architecture for Object
    Recognition?, section 2.1 (there 9x9 pixels; how the edge is treated is not said).
    """
    centred = images - _around(images.mean(1, keepdim=True), radius, deviation)
    spread = _around(centred.square().mean(1, keepdim=True), radius, deviation).clamp(min=0).sqrt()  # [B, 1, H, W]
    floor = spread.mean((1, 2, 3), keepdim=True).clamp(min=least)
    return centred / torch.maximum(spread, floor)


def _around(x: Tensor, radius: int, deviation: float) -> Tensor:
    """The mean around each pixel by a Gaussian that is cut at the image's edge.   [B, 1, H, W] -> the same"""
    for dim in (2, 3):
        x = _blurred(x, dim, radius, deviation)
    return x


def _blurred(x: Tensor, dim: int, radius: int, deviation: float) -> Tensor:
    """Along one dimension, added up in a fixed order whatever the batch."""
    size = x.shape[dim]
    total, weight = torch.zeros_like(x), x.new_zeros(size)
    for offset in range(-radius, radius + 1):
        length = size - abs(offset)
        if length <= 0:
            continue
        share = x.new_tensor(-(offset**2) / (2 * deviation**2)).exp()
        to, since = max(0, -offset), max(0, offset)
        total.narrow(dim, to, length).add_(x.narrow(dim, since, length) * share)
        weight.narrow(0, to, length).add_(share)
    shape = [1] * x.dim()
    shape[dim] = size
    return total / weight.view(shape)
